// One open room in one tab: its log, its outbox, who is present, and the state of the connection.
//
// Of all tabs of this browser that show the room, one is the leader: it holds the room's lock and the only stream, and passes
// the events on to the other tabs. Each tab has its own log, so nothing is lost when the leader is closed.
import { durationMs } from "@bufbuild/protobuf/wkt";
import { alive } from "../api/rest";
import { chat, unary } from "../api/rpc";
import { Channel, hold } from "../locks";
import { Observable } from "../observable";
import { Backoff, RetryTimer } from "./backoff";
import { ChatToken } from "./chat-token";
import { Log, type Page, type PageRequest } from "./log";
import { messageOf, namesOf, roomOf, type Message, type RoomInfo } from "./message";
import type { Outbox } from "./outbox";
import { sendWith } from "./outboxes";
import { applyChange, isComplete, type Presence } from "./presence";
import { Subscription, type SubscriptionEvent } from "./subscription";

const PAGE = 100;
const GAP_PAGE = 200;

export type Status =
  | { kind: "connecting" }
  | { kind: "live" }
  /** Down. The next attempt starts at `until`, in milliseconds since 1970. */
  | { kind: "waiting"; until: number; reason: string }
  /** Closed to this user: removed, banned, the room deleted, or its password changed. */
  | { kind: "over"; reason: string };

type TabMessage =
  | { kind: "hello" }
  | { kind: "wake" }
  | { kind: "status"; status: Status }
  | { kind: "info"; info: RoomInfo }
  | { kind: "presence"; presence: Presence }
  | { kind: "message"; message: Message }
  | { kind: "beat"; lastSeq: number; interval: number }
  | { kind: "reset" };

export class Room {
  readonly status = new Observable<Status>({ kind: "connecting" });
  readonly info: Observable<RoomInfo | null>;
  readonly presence = new Observable<Presence | null>(null);
  readonly log: Log;
  #chatToken: ChatToken;
  #retryTimer = new RetryTimer();
  #backoff = new Backoff();
  #subscription: Subscription;
  #closing = new AbortController();
  /** Fires when this tab stops being the leader; null while another tab is. */
  #lead: AbortSignal | null = null;
  /** When the last message of the leader came. It sends one at least once per heartbeat interval. */
  #lastHeard = Date.now();
  #heartbeatInterval = 15_000;
  #channel: Channel<TabMessage>;
  #leaderWatchdog: ReturnType<typeof setInterval> | undefined;

