// The account dialog: log out, change the password, delete the account.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Failure } from "../api/failure";
import { showToast } from "../toast";
import { unsentOf } from "../room/outboxes";
import { forgetUser } from "../rooms";
import { session } from "../session";
import { Avatar, Field, Form, Modal, Name } from "./components";
import { PASSWORD_RULES, Rules } from "./sign-in";

export function Account({ user, onClose }: { user: string; onClose: () => void }): JSX.Element {
  const waiting = unsentOf(user);
  return (
    <Modal title="Account" onClose={onClose}>
      {() => (
        <div class="sections">
          <section class="self">
            <Avatar name={user} large />
            <Name of={user} />
          </section>
          <section>
            {waiting > 0 && (
              <p class="warning">
                {waiting === 1 ? "One message has" : `${waiting} messages have`} not been sent yet. Logging out discards
                {waiting === 1 ? " it" : " them"}.
              </p>
            )}
            <Form
              action="Log out"
              onSubmit={async () => {
                await session.logout();
                forgetUser(user);
              }}
            />
          </section>
          <Password user={user} />
          <Deletion user={user} />
        </div>
      )}
    </Modal>
  );
}

function Password({ user }: { user: string }): JSX.Element {
  const [old, setOld] = useState("");
  const [next, setNext] = useState("");
  return (
    <details>
      <summary>Change the password</summary>
      <Form
        action="Change the password"
        onSubmit={async () => {
          if (!PASSWORD_RULES.every(([, met]) => met(next))) throw new Failure("refused", "INVALID_PASSWORD");
          await session.changePassword(old, next);
          setOld("");
          setNext("");
          showToast("Your password was changed. Your other devices are logged out.");
        }}
      >
        <UserNameField user={user} />
        <Field label="Current password" name="password" type="password" value={old} onInput={setOld} autoComplete="current-password" required maxLength={128} />
        <Field
          label="New password"
          name="new-password"
          type="password"
          value={next}
          onInput={setNext}
          autoComplete="new-password"
          required
          maxLength={128}
          hint={<Rules of={PASSWORD_RULES} value={next} />}
        />
      </Form>
    </details>
  );
}

function Deletion({ user }: { user: string }): JSX.Element {
  const [password, setPassword] = useState("");
  return (
    <details>
      <summary>Delete the account</summary>
      <p>Your messages stay in their rooms, without your name. Nobody can use the name again. This cannot be undone.</p>
      <Form
        action="Delete the account for good"
        danger
        onSubmit={async () => {
          await session.deleteAccount(password);
          forgetUser(user);
        }}
      >
        <UserNameField user={user} />
        <Field label="Password" name="password" type="password" value={password} onInput={setPassword} autoComplete="current-password" required maxLength={128} />
      </Form>
    </details>
  );
}

/** Hidden: it gives password managers the name that belongs to the password. */
function UserNameField({ user }: { user: string }): JSX.Element {
  return <input type="text" name="username" autocomplete="username" value={user} readOnly hidden />;
}
