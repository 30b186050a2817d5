// The messages that this user has written in one room and the server has not acknowledged yet.
//
// Each message has its own key in storage, with its client_message_id, so it outlives the tab. One tab at a time sends, under a
// Web Lock, one message after the other, which keeps their order. The id makes sends idempotent, so a send in doubt is repeated.
import { failureOf, INTERMEDIARY, type Failure } from "../api/failure";
import { Observable } from "../observable";
import * as storage from "../storage";
import { exclusive } from "../locks";
import { Backoff, type Sleep } from "./backoff";
import { uuidv7 } from "../uuid";
import type { Message } from "./message";

export interface Unsent {
  clientId: string;
  body: string;
  /** When it was written, in milliseconds since 1970. */
  at: number;
  /** The reason for which the server refused it; "" while it is being sent. */
  refused: string;
  /** The reason for which the last attempts failed. The message is retried. */
  held?: string;
}

/** Sends a room's messages. There is one while the room is open and one while it is closed. */
export interface Sender {
  send: (unsent: Unsent) => Promise<Message>;
  /** Takes the stored message from the server's answer. Returns whether the log shows it already. */
  stored: (message: Message) => boolean;
}

/** What all outboxes of a user share. */
export interface OutboxContext {
  /** Sends messages while the room is closed. */
  whileClosed: Sender;
  /** Sleeps between two attempts; ends early when the network is back. */
  sleep: Sleep;
  /** Retries at once, in every tab: the user asks for it, or the server is back. */
  retryNow: () => void;
  /** Sends the other tabs a message that the server has stored. */
  announceStored: (message: Message) => void;
  /** Sends the other tabs the id of a message that its author has discarded. */
  announceDiscarded: (clientId: string) => void;
}

/** Failed attempts that the message does not show: a restart or a lost connection causes them. */
const UNREPORTED_FAILURES = 2;
/** Reasons for which joining the room is refused. After the user has joined, the message can be sent. */
const JOIN_REFUSALS: ReadonlySet<string> = new Set(["WRONG_ROOM_PASSWORD", "NOT_A_MEMBER", "BANNED", "ROOM_NOT_FOUND"]);

export class Outbox {
  readonly unsent: Observable<readonly Unsent[]>;
  #prefix: string;
  #lock: string;
  #sender: Sender;
  /** Messages that are acknowledged and that the log does not show yet. */
  #stored = new Set<string>();
  #sending = false;
  #closed = false;

