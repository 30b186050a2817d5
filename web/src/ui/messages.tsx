// The log on the screen: day lines, groups, the line above what is new, and the reader's place in it, which stays
// where it is whatever is added above or below.
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo, useReducer, useRef, useState } from "preact/hooks";
import { sentence } from "../api/failure";
import { useCell } from "../cell";
import { copy } from "../notice";
import type { Message } from "../room/message";
import type { Unsent } from "../room/outbox";
import type { Room } from "../room/room";
import type { Rooms } from "../rooms";
import { roomLink } from "../route";
import { legible } from "../text";
import { dayName, dayOf } from "../time";
import type { ComposerHandle } from "./composer";
import { Icon } from "./icons";
import { Line, troubleOf, type UnsentActs } from "./line";
import * as win from "./window";

/** Messages of one person within this time stand together, in milliseconds. */
const GROUP = 5 * 60_000;
/** Pixels before an end of the window at which it is moved. */
const EDGE = 900;
/** Pixels from the bottom that still count as being there. */
const BOTTOM = 60;
/** Older messages are read while so many are still to be scrolled through. */
const AHEAD = 150;

interface Props {
  room: Room;
  rooms: Rooms;
  composer: ComposerHandle;
}

export function Messages({ room, rooms, composer }: Props): JSX.Element {
  const log = useCell(room.log.view);
  const unsent = useCell(room.outbox.unsent);
  const [, render] = useReducer((count: number) => count + 1, 0);
  const box = useRef<HTMLDivElement>(null);
  const place = useRef<Place>({ window: null, first: 0, pinned: true, anchor: null }).current;
  const { messages } = log;
  const first = messages[0]?.seq ?? 0;
  const last = messages.at(-1)?.seq ?? 0;

  const [fresh, setFresh] = useState(0);
  if (messages.length === 0) place.window = null;
  else if (!place.window) place.window = win.newest(first, last);
  else place.window = win.fit(place.window, first, last, place.pinned);
  if (place.window && first < place.first) {
    // With older ones before it the first line may lose its day line and join a group. Above it there has to be
    // something for its place to be kept.
    place.anchor ??= anchorIn(box.current);
    if (place.window.from === place.first) place.window = win.up(place.window, first, last);
  }
  place.first = first;
  const { from, to } = place.window ?? { from: 0, to: Infinity };
  const atEnd = to >= last;

  const move = (next: win.Window) => {
    place.anchor = anchorIn(box.current);
    place.window = next;
    render(undefined);
  };
  const look = () => {
    const element = box.current;
    if (!element || !place.window) return;
    const below = element.scrollHeight - element.scrollTop - element.clientHeight;
    const pinned = place.window.to >= last && below < BOTTOM;
    if (pinned !== place.pinned) {
      place.pinned = pinned;
      render(undefined);
    }
    if (element.scrollTop < EDGE && place.window.from > first) move(win.up(place.window, first, last));
    else if (below < EDGE && place.window.to < last) move(win.down(place.window, last));
    if (place.window.from - first < AHEAD && log.more && log.older === "idle") void room.log.older();
    if (place.pinned && !document.hidden) rooms.read(room.code, last);
  };
  const jump = () => {
    place.window = win.newest(first, last);
    place.pinned = true;
    render(undefined);
  };

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    if (place.pinned) element.scrollTop = element.scrollHeight;
    else if (place.anchor) place.anchor.element.isConnected && (element.scrollTop += place.anchor.element.offsetTop - place.anchor.top);
    place.anchor = null;
    look();
  });

  const looking = useRef(look);
  looking.current = look;
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    // A keyboard that opens must not push the newest message out of sight.
    const observer = new ResizeObserver(() => {
      if (place.pinned) element.scrollTop = element.scrollHeight;
    });
    const looked = () => looking.current();
    observer.observe(element);
    document.addEventListener("visibilitychange", looked);
    return () => {
      observer.disconnect();
      document.removeEventListener("visibilitychange", looked);
    };
  }, []);

  // The line above what is new stands still while the room is open, and is drawn anew whenever the reader comes back.
  useEffect(() => setFresh(rooms.readUpTo(room.code)), [room]);
  useEffect(() => {
    const left = () => document.hidden && setFresh(Math.max(rooms.readUpTo(room.code), 0));
    document.addEventListener("visibilitychange", left);
    return () => document.removeEventListener("visibilitychange", left);
  }, [room]);

  // One's own new message brings one back to the newest.
  const mine = unsent.at(-1)?.clientId ?? "";
  const seenMine = useRef(mine);
  useEffect(() => {
    if (mine > seenMine.current) jump();
    if (mine) seenMine.current = mine;
  }, [mine]);

  const acts = useMemo<UnsentActs>(
    () => ({
      hurry: () => room.retry(),
      retry: (which) => {
        room.outbox.retry(which);
        composer.focus();
      },
      discard: (which) => {
        room.outbox.discard(which.clientId);
        composer.focus();
      },
      edit: (which) => {
        room.outbox.discard(which.clientId);
        composer.edit(which.body);
      },
    }),
    [room],
  );

  const rows: JSX.Element[] = [];
  let before: { user: string; at: number } | undefined = messages[from - first - 1];
  const shown = place.window ? messages.slice(from - first, Math.min(to, last) - first + 1) : [];
  for (const [index, message] of shown.entries()) {
    const day = !before || dayOf(before.at) !== dayOf(message.at);
    const isFresh = message.seq === fresh + 1 && fresh > 0 && message.user !== room.user;
    if (day) rows.push(<DayLine key={`day ${message.seq}`} at={message.at} />);
    if (isFresh) rows.push(<FreshLine key="fresh" />);
    const after = shown[index + 1] ?? (atEnd ? unsent.length > 0 && { user: room.user, at: unsent[0]!.at } : messages[message.seq - first + 1]);
    rows.push(
      <Line
        key={keyOf(message, room.user)}
        user={message.user}
        body={message.body}
        at={message.at}
        seq={message.seq}
        own={message.user === room.user}
        head={day || isFresh || !together(before, message)}
        tail={!after || !together(message, after)}
      />,
    );
    before = message;
  }
  if (atEnd && log.state === "ready") {
    for (const [index, waiting] of unsent.entries()) {
      const here = { user: room.user, at: waiting.at };
      const next = unsent[index + 1];
      if (!before || dayOf(before.at) !== dayOf(here.at)) rows.push(<DayLine key="day unsent" at={here.at} />);
      rows.push(
        <Line
          key={`own ${waiting.clientId}`}
          user={room.user}
          body={waiting.body}
          at={waiting.at}
          seq={0}
          own
          head={!together(before, here)}
          tail={!next}
          unsent={waiting}
          acts={acts}
        />,
      );
      before = here;
    }
  }

  const news = Math.max(0, last - rooms.readUpTo(room.code));
  return (
    <div class="log">
      <div class="scroll" ref={box} onScroll={look} tabIndex={0} role="region" aria-label="Messages">
        {log.state === "loading" && <Skeleton />}
        {log.state === "failed" && (
          <div class="empty">
            <Icon name="alert" />
            <p>The messages could not be read. {log.failure && sentence(log.failure)}</p>
            <button type="button" class="button" onClick={() => room.retry()}>
              Try again
            </button>
          </div>
        )}
        {log.state === "ready" && messages.length === 0 && unsent.length === 0 && (
          <div class="empty">
            <Icon name="smile" />
            <h2>Nothing was said here yet</h2>
            <p>Write the first message, or share the room’s link so that others can come in.</p>
            <button type="button" class="button" onClick={() => void copy(roomLink(room.code), "Link copied.")}>
              <Icon name="copy" />
              Copy the link
            </button>
          </div>
        )}
        {place.window && (
          // It has its height with and without a word in it: what is in sight must not jump.
          <p class="beginning">
            {from !== first ? null : log.older === "failed" ? (
              <button type="button" class="button" onClick={() => void room.log.older()}>
                Older messages could not be read. Try again
              </button>
            ) : log.more ? (
              "Reading older messages…"
            ) : (
              "This is where the room begins."
            )}
          </p>
        )}
        <ol class="lines">{rows}</ol>
      </div>
      {!(place.pinned && atEnd) && (
        <button type="button" class="jump" onClick={jump}>
          <Icon name="down" />
          {news > 0 ? `${news} new` : "Newest"}
        </button>
      )}
      <Announcer messages={messages} user={room.user} ready={log.state === "ready"} />
      <Troubles unsent={unsent} />
    </div>
  );
}

