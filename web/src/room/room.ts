// One open room in one tab: its log, its outbox, who is present, and how the connection stands.
//
// Of all tabs of this browser that show the room, one leads: it holds the room's lock and the only stream, and tells
// the others what it hears. Each tab keeps its own log, so nothing is lost when the leader goes.
import { durationMs } from "@bufbuild/protobuf/wkt";
import { alive } from "../api/rest";
import { chat, unary } from "../api/rpc";
import { Cell } from "../cell";
import { Channel, hold } from "../locks";
import { Entrance } from "./entrance";
import { Feed, type FeedEvent } from "./feed";
import { Log, type Page } from "./log";
import { messageOf, namesOf, roomOf, type Message, type RoomInfo } from "./message";
import type { Outbox } from "./outbox";
import { sender } from "./outboxes";
import { Alarm, Backoff } from "./pause";
import { changed, complete, type Presence } from "./presence";

const PAGE = 100;
const MEND_PAGE = 200;

export type Status =
  | { kind: "connecting" }
  | { kind: "live" }
  /** Down; the next attempt comes at `until`, in milliseconds since 1970. */
  | { kind: "waiting"; until: number; reason: string }
  /** For good: removed, banned, the room deleted, or its password changed. */
  | { kind: "over"; reason: string };

type Told =
  | { kind: "hello" }
  | { kind: "wake" }
  | { kind: "status"; status: Status }
  | { kind: "info"; info: RoomInfo }
  | { kind: "presence"; presence: Presence }
  | { kind: "message"; message: Message }
  | { kind: "beat"; lastSeq: number; interval: number }
  | { kind: "reset" };

export class Room {
  readonly status = new Cell<Status>({ kind: "connecting" });
  readonly info: Cell<RoomInfo | null>;
  readonly presence = new Cell<Presence | null>(null);
  readonly log: Log;
  #entrance: Entrance;
  #alarm = new Alarm();
  #backoff = new Backoff();
  #feed: Feed;
  #closing = new AbortController();
  /** Ends when the lead does; null where another tab has it. */
  #lead: AbortSignal | null = null;
  /** When the leading tab was last heard, and how often it speaks. */
  #heard = Date.now();
  #interval = 15_000;
  #channel: Channel<Told>;
  #vigil: ReturnType<typeof setInterval> | undefined;