  constructor(
    user: string,
    readonly code: string,
    private readonly context: OutboxContext,
  ) {
    this.#prefix = `unsent/${user}/${code}/`;
    this.#lock = `grpcchatter/${this.#prefix}`;
    this.#sender = context.whileClosed;
    this.unsent = new Observable(this.#read());
  }

  /** The room was opened: from now on its log shows the messages that were sent. */
  attach(sender: Sender): void {
    this.#sender = sender;
    this.drain();
  }

  /** The room was closed. Pending messages are still sent. */
  detach(): void {
    this.#sender = this.context.whileClosed;
    for (const clientId of this.#stored) this.remove(clientId);
    this.drain();
  }

  /** Sends again what was refused because the user could not join, now that they have. */
  retryAfterJoin(): void {
    for (const unsent of this.unsent.value) if (JOIN_REFUSALS.has(unsent.refused)) this.#write({ ...unsent, refused: "" });
    this.drain();
  }

  add(body: string): void {
    this.#write({ clientId: uuidv7(), body, at: Date.now(), refused: "" });
    this.drain();
  }

  retry(unsent: Unsent): void {
    const reused = unsent.refused === "CLIENT_MESSAGE_ID_REUSED";
    if (reused) this.discard(unsent.clientId);
    this.#write({ ...unsent, clientId: reused ? uuidv7() : unsent.clientId, refused: "", held: "" });
    this.drain();
  }

  retryNow(): void {
    this.context.retryNow();
  }

  /** Removes a message that its author has discarded, in every tab. */
  discard(clientId: string): void {
    this.remove(clientId);
    this.context.announceDiscarded(clientId);
  }

  /** Removes a message from this tab and from storage: the log shows it, or it was discarded. */
  remove(clientId: string): void {
    if (!this.#has(clientId)) return;
    this.#stored.delete(clientId);
    storage.remove(this.#prefix + clientId);
    this.unsent.value = this.unsent.value.filter((unsent) => unsent.clientId !== clientId);
  }

  /** Records that the server has stored a message. Any tab may have sent it. */
  acknowledge(message: Message): void {
    if (!this.#has(message.clientId)) return;
    // It stays on the screen until the log shows it.
    this.#stored.add(message.clientId);
    if (this.#sender.stored(message)) this.remove(message.clientId);
  }

  /** Reads the messages from storage again, after another tab has written or removed some. */
  reload(): void {
    const read = this.#read();
    const here = new Set(read.map(({ clientId }) => clientId));
    const open = this.#sender !== this.context.whileClosed;
    // A message that another tab has sent stays visible until the log shows it here too. A discarded one is announced separately.
    const sent = open ? this.unsent.value.filter(({ clientId }) => !here.has(clientId)) : [];
    for (const { clientId } of sent) this.#stored.add(clientId);
    this.unsent.value = sent.concat(read).sort((one, two) => (one.clientId < two.clientId ? -1 : 1));
  }

  /** Sends the pending messages, unless this tab is doing so already. */
  drain(): void {
    if (this.#sending || this.#closed || !this.#next()) return;
    this.#sending = true;
    void exclusive(this.#lock, () => this.#sendAll()).finally(() => {
      this.#sending = false;
      // A message may have been added since the last check.
      if (this.#next()) this.drain();
    });
  }

  close(): void {
    this.#closed = true;
  }

  async #sendAll(): Promise<void> {
    const backoff = new Backoff();
    let failures = 0;
    // The tab that had the lock before may have sent some.
    this.reload();
    for (let unsent = this.#next(); unsent && !this.#closed; unsent = this.#next()) {
      try {
        const message = await this.#sender.send(unsent);
        backoff.reset();
        failures = 0;
        this.context.announceStored(message);
        this.acknowledge(message);
      } catch (thrown) {
        const failure = failureOf(thrown);
        if (failure.kind === "refused") this.#update(unsent, { refused: failure.reason || INTERMEDIARY, held: "" });
        else await this.#wait(unsent, failure, ++failures, backoff);
      }
    }
  }

  async #wait(unsent: Unsent, failure: Failure, failures: number, backoff: Backoff): Promise<void> {
    // A failure without a reason is the network's, which the banner shows.
    if (failures > UNREPORTED_FAILURES && failure.reason !== (unsent.held ?? "")) this.#update(unsent, { held: failure.reason });
    await this.context.sleep(Math.max(failure.retryAfter, backoff.next()));
  }

  #update(unsent: Unsent, change: Partial<Unsent>): void {
    // Meanwhile the stream may have acknowledged it, or another tab may have discarded it.
    if (this.#has(unsent.clientId) && storage.read(this.#prefix + unsent.clientId) !== null) this.#write({ ...unsent, ...change });
  }

  #has(clientId: string): boolean {
    return this.unsent.value.some((unsent) => unsent.clientId === clientId);
  }

  #next(): Unsent | undefined {
    return this.unsent.value.find((unsent) => !unsent.refused && !this.#stored.has(unsent.clientId));
  }

  #write(unsent: Unsent): void {
    storage.write(this.#prefix + unsent.clientId, JSON.stringify(unsent));
    const others = this.unsent.value.filter((other) => other.clientId !== unsent.clientId);
    const after = others.findIndex((other) => other.clientId > unsent.clientId);
    // UUIDv7 ids sort by time, which is the order of sending.
    this.unsent.value = after < 0 ? [...others, unsent] : others.toSpliced(after, 0, unsent);
  }

  #read(): Unsent[] {
    return storage.keys(this.#prefix).flatMap((key) => {
      try {
        return [JSON.parse(storage.read(key) ?? "") as Unsent];
      } catch {
        return [];
      }
    });
  }
}
