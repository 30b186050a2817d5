// The list of users who are present. The room's owner can remove or ban each of them.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { useObservable } from "../observable";
import type { Room } from "../room/room";
import { banUser, removeUser } from "../room/room-admin";
import { legible } from "../text";
import { showToast } from "../toast";
import { Avatar, Form, IconButton, Modal, Name } from "./components";

export function People({ room, owner }: { room: Room; owner: string }): JSX.Element {
  const presence = useObservable(room.presence);
  const [chosen, setChosen] = useState<string | null>(null);
  const owns = owner === room.user;
  if (!presence) return <p class="quiet">Loading who is here…</p>;
  const users = [...presence.users].sort((one, two) => one.localeCompare(two));
  const unlisted = presence.count - users.length;
  return (
    <>
      <ul class="people">
        {users.map((name) => (
          <li key={name}>
            <Avatar name={name} />
            <span class="words">
              <Name of={name} />
              <Role own={name === room.user} owner={name === owner} />
            </span>
            {owns && name !== room.user && (
              <IconButton icon="more" label={`Remove or ban ${legible(name)}`} onClick={() => setChosen(name)} />
            )}
          </li>
        ))}
      </ul>
      {unlisted > 0 && <p class="quiet">{users.length > 0 ? `and ${unlisted} more` : `${presence.count} people are here`}</p>}
      {chosen !== null && (
        <Modal title={legible(chosen)} onClose={() => setChosen(null)}>
          {(close) => (
            <>
              <p>Removed people can come back with the room’s password or an invitation. Banned people cannot, until you unban them.</p>
              <Form
                action={`Remove ${legible(chosen)} for now`}
                onSubmit={async () => {
                  await removeUser(room.code, chosen);
                  showToast(`${legible(chosen)} was removed.`);
                  close();
                }}
              />
              <Form
                action={`Ban ${legible(chosen)}`}
                danger
                onSubmit={async () => {
                  await banUser(room.code, chosen);
                  showToast(`${legible(chosen)} was banned.`);
                  close();
                }}
              />
            </>
          )}
        </Modal>
      )}
    </>
  );
}

function Role({ own, owner }: { own: boolean; owner: boolean }): JSX.Element | null {
  const words = own && owner ? "you, the owner" : own ? "you" : owner ? "the owner" : "";
  return words ? <span class="role">{words}</span> : null;
}
