// The form that logs in or creates an account.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Failure } from "../api/failure";
import { useObservable } from "../observable";
import { route } from "../route";
import { session } from "../session";
import { Icon, Mark } from "./icons";
import { Field, Form } from "./components";

const SPECIAL = /[!@#$%^&*()_+[\]{};':,.<>?/]/;

/** The server's rules, shown while the user types. The server checks them again. */
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
  const ended = useObservable(session.ended);
  const invited = useObservable(route).at === "invited";
  const [registering, setRegistering] = useState(false);
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const submit = () => {
    if (!registering) return session.login(name, password);
    // Phone keyboards add a space after each word that they complete.
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
            ? "Your session has ended. Log in again. Your unsent messages are saved."
            : invited
              ? "You are invited to a room. Log in or create an account to join it."
              : "Chat rooms that lose no message."}
        </p>
        <div class="tabs" role="group" aria-label="Log in or create an account">
          <button type="button" aria-pressed={!registering} onClick={() => setRegistering(false)}>
            Log in
          </button>
          <button type="button" aria-pressed={registering} onClick={() => setRegistering(true)}>
            New account
          </button>
        </div>
        <Form
          key={String(registering)}
          action={registering ? "Create account" : "Log in"}
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
            hint={registering && <Rules of={NAME_RULES} value={name} />}
          />
          <Field
            label="Password"
            name="password"
            type="password"
            value={password}
            onInput={setPassword}
            autoComplete={registering ? "new-password" : "current-password"}
            maxLength={128}
            required
            hint={registering && <Rules of={PASSWORD_RULES} value={password} />}
          />
        </Form>
      </div>
    </main>
  );
}
