// The log on the screen: messages in groups, day lines, and a line above the unread messages. The messages in view keep their
// position when others are added above or below.
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo, useReducer, useRef, useState } from "preact/hooks";
import { sentence } from "../api/failure";
import { useObservable } from "../observable";
import { copy } from "../toast";
import type { Message } from "../room/message";
import type { Unsent } from "../room/outbox";
import type { Room } from "../room/room";
import type { Rooms } from "../rooms";
import { roomLink } from "../route";
import { legible } from "../text";
import { dayName, dayOf } from "../time";
import type { ComposerHandle } from "./composer";
import { Icon } from "./icons";
import { Line, sendError, type UnsentActions } from "./line";
import * as win from "./window";

/** Messages of one user within this time, in milliseconds, form a group. */
const GROUP = 5 * 60_000;
/** The window moves when the reader is this many pixels from one of its ends. */
const EDGE = 900;
/** This many pixels from the bottom still count as the bottom. */
const BOTTOM = 60;
/** Older messages are loaded when fewer than this many are left above the window. */
const AHEAD = 150;

interface Props {
  room: Room;
  rooms: Rooms;
  composer: ComposerHandle;
}

export function Messages({ room, rooms, composer }: Props): JSX.Element {
  const log = useObservable(room.log.view);
  const unsent = useObservable(room.outbox.unsent);
  const [, render] = useReducer((count: number) => count + 1, 0);
  const box = useRef<HTMLDivElement>(null);
  const viewport = useRef<Viewport>({ window: null, first: 0, pinned: true, anchor: null }).current;
  const { messages } = log;
  const first = messages[0]?.seq ?? 0;
  const last = messages.at(-1)?.seq ?? 0;

  const [fresh, setFresh] = useState(0);
  if (messages.length === 0) viewport.window = null;
  else if (!viewport.window) viewport.window = win.newest(first, last);
  else viewport.window = win.fit(viewport.window, first, last, viewport.pinned);
  if (viewport.window && first < viewport.first) {
    // After older messages are added, the first line may lose its day line and join a group. Its position can only be kept if
    // there is something above it, so the window grows upwards too.
    viewport.anchor ??= anchorIn(box.current);
    if (viewport.window.from === viewport.first) viewport.window = win.up(viewport.window, first, last);
  }
  viewport.first = first;
  const { from, to } = viewport.window ?? { from: 0, to: Infinity };
  const atEnd = to >= last;

  const move = (next: win.Window) => {
    viewport.anchor = anchorIn(box.current);
    viewport.window = next;
    render(undefined);
  };
  const look = () => {
    const element = box.current;
    if (!element || !viewport.window) return;
    const below = element.scrollHeight - element.scrollTop - element.clientHeight;
    const pinned = viewport.window.to >= last && below < BOTTOM;
    if (pinned !== viewport.pinned) {
      viewport.pinned = pinned;
      render(undefined);
    }
    if (element.scrollTop < EDGE && viewport.window.from > first) move(win.up(viewport.window, first, last));
    else if (below < EDGE && viewport.window.to < last) move(win.down(viewport.window, last));
    if (viewport.window.from - first < AHEAD && log.more && log.older === "idle") void room.log.older();
    if (viewport.pinned && !document.hidden) rooms.markRead(room.code, last);
  };
  const jump = () => {
    viewport.window = win.newest(first, last);
    viewport.pinned = true;
    render(undefined);
  };

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    if (viewport.pinned) element.scrollTop = element.scrollHeight;
    else if (viewport.anchor) viewport.anchor.element.isConnected && (element.scrollTop += viewport.anchor.element.offsetTop - viewport.anchor.top);
    viewport.anchor = null;
    look();
  });

  const looking = useRef(look);
  looking.current = look;
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    // An on-screen keyboard that opens must not push the newest message out of view.
    const observer = new ResizeObserver(() => {
      if (viewport.pinned) element.scrollTop = element.scrollHeight;
    });
    const looked = () => looking.current();
    observer.observe(element);
    document.addEventListener("visibilitychange", looked);
    return () => {
      observer.disconnect();
      document.removeEventListener("visibilitychange", looked);
    };
  }, []);

  // The line above the unread messages stays while the reader looks at the room. It is set again when they leave the tab.
  useEffect(() => setFresh(rooms.readUpTo(room.code)), [room]);
  useEffect(() => {
    const left = () => document.hidden && setFresh(Math.max(rooms.readUpTo(room.code), 0));
    document.addEventListener("visibilitychange", left);
    return () => document.removeEventListener("visibilitychange", left);
  }, [room]);

  // A new message of the user's own scrolls to the newest.
  const mine = unsent.at(-1)?.clientId ?? "";
  const seenMine = useRef(mine);
  useEffect(() => {
    if (mine > seenMine.current) jump();
    if (mine) seenMine.current = mine;
  }, [mine]);

  const actions = useMemo<UnsentActions>(
    () => ({
      retryNow: () => room.retry(),
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
  const shown = viewport.window ? messages.slice(from - first, Math.min(to, last) - first + 1) : [];
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
          actions={actions}
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
            <p>The messages could not be loaded. {log.failure && sentence(log.failure)}</p>
            <button type="button" class="button" onClick={() => room.retry()}>
              Try again
            </button>
          </div>
        )}
        {log.state === "ready" && messages.length === 0 && unsent.length === 0 && (
          <div class="empty">
            <Icon name="smile" />
            <h2>No messages yet</h2>
            <p>Write the first message, or share the room’s link so that others can join.</p>
            <button type="button" class="button" onClick={() => void copy(roomLink(room.code), "Link copied.")}>
              <Icon name="copy" />
              Copy the link
            </button>
          </div>
        )}
        {viewport.window && (
          // It has the same height with and without text, so that the messages in view do not move.
          <p class="beginning">
            {from !== first ? null : log.older === "failed" ? (
              <button type="button" class="button" onClick={() => void room.log.older()}>
                Older messages could not be loaded. Try again
              </button>
            ) : log.more ? (
              "Loading older messages…"
            ) : (
              "This is where the room begins."
            )}
          </p>
        )}
        <ol class="lines">{rows}</ol>
      </div>
      {!(viewport.pinned && atEnd) && (
        <button type="button" class="jump" onClick={jump}>
          <Icon name="down" />
          {news > 0 ? `${news} new` : "Newest"}
        </button>
      )}
      <Announcer messages={messages} user={room.user} ready={log.state === "ready"} />
      <SendErrors unsent={unsent} />
    </div>
  );
}

