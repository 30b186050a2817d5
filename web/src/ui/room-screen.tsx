// The screen of one room: its name, its log, who is present, and the composer.
import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { sentence, Failure } from "../api/failure";
import { useObservable } from "../observable";
import type { Message } from "../room/message";
import type { Outboxes } from "../room/outboxes";
import { Room } from "../room/room";
import type { Rooms } from "../rooms";
import { goHome } from "../route";
import { Banner } from "./banner";
import { Composer, type ComposerHandle } from "./composer";
import { Icon } from "./icons";
import { Messages } from "./messages";
import { Field, Form, IconButton, Modal, useMedia } from "./components";
import { People } from "./people";
import { RoomSettings } from "./room-settings";

interface Props {
  user: string;
  code: string;
  rooms: Rooms;
  outboxes: Outboxes;
}

export function RoomScreen({ user, code, rooms, outboxes }: Props): JSX.Element {
  const room = useMemo(() => {
    const shown = (message: Message) => rooms.noteMessage(code, message.seq);
    return new Room(user, code, rooms.find(code), rooms.takeToken(code), outboxes.of(code), shown);
  }, [user, code]);
  useEffect(() => {
    room.open();
    return () => room.close();
  }, [room]);
  const info = useObservable(room.info);
  const status = useObservable(room.status);
  const presence = useObservable(room.presence);
  const wide = useMedia("(min-width: 68rem)");
  const [showing, setShowing] = useState<"people" | "settings" | null>(null);
  const composer = useMemo<ComposerHandle>(() => ({ edit: () => undefined, focus: () => undefined }), []);
  useEffect(() => {
    if (info) rooms.update(info);
  }, [info]);

  const name = info?.name || `Room ${code}`;
  const owner = info?.owner ?? "";
  const over = status.kind === "over" ? status.reason : null;
  return (
    <div class="room">
      <main class="talk" tabIndex={-1}>
        <header class="room-head">
          <a
            class="icon-button back"
            href="/"
            aria-label="All rooms"
            onClick={(event) => {
              event.preventDefault();
              goHome();
            }}
          >
            <Icon name="back" />
          </a>
          <div class="title">
            <h1>{name}</h1>
            <p>
              {status.kind === "live" && presence ? `${presence.count} here` : over === null ? "connecting" : "closed"}
              <span class="dot"> · </span>
              <span class="code">{code}</span>
            </p>
          </div>
          {over === null && !wide && (
            <IconButton icon="people" label="Who is here" badge={presence?.count} onClick={() => setShowing("people")} />
          )}
          {over === null && <IconButton icon="sliders" label="About this room" onClick={() => setShowing("settings")} />}
        </header>
        {over === null ? (
          <>
            <Banner room={room} />
            <Messages room={room} rooms={rooms} composer={composer} />
            <Composer room={room} name={name} handle={composer} />
          </>
        ) : (
          <Closed room={room} rooms={rooms} reason={over} />
        )}
      </main>
      {wide && over === null && (
        <aside class="side" aria-label="Who is here">
          <h2>
            Here now <span class="count">{presence?.count ?? ""}</span>
          </h2>
          <People room={room} owner={owner} />
        </aside>
      )}
      {showing === "people" && (
        <Modal title="Here now" onClose={() => setShowing(null)}>
          {() => <People room={room} owner={owner} />}
        </Modal>
      )}
      {showing === "settings" && (
        <RoomSettings room={room} rooms={rooms} name={name} owns={owner === user} onClose={() => setShowing(null)} />
      )}
    </div>
  );
}

const CLOSED: Record<string, string> = {
  WRONG_ROOM_PASSWORD: "This room asks for its password",
  NOT_A_MEMBER: "You were removed from this room",
  BANNED: "You are banned from this room",
  ROOM_NOT_FOUND: "This room does not exist",
};

/** Shown instead of a room that is closed to the user, with a form to join again where that is possible. */
function Closed({ room, rooms, reason }: { room: Room; rooms: Rooms; reason: string }): JSX.Element {
  const [password, setPassword] = useState("");
  const again = reason === "WRONG_ROOM_PASSWORD" || reason === "NOT_A_MEMBER";
  return (
    <div class="closed">
      <div class="card">
        <span class="closed-icon">
          <Icon name={again ? "lock" : "enter"} />
        </span>
        <h2>{CLOSED[reason] ?? "This room cannot be opened"}</h2>
        {again ? (
          <Form
            key={reason}
            action="Enter"
            onSubmit={async () => {
              await room.reenter(password);
              void rooms.changed();
            }}
          >
            <Field
              label="Password of the room"
              name="room-password"
              type="password"
              value={password}
              onInput={setPassword}
              maxLength={128}
              hint="Leave it empty if the room has none."
              autoFocus
            />
          </Form>
        ) : (
          <p>{reason === "ROOM_NOT_FOUND" ? "It was deleted, or the code is wrong." : sentence(new Failure("refused", reason))}</p>
        )}
        {/* A proxy refused it, and may let the next attempt through. */}
        {reason === "" && <Form action="Try again" onSubmit={() => room.reenter("")} />}
        <button type="button" class="button" onClick={() => goHome()}>
          All rooms
        </button>
      </div>
    </div>
  );
}