interface Place {
  window: win.Window | null;
  /** seq of the first message of the log. */
  first: number;
  /** Whether the reader is at the newest message and stays there. */
  pinned: boolean;
  /** Something in sight, and where it was before the window moved. */
  anchor: { element: HTMLElement; top: number } | null;
}

/** The first line in sight: it shall stand still. Its keyed element outlives the change of the window. */
function anchorIn(box: HTMLElement | null): Place["anchor"] {
  const lines = box?.querySelectorAll<HTMLElement>("li[data-seq]");
  if (!box || !lines) return null;
  let low = 0;
  let high = lines.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    const line = lines[middle]!;
    if (line.offsetTop + line.offsetHeight > box.scrollTop) high = middle;
    else low = middle + 1;
  }
  const element = lines[low];
  return element ? { element, top: element.offsetTop } : null;
}

/** One's own message keeps its element from the moment it is written until it stands in the log. */
function keyOf(message: Message, user: string): string {
  return message.user === user && message.clientId ? `own ${message.clientId}` : String(message.seq);
}

function together(one: { user: string; at: number } | undefined, two: { user: string; at: number }): boolean {
  return one !== undefined && one.user === two.user && two.at - one.at < GROUP && dayOf(one.at) === dayOf(two.at);
}

function DayLine({ at }: { at: number }): JSX.Element {
  return (
    <li class="day">
      <span>{dayName(at)}</span>
    </li>
  );
}

