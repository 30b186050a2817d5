// The dialogs that lead into a room: create one, join with code and password, accept an invitation.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Rooms } from "../rooms";
import { goHome, goToRoom } from "../route";
import { Field, Form, Modal } from "./components";

interface Props {
  rooms: Rooms;
  onClose: () => void;
}

export function NewRoom({ rooms, onClose }: Props): JSX.Element {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  return (
    <Modal title="New room" onClose={onClose}>
      {(close) => (
        <Form
          action="Create the room"
          onSubmit={async () => {
            const code = await rooms.create(name.trim(), password);
            close();
            goToRoom(code);
          }}
        >
          <Field label="Name" name="room-name" value={name} onInput={setName} maxLength={128} autoFocus required />
          <Field
            label="Password"
            name="room-password"
            type="password"
            value={password}
            onInput={setPassword}
            autoComplete="new-password"
            maxLength={128}
            hint="It is needed to join with the code. Without a password the code is enough."
          />
        </Form>
      )}
    </Modal>
  );
}

export function JoinRoom({ rooms, onClose }: Props): JSX.Element {
  const [code, setCode] = useState("");
  const [password, setPassword] = useState("");
  return (
    <Modal title="Join a room" onClose={onClose}>
      {(close) => (
        <Form
          action="Join"
          onSubmit={async () => {
            const joined = await rooms.join({ shortCode: code.trim(), roomPassword: password });
            close();
            goToRoom(joined);
          }}
        >
          <Field
            label="Code"
            name="room-code"
            value={code}
            onInput={(typed) => setCode(codeIn(typed))}
            autoFocus
            required
            hint="Letters and digits, from the room’s owner. A link works too."
          />
          <Field label="Password" name="room-password" type="password" value={password} onInput={setPassword} maxLength={128} hint="Leave it empty if the room has none." />
        </Form>
      )}
    </Modal>
  );
}

/** The code from what was typed or pasted, which may be the whole link. */
function codeIn(typed: string): string {
  return /#room=([a-zA-Z0-9]{4,32})$/.exec(typed.trim())?.[1] ?? typed;
}

export function AcceptInvitation({ rooms, token }: { rooms: Rooms; token: string }): JSX.Element {
  return (
    <Modal title="You are invited" onClose={() => location.hash.startsWith("#join=") && goHome("replace")}>
      {(close) => (
        <>
          <p>Somebody has invited you to their room. The people in it will see your name.</p>
          <Form
            action="Join the room"
            onSubmit={async () => {
              const code = await rooms.join({ roomToken: token });
              goToRoom(code, "replace");
              close();
            }}
          />
        </>
      )}
    </Modal>
  );
}
