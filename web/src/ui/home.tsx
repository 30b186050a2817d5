// The screen of a logged-in user: the list of rooms, and the room that is open.
import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { sentence } from "../api/failure";
import { useObservable } from "../observable";
import type { RoomInfo } from "../room/message";
import { Outboxes } from "../room/outboxes";
import { Rooms } from "../rooms";
import { goToRoom, roomHash, route } from "../route";
import { Account } from "./account";
import { AcceptInvitation, JoinRoom, NewRoom } from "./join-forms";
import { Icon, Mark } from "./icons";
import { Avatar, Name } from "./components";
import { RoomScreen } from "./room-screen";

type Showing = "new" | "join" | "account" | null;

export function Home({ user }: { user: string }): JSX.Element {
  const rooms = useMemo(() => new Rooms(user), [user]);
  const outboxes = useMemo(() => new Outboxes(user, (code, message) => rooms.noteOwnMessage(code, message.seq)), [rooms]);
  useEffect(() => {
    void rooms.load();
    outboxes.open();
    return () => {
      outboxes.close();
      rooms.close();
    };
  }, [rooms]);
  const here = useObservable(route);
  const [showing, setShowing] = useState<Showing>(null);
  const close = () => setShowing(null);
  const open = here.at === "room" ? here.code : null;
  const left = useRef(open);
  useEffect(() => {
    // After a room is left for the list, the focus is on that room's entry.
    const entry = open === null && left.current && document.querySelector<HTMLElement>(`a[href="${roomHash(left.current)}"]`);
    if (entry && document.activeElement === document.body) entry.focus();
    left.current = open;
  }, [open]);
  return (
    <div class={open ? "home in-room" : "home"}>
      <nav class="rooms" aria-label="Rooms">
        <button type="button" class="button skip" onClick={() => document.querySelector("main")?.focus()}>
          Skip the list of rooms
        </button>
        <header>
          <h2 class="brand">
            <Mark />
            GRPCChatter
          </h2>
        </header>
        <div class="room-actions">
          <button type="button" class="button" onClick={() => setShowing("new")}>
            <Icon name="plus" />
            New room
          </button>
          <button type="button" class="button" onClick={() => setShowing("join")}>
            <Icon name="enter" />
            Join
          </button>
        </div>
        <RoomList rooms={rooms} outboxes={outboxes} open={open} />
        <button type="button" class="me" onClick={() => setShowing("account")}>
          <Avatar name={user} />
          <span class="words">
            <Name of={user} />
            <span class="role">Account</span>
          </span>
          <Icon name="more" />
        </button>
      </nav>
      {open ? <RoomScreen key={open} user={user} code={open} rooms={rooms} outboxes={outboxes} /> : <Welcome />}
      {showing === "new" && <NewRoom rooms={rooms} onClose={close} />}
      {showing === "join" && <JoinRoom rooms={rooms} onClose={close} />}
      {showing === "account" && <Account user={user} onClose={close} />}
      {here.at === "invited" && <AcceptInvitation rooms={rooms} token={here.token} />}
    </div>
  );
}

function RoomList({ rooms, outboxes, open }: { rooms: Rooms; outboxes: Outboxes; open: string | null }): JSX.Element {
  const { rooms: list, failure } = useObservable(rooms.view);
  useObservable(rooms.readMarks);
  const waiting = useObservable(outboxes.waiting);
  const unread = (list ?? []).reduce((sum, room) => sum + rooms.unread(room), 0);
  const name = list?.find((room) => room.code === open)?.name;
  useEffect(() => {
    document.title = `${unread ? `(${unread}) ` : ""}${name ? `${name} · ` : ""}GRPCChatter`;
  }, [unread, name]);
  if (!list) {
    return (
      <div class="list">
        {failure ? (
          <div class="empty">
            <p>{sentence(failure)}</p>
            <button type="button" class="button" onClick={() => void rooms.load()}>
              Try again
            </button>
          </div>
        ) : (
          <div role="status">
            <span class="sr">Loading your rooms…</span>
            <div class="bone row" />
            <div class="bone row" />
            <div class="bone row" />
          </div>
        )}
      </div>
    );
  }
  if (list.length === 0) {
    return (
      <div class="list empty">
        <Icon name="enter" />
        <p>You are in no room yet. Create one, or join one with its code.</p>
      </div>
    );
  }
  return (
    <ul class="list">
      {list.map((room) => (
        <Entry key={room.code} room={room} unread={rooms.unread(room)} unsent={waiting.get(room.code) ?? 0} open={room.code === open} />
      ))}
    </ul>
  );
}

interface EntryProps {
  room: RoomInfo;
  unread: number;
  unsent: number;
  open: boolean;
}

function Entry({ room, unread, unsent, open }: EntryProps): JSX.Element {
  const name = room.name || `Room ${room.code}`;
  return (
    <li>
      <a
        href={roomHash(room.code)}
        aria-current={open ? "page" : undefined}
        class={unread ? "unread" : ""}
        onClick={(event) => {
          if (event.metaKey || event.ctrlKey || event.shiftKey) return;
          event.preventDefault();
          goToRoom(room.code);
        }}
      >
        <Avatar name={name} />
        <span class="words">
          <bdi class="name">{name}</bdi>
          <span class="code">{room.code}</span>
        </span>
        {unsent > 0 && !open && (
          <span class="waits" title={`${unsent} not sent yet`}>
            <Icon name="clock" />
            <span class="sr">{unsent} not sent yet</span>
          </span>
        )}
        {unread > 0 && !open && (
          <span class="count">
            {unread > 999 ? "999+" : unread}
            <span class="sr"> new</span>
          </span>
        )}
      </a>
    </li>
  );
}

function Welcome(): JSX.Element {
  return (
    <main class="welcome" tabIndex={-1}>
      <Mark />
      <h1>Pick a room</h1>
      <p>Choose one from the list, create a new one, or join with a code that somebody gave you.</p>
    </main>
  );
}
