// One room: its name, what is said in it, who is here, and where one writes.
import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { sentence, Failure } from "../api/failure";
import { useCell } from "../cell";
import type { Message } from "../room/message";
import type { Outboxes } from "../room/outboxes";
import { Room } from "../room/room";
import type { Rooms } from "../rooms";
import { goHome } from "../route";
import { Banner } from "./banner";
import { Composer, type ComposerHandle } from "./composer";
import { Icon } from "./icons";
import { Messages } from "./messages";
import { Field, Form, IconButton, Modal, useMedia } from "./parts";
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
    const said = (message: Message) => rooms.said(code, message.seq);
    return new Room(user, code, rooms.find(code), rooms.takeToken(code), outboxes.of(code), said);
  }, [user, code]);
  useEffect(() => {
    room.open();
    return () => room.close();
  }, [room]);
  const info = useCell(room.info);
  const status = useCell(room.status);
  const presence = useCell(room.presence);
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

/** What stands in place of a room that one cannot be in, with the way back in where there is one. */
function Closed({ room, rooms, reason }: { room: Room; rooms: Rooms; reason: string }): JSX.Element {
  const [password, setPassword] = useState("");
  const again = reason === "WRONG_ROOM_PASSWORD" || reason === "NOT_A_MEMBER";
  return (
    <div class="closed">
      <div class="card">
        <span class="seal">
          <Icon name={again ? "lock" : "door"} />
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
          <p>{reason === "ROOM_NOT_FOUND" ? "It was deleted, or the code is mistyped." : sentence(new Failure("refused", reason))}</p>
        )}
        {/* What stands in between may let it through the next time. */}
        {reason === "" && <Form action="Try again" onSubmit={() => room.reenter("")} />}
        <button type="button" class="button" onClick={() => goHome()}>
          All rooms
        </button>
      </div>
    </div>
  );
}
