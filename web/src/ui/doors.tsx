// The ways into a room: making one, a code and password, an invitation.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Rooms } from "../rooms";
import { goHome, goToRoom } from "../route";
import { Field, Form, Modal } from "./parts";

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
            hint="Whoever joins by the code needs it. Leave it empty and the code is enough."
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
            hint="Letters and digits, as the room’s owner gave them to you. A link works too."
          />
          <Field label="Password" name="room-password" type="password" value={password} onInput={setPassword} maxLength={128} hint="Where the room has one." />
        </Form>
      )}
    </Modal>
  );
}

/** The code itself, where somebody pasted the whole link. */
function codeIn(typed: string): string {
  return /#room=([a-zA-Z0-9]{4,32})$/.exec(typed.trim())?.[1] ?? typed;
}

export function Invited({ rooms, token }: { rooms: Rooms; token: string }): JSX.Element {
  return (
    <Modal title="You are invited" onClose={() => location.hash.startsWith("#join=") && goHome(true)}>
      {(close) => (
        <>
          <p>Somebody has sent you an invitation to their room. Those inside will see your name.</p>
          <Form
            action="Come in"
            onSubmit={async () => {
              const code = await rooms.join({ roomToken: token });
              goToRoom(code, true);
              close();
            }}
          />
        </>
      )}
    </Modal>
  );
}