  /** `token` comes from joining the room just before. Without one, the room is joined as a member. */
  constructor(
    readonly user: string,
    readonly code: string,
    info: RoomInfo | null,
    private readonly token: string | null,
    readonly outbox: Outbox,
    private readonly appended: (message: Message) => void,
  ) {
    this.info = new Observable(info);
    this.#chatToken = new ChatToken(code, token, (joined) => (this.info.value = joined));
    this.log = new Log((request) => this.#page(request), (message) => this.#messageShown(message));
    this.log.view.watch(() => this.#logChanged());
    this.#subscription = new Subscription(
      {
        token: () => this.#chatToken.get(),
        invalidate: (token) => this.#chatToken.invalidate(token),
        last: () => this.log.last,
        event: (event) => this.#handle(event),
        waiting: (until, failure) => this.#setStatus({ kind: "waiting", until, reason: failure?.reason ?? "" }),
        over: (failure) => this.#setStatus({ kind: "over", reason: failure.reason }),
      },
      this.#retryTimer,
    );
    this.#channel = new Channel(`grpcchatter/room/${user}/${code}`, (message) => this.#receive(message));
  }

  open(): void {
    addEventListener("online", this.#wake);
    addEventListener("offline", this.#checkOffline);
    document.addEventListener("visibilitychange", this.#visibilityChanged);
    this.#channel.post({ kind: "hello" });
    this.#leaderWatchdog = setInterval(() => this.#checkLeader(), this.#heartbeatInterval);
    this.#start("queue");
    this.outbox.attach({ send: sendWith(this.#chatToken), stored: (message) => this.log.apply(message) });
    if (this.token) this.outbox.retryAfterJoin();
  }

  close(): void {
    removeEventListener("online", this.#wake);
    removeEventListener("offline", this.#checkOffline);
    document.removeEventListener("visibilitychange", this.#visibilityChanged);
    clearInterval(this.#leaderWatchdog);
    this.#closing.abort();
    this.#retryTimer.wake();
    this.log.close();
    this.#channel.close();
    this.outbox.detach();
  }

  /** Retries at once, in this tab and in the leader. */
  retry(): void {
    if (this.log.view.value.state === "failed") void this.log.load();
    this.outbox.retryNow();
    this.#wake();
  }

  /** Joins again after the room was closed to this user. */
  async reenter(password: string): Promise<void> {
    await this.#chatToken.join(password);
    this.status.value = { kind: "connecting" };
    this.#start("queue");
    this.outbox.retryAfterJoin();
  }

  /** Runs a call that needs a chat token. */
  call<T>(work: (token: string) => Promise<T>): Promise<T> {
    return this.#chatToken.call(work);
  }

  /** Competes for the lead: waits for the room's lock, or steals it. */
  #start(how: "queue" | "steal"): void {
    if (this.log.view.value.state !== "ready") void this.log.load();
    void hold(`grpcchatter/room/${this.user}/${this.code}`, this.#closing.signal, how, (signal) => this.#follow(signal)).then(
      (stolen) => {
        if (stolen) this.#start("queue");
      },
    );
  }

  /** If the newest messages could not be read, each tab retries with its own backoff, and at once when the server is back. */
  #logChanged(): void {
    const { state, failure } = this.log.view.value;
    if (state === "ready") this.#backoff.reset();
    if (state !== "failed") return;
    if (failure?.kind === "refused") {
      this.status.value = { kind: "over", reason: failure.reason };
      return;
    }
    const pause = Math.max(failure?.retryAfter ?? 0, this.#backoff.next());
    if (this.#lead && this.status.value.kind !== "live") {
      this.#setStatus({ kind: "waiting", until: Date.now() + pause, reason: failure?.reason ?? "" });
    }
    const { value } = this.log.view;
    void this.#retryTimer.sleep(pause).then(() => {
      if (this.log.view.value === value && !this.#closing.signal.aborted) void this.log.load({ quiet: true });
    });
  }

  /** Leads: runs the stream until the signal fires. */
  async #follow(signal: AbortSignal): Promise<void> {
    this.#lead = signal;
    try {
      // The stream resumes after the newest message, so that has to be known first.
      await this.log.view.until(({ state, failure }) => state === "ready" || failure?.kind === "refused", signal);
      if (this.status.value.kind !== "over" && !signal.aborted) await this.#subscription.run(signal);
    } finally {
      if (this.#lead === signal) this.#lead = null;
    }
  }

  async #handle(event: SubscriptionEvent): Promise<void> {
    switch (event.case) {
      case "subscribed": {
        const { room, reset, heartbeatInterval } = event.value;
        if (heartbeatInterval) this.#heartbeatInterval = durationMs(heartbeatInterval) || this.#heartbeatInterval;
        if (room) this.#broadcast({ kind: "info", info: roomOf(room) });
        if (reset) {
          this.#channel.post({ kind: "reset" });
          void this.log.reset();
        }
        break;
      }
      case "message":
        this.#broadcast({ kind: "message", message: messageOf(event.value) });
        break;
      case "caughtUp":
        this.#broadcast({ kind: "beat", lastSeq: Number(event.value.lastSeq), interval: this.#heartbeatInterval });
        this.#setStatus({ kind: "live" });
        break;
      case "heartbeat":
        this.#broadcast({ kind: "beat", lastSeq: Number(event.value.lastSeq), interval: this.#heartbeatInterval });
        break;
      case "presence":
        this.#broadcast({ kind: "presence", presence: { users: namesOf(event.value.users), count: event.value.userCount } });
        break;
      case "presenceChange": {
        const { came, left, userCount } = event.value;
        const presence = applyChange(this.presence.value, namesOf(came), left, userCount);
        this.#broadcast({ kind: "presence", presence });
        if (!isComplete(presence)) await this.#fetchNames(presence);
        break;
      }
      case "roomUpdated":
        this.#broadcast({ kind: "info", info: roomOf(event.value) });
        break;
    }
  }

  /** Fetches the names of the users who are present. */
  async #fetchNames(presence: Presence): Promise<void> {
    try {
      const { users } = await this.call((token) => chat.listChatRoomUsers({}, unary(token)));
      this.#broadcast({ kind: "presence", presence: { users: namesOf(users), count: users.length } });
    } catch {
      // The next change fetches them again.
      this.#broadcast({ kind: "presence", presence: { ...presence, users: [] } });
    }
  }

  #setStatus(status: Status): void {
    this.#broadcast({ kind: "status", status });
  }

  /** Applies a message in this tab and sends it to the others. */
  #broadcast(message: TabMessage): void {
    this.#channel.post(message);
    this.#apply(message);
  }

  #receive(received: TabMessage): void {
    if (received.kind === "hello") {
      if (this.#lead) this.#sendState();
      return;
    }
    if (received.kind === "wake") {
      this.#retryTimer.wake();
      this.#subscription.cutIfSilent();
      return;
    }
    this.#lastHeard = Date.now();
    if (received.kind === "reset") void this.log.reset();
    else this.#apply(received);
  }

  #sendState(): void {
    if (this.info.value) this.#channel.post({ kind: "info", info: this.info.value });
    if (this.presence.value) this.#channel.post({ kind: "presence", presence: this.presence.value });
    this.#channel.post({ kind: "status", status: this.status.value });
  }

  #apply(received: TabMessage): void {
    switch (received.kind) {
      case "status": {
        const was = this.status.value.kind;
        this.status.value = received.status;
        if (received.status.kind === "live") {
          // Loads and sends that wait are retried too, and a tab that was shut out competes for the lead again.
          this.#retryTimer.wake();
          if (this.#lead) this.outbox.retryNow();
          else if (was === "over") this.#start("queue");
        }
        break;
      }
      case "info":
        this.info.value = received.info;
        break;
      case "presence":
        this.presence.value = received.presence;
        break;
      case "message":
        this.log.apply(received.message);
        break;
      case "beat":
        this.#heartbeatInterval = received.interval;
        this.log.expect(received.lastSeq);
        if (this.log.view.value.state === "failed") this.#retryTimer.wake();
        break;
    }
  }

  #messageShown(message: Message): void {
    if (message.user === this.user && message.clientId) this.outbox.remove(message.clientId);
    this.appended(message);
  }

  /** A leader that sends nothing for three heartbeat intervals may be frozen: a visible tab takes the lead from it. */
  #checkLeader(): void {
    const { value: status } = this.status;
    if (this.#lead || document.hidden || status.kind === "over") return;
    // A leader that waits for its next attempt sends nothing meanwhile.
    const due = status.kind === "waiting" ? Math.max(this.#lastHeard, status.until) : this.#lastHeard;
    if (Date.now() - due > this.#heartbeatInterval * 3) {
      this.#lastHeard = Date.now();
      this.#start("steal");
    }
  }

  #wake = (): void => {
    this.#channel.post({ kind: "wake" });
    this.#retryTimer.wake();
    this.#subscription.cutIfSilent();
  };

  #visibilityChanged = (): void => {
    if (!document.hidden) this.#wake();
  };

  /** The browser says that it is offline, which may be wrong: the stream is cut only if the server does not answer. */
  #checkOffline = (): void => {
    void alive(3000).then((answered) => {
      if (!answered) this.#subscription.cut();
    });
  };

  async #page(request: PageRequest): Promise<Page> {
    const range =
      "before" in request
        ? { pageSize: PAGE, beforeSeq: BigInt(request.before) }
        : { pageSize: GAP_PAGE, afterSeq: BigInt(request.after) };
    const page = await this.call((token) => chat.listMessages(range, unary(token)));
    return { messages: page.messages.map(messageOf), more: page.more, lastSeq: Number(page.lastSeq) };
  }
}