function FreshLine(): JSX.Element {
  return (
    <li class="fresh">
      <span>New</span>
    </li>
  );
}

function Skeleton(): JSX.Element {
  return (
    <div class="skeleton" role="status">
      <span class="sr">Reading the messages…</span>
      {["a", "b", "c own", "d", "e own", "f"].map((shape) => (
        <div key={shape} class={`bone ${shape}`} />
      ))}
    </div>
  );
}

/** Reads new messages of others out to screen readers, and never the older ones that scrolling brings. */
function Announcer({ messages, user, ready }: { messages: readonly Message[]; user: string; ready: boolean }): JSX.Element {
  const said = useRef<number | null>(null);
  const [spoken, setSpoken] = useState<readonly Message[]>([]);
  const last = messages.at(-1)?.seq ?? 0;
  useEffect(() => {
    if (!ready) return;
    const heard = said.current;
    said.current = last;
    if (heard === null || last <= heard) return;
    const first = messages[0]?.seq ?? 0;
    const news = messages.slice(Math.max(0, heard + 1 - first)).filter((message) => message.user !== user);
    if (news.length > 0) setSpoken(news.slice(-5));
  }, [last, ready]);
  return (
    <div class="sr" role="log" aria-live="polite" aria-label="New messages">
      {spoken.map((message) => (
        <p key={message.seq}>
          {legible(message.user)}: {message.body}
        </p>
      ))}
    </div>
  );
}

/** Tells screen readers that a message of one's own was not taken, and why. */
function Troubles({ unsent }: { unsent: readonly Unsent[] }): JSX.Element {
  return (
    <div class="sr" role="alert">
      {unsent.map((message) => troubleOf(message) && <p key={message.clientId}>{troubleOf(message)}</p>)}
    </div>
  );
}
