// The dialog about a room: share it, leave it; for its owner also invite, rename, change the password, manage members, delete.
import type { ComponentChildren, JSX } from "preact";
import { useId, useState } from "preact/hooks";
import { chat, unary } from "../api/rpc";
import { banUser, changeRoomPassword, deleteRoom, invite, removeUser, renameRoom, unbanUser } from "../room/room-admin";
import type { Room } from "../room/room";
import type { Rooms } from "../rooms";
import { goHome, invitationLink, roomLink } from "../route";
import { legible } from "../text";
import { full } from "../time";
import { copy, showToast } from "../toast";
import { Icon } from "./icons";
import { Field, Form, Modal } from "./components";

const HOUR = 3600;
const LIFETIMES: [string, number][] = [
  ["1 hour", HOUR],
  ["1 day", 24 * HOUR],
  ["7 days", 7 * 24 * HOUR],
  ["30 days", 30 * 24 * HOUR],
];

interface Props {
  room: Room;
  rooms: Rooms;
  name: string;
  owns: boolean;
}

export function RoomSettings(props: Props & { onClose: () => void }): JSX.Element {
  const { room, owns, name } = props;
  return (
    <Modal title={name} onClose={props.onClose}>
      {(close) => (
        <div class="sections">
          <section>
            <h3>Share</h3>
            <Copyable label="Code" value={room.code} done="Code copied." />
            <Copyable label="Link" value={roomLink(room.code)} done="Link copied." />
            <p class="quiet">People who have the code or the link still need the room’s password, if it has one.</p>
          </section>
          {owns && <Invitation {...props} />}
          {owns && <Rename {...props} />}
          {owns && <Password {...props} />}
          {owns && <Members {...props} />}
          <Leaving {...props} close={close} />
        </div>
      )}
    </Modal>
  );
}

function Copyable({ label, value, done }: { label: string; value: string; done: string }): JSX.Element {
  const id = useId();
  return (
    <div class="copyable">
      <label for={id}>{label}</label>
      <input id={id} type="text" readOnly value={value} onFocus={(event) => event.currentTarget.select()} />
      <button type="button" class="button" onClick={() => void copy(value, done)}>
        <Icon name="copy" />
        Copy<span class="sr"> {label.toLowerCase()}</span>
      </button>
    </div>
  );
}

function Fold({ title, children }: { title: string; children: ComponentChildren }): JSX.Element {
  return (
    <details>
      <summary>{title}</summary>
      {children}
    </details>
  );
}

function Invitation({ room }: Props): JSX.Element {
  const [lifetime, setLifetime] = useState(24 * HOUR);
  const [made, setMade] = useState<{ token: string; until: number } | null>(null);
  return (
    <Fold title="Invite without a password">
      <Form action="Make an invitation" onSubmit={async () => setMade(await invite(room.code, lifetime))}>
        <fieldset class="choice">
          <legend>Valid for</legend>
          {LIFETIMES.map(([words, seconds]) => (
            <label key={words}>
              <input type="radio" name="life" checked={lifetime === seconds} onChange={() => setLifetime(seconds)} />
              <span>{words}</span>
            </label>
          ))}
        </fieldset>
      </Form>
      {made && (
        <>
          <Copyable label="Invitation" value={invitationLink(made.token)} done="Invitation copied." />
          <p class="quiet">Anyone who has this link can join until {full(made.until)}, or until the password changes.</p>
        </>
      )}
    </Fold>
  );
}

function Rename({ room, rooms, name }: Props): JSX.Element {
  const [next, setNext] = useState(name);
  return (
    <Fold title="Rename">
      <Form
        action="Rename"
        onSubmit={async () => {
          await renameRoom(room.code, next.trim());
          await rooms.changed();
          showToast("The room has a new name.");
        }}
      >
        <Field label="Name of the room" name="room-name" value={next} onInput={setNext} maxLength={128} />
      </Form>
    </Fold>
  );
}

function Password({ room }: Props): JSX.Element {
  const [password, setPassword] = useState("");
  return (
    <Fold title="Change the password">
      <Form
        action="Change the password"
        onSubmit={async () => {
          await changeRoomPassword(room.code, password);
          setPassword("");
          showToast("The room has a new password.");
        }}
      >
        <Field
          label="New password"
          name="room-password"
          type="password"
          value={password}
          onInput={setPassword}
          autoComplete="new-password"
          maxLength={128}
          hint="Everybody but you has to enter it, and earlier invitations end. Without a password the code is enough."
        />
      </Form>
    </Fold>
  );
}

function Members({ room }: Props): JSX.Element {
  const [name, setName] = useState("");
  const [action, setAction] = useState<"remove" | "ban" | "unban">("remove");
  const actions = { remove: "Remove", ban: "Ban", unban: "Unban" };
  return (
    <Fold title="Remove, ban or unban">
      <Form
        action={actions[action]}
        danger={action === "ban"}
        onSubmit={async () => {
          await { remove: removeUser, ban: banUser, unban: unbanUser }[action](room.code, name);
          const done = { remove: "was removed", ban: "was banned", unban: "can join again" };
          showToast(`${legible(name)} ${done[action]}.`);
          setName("");
        }}
      >
        <Field label="Name of the user" name="person" value={name} onInput={setName} required maxLength={255} />
        <fieldset class="choice">
          <legend>What to do</legend>
          {(Object.keys(actions) as (keyof typeof actions)[]).map((key) => (
            <label key={key}>
              <input type="radio" name="action" checked={action === key} onChange={() => setAction(key)} />
              <span>{actions[key]}</span>
            </label>
          ))}
        </fieldset>
      </Form>
    </Fold>
  );
}

function Leaving({ room, rooms, owns, close }: Props & { close: () => void }): JSX.Element {
  const left = (words: string) => {
    close();
    goHome();
    void rooms.changed();
    showToast(words);
  };
  return owns ? (
    <Fold title="Delete the room">
      <p>The room and all its messages are deleted for everybody. This cannot be undone.</p>
      <Form
        action="Delete the room for good"
        danger
        onSubmit={async () => {
          await deleteRoom(room.code);
          left("The room was deleted.");
        }}
      />
    </Fold>
  ) : (
    <Fold title="Leave the room">
      <p>To come back you need the room’s password or an invitation.</p>
      <Form
        action="Leave the room"
        danger
        onSubmit={async () => {
          await room.call((token) => chat.leaveChatRoom({}, unary(token)));
          left("You have left the room.");
        }}
      />
    </Fold>
  );
}
