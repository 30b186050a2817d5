// One open room in one tab: its log, its outbox, who is present, and how the connection stands.
//
// Of all tabs of this browser that show the room, one leads: it holds the room's lock and the only stream, and tells
// the others what it hears. Each tab keeps its own log, so nothing is lost when the leader goes.
import { durationMs } from "@bufbuild/protobuf/wkt";
import { alive } from "../api/rest";
import { chat, unary } from "../api/rpc";
import { Failure, failureOf } from "../api/failure";
import { Cell } from "../cell";
import { Channel, hold } from "../locks";
import { session } from "../session";
import { Feed, type FeedEvent } from "./feed";
import { Log, type Page } from "./log";
import { messageOf, namesOf, roomOf, type Message, type Presence, type RoomInfo } from "./message";
import { Outbox } from "./outbox";
import { Alarm } from "./pause";

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
  readonly outbox: Outbox;
  #token: string | null;
  #joining: Promise<string> | null = null;
  #alarm = new Alarm();
  #feed: Feed;
  #closing = new AbortController();
  #leading = false;
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
    token: string | null,
    private readonly appended: (message: Message) => void,
  ) {
    this.info = new Cell(info);
    this.#token = token;
    this.log = new Log((ask) => this.#page(ask), (message) => this.#appended(message));
    this.outbox = new Outbox(
      user,
      code,
      (unsent) => this.#send(unsent.body, unsent.clientId),
      (message) => this.log.apply(message),
      this.#alarm.wait,
    );
    this.#feed = new Feed(
      {
        token: () => this.#enter(),
        refuse: (refused) => this.#refuse(refused),
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
    this.outbox.drain();
  }

  close(): void {
    removeEventListener("online", this.#wake);
    removeEventListener("offline", this.#doubt);
    document.removeEventListener("visibilitychange", this.#looked);
    clearInterval(this.#vigil);
    this.#closing.abort();
    this.#alarm.ring();
    this.outbox.close();
    this.log.close();
    this.#channel.close();
  }

  /** Tries again at once, in this tab and in the one that leads. */
  retry(): void {
    if (this.log.view.value.state === "failed") void this.log.load();
    this.#wake();
  }

  /** Enters again after the room was closed to this user. */
  async reenter(password: string): Promise<void> {
    const joined = await session
      .call((token) => chat.joinChatRoom({ shortCode: this.code, roomPassword: password }, unary(token)))
      .catch((thrown) => {
        throw failureOf(thrown);
      });
    this.#token = joined.token;
    this.status.value = { kind: "connecting" };
    this.#start(false);
    this.outbox.drain();
  }

  /** Runs a call that needs a chat token, and once again with a new one where it was refused. */
  async call<T>(work: (token: string) => Promise<T>): Promise<T> {
    const token = await this.#enter();
    try {
      return await work(token);
    } catch (thrown) {
      const failure = failureOf(thrown);
      if (failure.kind !== "unauthenticated") throw failure;
      this.#refuse(token);
      return await work(await this.#enter()).catch((again) => {
        throw failureOf(again);
      });
    }
  }

  #start(steal: boolean): void {
    if (this.log.view.value.state !== "ready") void this.log.load().then(() => this.#loaded());
    void hold(`grpcchatter/room/${this.user}/${this.code}`, this.#closing.signal, steal, (signal) => this.#lead(signal)).then(
      (stolen) => {
        if (stolen) this.#start(false);
      },
    );
  }

  #loaded(): void {
    const { failure } = this.log.view.value;
    if (failure?.kind === "refused") this.status.value = { kind: "over", reason: failure.reason };
    this.#alarm.ring();
  }

  async #lead(signal: AbortSignal): Promise<void> {
    this.#leading = true;
    try {
      // The stream goes on from the newest message, so that has to be known first.
      while (this.log.view.value.state !== "ready" && this.status.value.kind !== "over" && !signal.aborted) {
        if (this.log.view.value.state === "failed") {
          this.#say({ kind: "waiting", until: Date.now() + 2000, reason: this.log.view.value.failure?.reason ?? "" });
          await this.#alarm.wait(2000);
          if (!signal.aborted) await this.log.load().then(() => this.#loaded());
        } else {
          await this.#alarm.wait(1000);
        }
      }
      if (this.status.value.kind !== "over") await this.#feed.run(signal);
    } finally {
      this.#leading = false;
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
          await this.log.reset();
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
        const users = new Set(this.presence.value?.users);
        for (const name of left) users.delete(name);
        for (const name of namesOf(came)) users.add(name);
        this.#tell({ kind: "presence", presence: { users: [...users], count: userCount } });
        break;
      }
      case "roomUpdated":
        this.#tell({ kind: "info", info: roomOf(event.value) });
        break;
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
      if (this.#leading) this.#introduce();
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
          // It is the sender's turn too, and this tab may have been shut out before.
          this.#alarm.ring();
          if (was === "over" && !this.#leading) this.#start(false);
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
        break;
    }
  }

  #appended(message: Message): void {
    if (message.user === this.user && message.clientId) this.outbox.remove(message.clientId);
    this.appended(message);
  }

  /** A leader that says nothing, not even heartbeats, may be frozen: a tab that is looked at takes its place. */
  #watchLeader(): void {
    if (this.#leading || document.hidden || this.status.value.kind === "over") return;
    if (Date.now() - this.#heard > this.#interval * 3) {
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

  async #send(body: string, clientMessageId: string): Promise<Message> {
    const { message } = await this.call((token) => chat.sendMessage({ body, clientMessageId }, unary(token)));
    if (!message) throw new Failure("unreachable", "");
    return messageOf(message);
  }

  #refuse(token: string): void {
    if (this.#token === token) this.#token = null;
  }

  /** The chat token; members get a new one by the room's code alone. */
  async #enter(): Promise<string> {
    if (this.#token) return this.#token;
    this.#joining ??= session
      .call((token) => chat.joinChatRoom({ shortCode: this.code }, unary(token)))
      .then(({ token, room }) => {
        if (room) this.info.value = roomOf(room);
        this.#token = token;
        return token;
      })
      .finally(() => (this.#joining = null));
    return this.#joining;
  }
}
