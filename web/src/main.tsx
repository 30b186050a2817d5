// Starts the page: the log-in screen or the user's rooms, and the place for short notices.
import { render, type JSX } from "preact";
import { useCell } from "./cell";
import { notice } from "./notice";
import { session } from "./session";
import { Home } from "./ui/home";
import { SignIn } from "./ui/sign-in";
import "./styles/main.css";

function App(): JSX.Element {
  const user = useCell(session.user);
  const said = useCell(notice);
  return (
    <>
      {user === null ? <SignIn /> : <Home key={user} user={user} />}
      <div class="notice" role="status">
        {said && <p>{said}</p>}
      </div>
    </>
  );
}

const place = document.getElementById("app")!;
place.replaceChildren();
render(<App />, place);
