// Starts the page: the login screen or the user's rooms, and the toast.
import { render, type JSX } from "preact";
import { useObservable } from "./observable";
import { toast } from "./toast";
import { session } from "./session";
import { Home } from "./ui/home";
import { SignIn } from "./ui/sign-in";
import "./styles/main.css";

function App(): JSX.Element {
  const user = useObservable(session.user);
  const text = useObservable(toast);
  return (
    <>
      {user === null ? <SignIn /> : <Home key={user} user={user} />}
      <div class="toast" role="status">
        {text && <p>{text}</p>}
      </div>
    </>
  );
}

const root = document.getElementById("app")!;
root.replaceChildren();
render(<App />, root);
