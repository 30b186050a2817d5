// Logging in and making an account: one form, two ways.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Failure } from "../api/failure";
import { useCell } from "../cell";
import { route } from "../route";
import { session } from "../session";
import { Icon, Mark } from "./icons";
import { Field, Form } from "./parts";

const SPECIAL = /[!@#$%^&*()_+[\]{};':,.<>?/]/;

/** The server's rules, so that nobody has to guess them; the server has the last word. */
const NAME_RULES: [string, (name: string) => boolean][] = [
  ["at least 6 characters", (name) => new TextEncoder().encode(name).length >= 6],
  ["a digit", (name) => /[0-9]/.test(name)],
  ["no special characters", (name) => name !== "" && !SPECIAL.test(name)],
];

export const PASSWORD_RULES: [string, (password: string) => boolean][] = [
  ["at least 6 characters", (password) => password.length >= 6],
  ["an upper case letter", (password) => /[A-Z]/.test(password)],
  ["a lower case letter", (password) => /[a-z]/.test(password)],
  ["a digit", (password) => /[0-9]/.test(password)],
  ["a special character", (password) => SPECIAL.test(password)],
];

export function Rules(props: { of: [string, (value: string) => boolean][]; value: string }): JSX.Element {
  return (
    <ul class="rules">
      {props.of.map(([words, met]) => (
        <li key={words} class={met(props.value) ? "met" : ""}>
          <Icon name="check" />
          {words}
          {met(props.value) && <span class="sr"> (done)</span>}
        </li>
      ))}
    </ul>
  );
}

export function SignIn(): JSX.Element {
  const ended = useCell(session.ended);
  const invited = useCell(route).at === "invited";
  const [joining, setJoining] = useState(false);
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const submit = () => {
    if (!joining) return session.login(name, password);
    // A phone's keyboard leaves a blank behind each word that it completes.
    const plain = name.trim();
    if (!NAME_RULES.every(([, met]) => met(plain))) throw new Failure("refused", "INVALID_USER_NAME");
    if (!PASSWORD_RULES.every(([, met]) => met(password))) throw new Failure("refused", "INVALID_PASSWORD");
    return session.register(plain, password);
  };
  return (
    <main class="sign-in">
      <div class="card">
        <h1>
          <Mark />
          GRPCChatter
        </h1>
        <p class="lead">
          {ended
            ? "Your session has ended. Log in again; what you had not sent yet is kept."
            : invited
              ? "You are invited to a room. Log in or make an account, and the door is open."
              : "Rooms to talk in, with nothing lost."}
        </p>
        <div class="tabs" role="group" aria-label="Log in or make an account">
          <button type="button" aria-pressed={!joining} onClick={() => setJoining(false)}>
            Log in
          </button>
          <button type="button" aria-pressed={joining} onClick={() => setJoining(true)}>
            New account
          </button>
        </div>
        <Form
          key={String(joining)}
          action={joining ? "Create account" : "Log in"}
          onSubmit={async () => submit()}
        >
          <Field
            label="Name"
            name="username"
            value={name}
            onInput={setName}
            autoComplete="username"
            maxLength={255}
            required
            autoFocus
            hint={joining && <Rules of={NAME_RULES} value={name} />}
          />
          <Field
            label="Password"
            name="password"
            type="password"
            value={password}
            onInput={setPassword}
            autoComplete={joining ? "new-password" : "current-password"}
            maxLength={128}
            required
            hint={joining && <Rules of={PASSWORD_RULES} value={password} />}
          />
        </Form>
      </div>
    </main>
  );
}