interface Viewport {
  window: win.Window | null;
  /** seq of the first message of the log. */
  first: number;
  /** Whether the reader is at the newest message and stays there. */
  pinned: boolean;
  /** The first line in view, and its offset before the window moved. */
  anchor: { element: HTMLElement; top: number } | null;
}

/** The first line in view, whose position is to be kept. Its element is keyed, so it survives the move of the window. */
function anchorIn(box: HTMLElement | null): Viewport["anchor"] {
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

/** The user's own message has one key from when it is written until it is in the log, so it keeps its element. */
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
      <span class="sr">Loading the messages…</span>
      {["a", "b", "c own", "d", "e own", "f"].map((shape) => (
        <div key={shape} class={`bone ${shape}`} />
      ))}
    </div>
  );
}

/** Announces new messages of others to screen readers, but not the older ones that scrolling loads. */
function Announcer({ messages, user, ready }: { messages: readonly Message[]; user: string; ready: boolean }): JSX.Element {
  const announced = useRef<number | null>(null);
  const [spoken, setSpoken] = useState<readonly Message[]>([]);
  const last = messages.at(-1)?.seq ?? 0;
  useEffect(() => {
    if (!ready) return;
    const heard = announced.current;
    announced.current = last;
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

/** Announces to screen readers why a message of the user's own was not sent. */
function SendErrors({ unsent }: { unsent: readonly Unsent[] }): JSX.Element {
  return (
    <div class="sr" role="alert">
      {unsent.map((message) => sendError(message) && <p key={message.clientId}>{sendError(message)}</p>)}
    </div>
  );
}