  /** `token` is a chat token that the caller got by joining; without one the room is entered as a member. */
  constructor(
    readonly user: string,
    readonly code: string,
    info: RoomInfo | null,
    private readonly token: string | null,
    readonly outbox: Outbox,
    private readonly appended: (message: Message) => void,
  ) {
    this.info = new Cell(info);
    this.#entrance = new Entrance(code, token, (entered) => (this.info.value = entered));
    this.log = new Log((ask) => this.#page(ask), (message) => this.#appended(message));
    this.log.view.watch(() => this.#read());
    this.#feed = new Feed(
      {
        token: () => this.#entrance.token(),
        refuse: (refused) => this.#entrance.refuse(refused),
        last: () => this.log.last,
        event: (event) => this.#event(event),
        waiting: (until, failure) => this.#say({ kind: "waiting", until, reason: failure?.reason ?? "" }),
        over: (failure) => this.#say({ kind: "over", reason: failure.reason }),
      },
      this.#alarm,
    );
    this.#channel = new Channel(`grpcchatter/room/${user}/${code}`, (told) => this.#hear(told));
  }

  open(): void {
    addEventListener("online", this.#wake);
    addEventListener("offline", this.#doubt);
    document.addEventListener("visibilitychange", this.#looked);
    this.#channel.tell({ kind: "hello" });
    this.#vigil = setInterval(() => this.#watchLeader(), this.#interval);
    this.#start(false);
    this.outbox.attach({ send: sender(this.#entrance), stored: (message) => this.log.apply(message) });
    if (this.token) this.outbox.readmit();
  }

  close(): void {
    removeEventListener("online", this.#wake);
    removeEventListener("offline", this.#doubt);
    document.removeEventListener("visibilitychange", this.#looked);
    clearInterval(this.#vigil);
    this.#closing.abort();
    this.#alarm.ring();
    this.log.close();
    this.#channel.close();
    this.outbox.detach();
  }

  /** Tries again at once, in this tab and in the one that leads. */
  retry(): void {
    if (this.log.view.value.state === "failed") void this.log.load();
    this.outbox.hurry();
    this.#wake();
  }

  /** Enters again after the room was closed to this user. */
  async reenter(password: string): Promise<void> {
    await this.#entrance.enter(password);
    this.status.value = { kind: "connecting" };
    this.#start(false);
    this.outbox.readmit();
  }

  /** Runs a call that needs a chat token. */
  call<T>(work: (token: string) => Promise<T>): Promise<T> {
    return this.#entrance.call(work);
  }

  #start(steal: boolean): void {
    if (this.log.view.value.state !== "ready") void this.log.load();
    void hold(`grpcchatter/room/${this.user}/${this.code}`, this.#closing.signal, steal, (signal) => this.#follow(signal)).then(
      (stolen) => {
        if (stolen) this.#start(false);
      },
    );
  }

  /** Where the newest messages could not be read, each tab asks for them again, sooner where there is news of the server. */
  #read(): void {
    const { state, failure } = this.log.view.value;
    if (state === "ready") this.#backoff.reset();
    if (state !== "failed") return;
    if (failure?.kind === "refused") {
      this.status.value = { kind: "over", reason: failure.reason };
      return;
    }
    const pause = Math.max(failure?.retryAfter ?? 0, this.#backoff.next());
    if (this.#lead && this.status.value.kind !== "live") {
      this.#say({ kind: "waiting", until: Date.now() + pause, reason: failure?.reason ?? "" });
    }
    const { value } = this.log.view;
    void this.#alarm.wait(pause).then(() => {
      if (this.log.view.value === value && !this.#closing.signal.aborted) void this.log.load(true);
    });
  }

  /** Leads: holds the stream, for as long as the signal allows. */
  async #follow(signal: AbortSignal): Promise<void> {
    this.#lead = signal;
    try {
      // The stream goes on from the newest message, so that has to be known first.
      await this.log.view.until(({ state, failure }) => state === "ready" || failure?.kind === "refused", signal);
      if (this.status.value.kind !== "over" && !signal.aborted) await this.#feed.run(signal);
    } finally {
      if (this.#lead === signal) this.#lead = null;
    }
  }

  async #event(event: FeedEvent): Promise<void> {
    switch (event.case) {
      case "subscribed": {
        const { room, reset, heartbeatInterval } = event.value;
        if (heartbeatInterval) this.#interval = durationMs(heartbeatInterval) || this.#interval;
        if (room) this.#tell({ kind: "info", info: roomOf(room) });
        if (reset) {
          this.#channel.tell({ kind: "reset" });
          void this.log.reset();
        }
        break;
      }
      case "message":
        this.#tell({ kind: "message", message: messageOf(event.value) });
        break;
      case "caughtUp":
        this.#tell({ kind: "beat", lastSeq: Number(event.value.lastSeq), interval: this.#interval });
        this.#say({ kind: "live" });
        break;
      case "heartbeat":
        this.#tell({ kind: "beat", lastSeq: Number(event.value.lastSeq), interval: this.#interval });
        break;
      case "presence":
        this.#tell({ kind: "presence", presence: { users: namesOf(event.value.users), count: event.value.userCount } });
        break;
      case "presenceChange": {
        const { came, left, userCount } = event.value;
        const presence = changed(this.presence.value, namesOf(came), left, userCount);
        this.#tell({ kind: "presence", presence });
        if (!complete(presence)) await this.#name(presence);
        break;
      }
      case "roomUpdated":
        this.#tell({ kind: "info", info: roomOf(event.value) });
        break;
    }
  }

  /** Asks for the names of those who are here. */
  async #name(presence: Presence): Promise<void> {
    try {
      const { users } = await this.call((token) => chat.listChatRoomUsers({}, unary(token)));
      this.#tell({ kind: "presence", presence: { users: namesOf(users), count: users.length } });
    } catch {
      // The next change asks again.
      this.#tell({ kind: "presence", presence: { ...presence, users: [] } });
    }
  }

  #say(status: Status): void {
    this.#tell({ kind: "status", status });
  }

  /** Takes news in this tab and hands it to the others. */
  #tell(told: Told): void {
    this.#channel.tell(told);
    this.#take(told);
  }

  #hear(told: Told): void {
    if (told.kind === "hello") {
      if (this.#lead) this.#introduce();
      return;
    }
    if (told.kind === "wake") {
      this.#alarm.ring();
      this.#feed.doubt();
      return;
    }
    this.#heard = Date.now();
    if (told.kind === "reset") void this.log.reset();
    else this.#take(told);
  }

  #introduce(): void {
    if (this.info.value) this.#channel.tell({ kind: "info", info: this.info.value });
    if (this.presence.value) this.#channel.tell({ kind: "presence", presence: this.presence.value });
    this.#channel.tell({ kind: "status", status: this.status.value });
  }

  #take(told: Told): void {
    switch (told.kind) {
      case "status": {
        const was = this.status.value.kind;
        this.status.value = told.status;
        if (told.status.kind === "live") {
          // It is the sender's turn too, in every tab, and this one may have been shut out before.
          this.#alarm.ring();
          if (this.#lead) this.outbox.hurry();
          else if (was === "over") this.#start(false);
        }
        break;
      }
      case "info":
        this.info.value = told.info;
        break;
      case "presence":
        this.presence.value = told.presence;
        break;
      case "message":
        this.log.apply(told.message);
        break;
      case "beat":
        this.#interval = told.interval;
        this.log.expect(told.lastSeq);
        if (this.log.view.value.state === "failed") this.#alarm.ring();
        break;
    }
  }

  #appended(message: Message): void {
    if (message.user === this.user && message.clientId) this.outbox.remove(message.clientId);
    this.appended(message);
  }

  /** A leader that says nothing, not even heartbeats, may be frozen: a tab that is looked at takes its place. */
  #watchLeader(): void {
    const { value: status } = this.status;
    if (this.#lead || document.hidden || status.kind === "over") return;
    // One that waits as long as the server has asked it to has nothing to say meanwhile.
    const due = status.kind === "waiting" ? Math.max(this.#heard, status.until) : this.#heard;
    if (Date.now() - due > this.#interval * 3) {
      this.#heard = Date.now();
      this.#start(true);
    }
  }

  #wake = (): void => {
    this.#channel.tell({ kind: "wake" });
    this.#alarm.ring();
    this.#feed.doubt();
  };

  #looked = (): void => {
    if (!document.hidden) this.#wake();
  };

  /** The browser says that it is offline. Believe it only where the server does not answer. */
  #doubt = (): void => {
    void alive(3000).then((answered) => {
      if (!answered) this.#feed.cut();
    });
  };

  async #page(ask: { before: number } | { after: number }): Promise<Page> {
    const request =
      "before" in ask
        ? { pageSize: PAGE, beforeSeq: BigInt(ask.before) }
        : { pageSize: MEND_PAGE, afterSeq: BigInt(ask.after) };
    const page = await this.call((token) => chat.listMessages(request, unary(token)));
    return { messages: page.messages.map(messageOf), more: page.more, lastSeq: Number(page.lastSeq) };
  }
}
