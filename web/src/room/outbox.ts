// What this user has written in one room and the server has not acknowledged yet.
//
// Each message has its own key in storage, under its client_message_id, so it outlives the tab. One tab at a time
// sends, under a Web Lock, one message after the other: that keeps their order. The id makes a repeated send
// harmless, so after any doubt the message is simply sent again.
import { failureOf, type Failure } from "../api/failure";
import { Cell } from "../cell";
import * as kept from "../kept";
import { exclusive } from "../locks";
import { Backoff, type Pause } from "./pause";
import { uuidv7 } from "../uuid";
import type { Message } from "./message";

export interface Unsent {
  clientId: string;
  body: string;
  /** When it was written, in milliseconds since 1970. */
  at: number;
  /** Why the server will not take it; "" while it is being sent. */
  refused: string;
}

export class Outbox {
  readonly unsent: Cell<readonly Unsent[]>;
  #prefix: string;
  #lock: string;
  /** Acknowledged, but not shown by the log yet. */
  #stored = new Set<string>();
  #sending = false;
  #closed = false;
  #unwatch: () => void;

  constructor(
    user: string,
    code: string,
    private readonly send: (unsent: Unsent) => Promise<Message>,
    /** Takes the server's answer, the message with its place in the log; true where the log has passed that place. */
    private readonly stored: (message: Message) => boolean,
    /** Waits between two attempts, and sooner where the network is back. */
    private readonly pause: Pause,
  ) {
    this.#prefix = `unsent/${user}/${code}/`;
    this.#lock = `grpcchatter/${this.#prefix}`;
    this.unsent = new Cell(this.#read());
    this.#unwatch = kept.watch(this.#prefix, () => (this.unsent.value = this.#read()));
  }

  add(body: string): void {
    this.#write({ clientId: uuidv7(), body, at: Date.now(), refused: "" });
    this.drain();
  }

  retry(unsent: Unsent): void {
    this.remove(unsent.clientId);
    const clientId = unsent.refused === "CLIENT_MESSAGE_ID_REUSED" ? uuidv7() : unsent.clientId;
    this.#write({ ...unsent, clientId, refused: "" });
    this.drain();
  }

  /** Forgets a message: it was stored, or its author does not want to send it any more. */
  remove(clientId: string): void {
    if (!this.unsent.value.some((unsent) => unsent.clientId === clientId)) return;
    this.#stored.delete(clientId);
    kept.forget(this.#prefix + clientId);
    this.unsent.value = this.unsent.value.filter((unsent) => unsent.clientId !== clientId);
  }

  /** Sends what waits, unless this tab is doing so already. */
  drain(): void {
    if (this.#sending || this.#closed || !this.#next()) return;
    this.#sending = true;
    void exclusive(this.#lock, () => this.#sendAll()).finally(() => {
      this.#sending = false;
      // What was added between the last look and this line.
      if (this.#next()) this.drain();
    });
  }

  close(): void {
    this.#closed = true;
    this.#unwatch();
  }

  async #sendAll(): Promise<void> {
    const backoff = new Backoff();
    for (let unsent = this.#next(); unsent && !this.#closed; unsent = this.#next()) {
      try {
        const message = await this.send(unsent);
        backoff.reset();
        // It stays on the screen as it is until the log shows it in its place.
        this.#stored.add(unsent.clientId);
        if (this.stored(message)) this.remove(unsent.clientId);
      } catch (thrown) {
        const failure = failureOf(thrown);
        if (failure.kind === "refused") this.#refuse(unsent, failure);
        else await this.pause(Math.max(failure.retryAfter, backoff.next()));
      }
    }
  }

  #refuse(unsent: Unsent, failure: Failure): void {
    // It may have been acknowledged on the stream meanwhile.
    if (this.unsent.value.some((other) => other.clientId === unsent.clientId)) {
      this.#write({ ...unsent, refused: failure.reason || "REFUSED" });
    }
  }

  #next(): Unsent | undefined {
    return this.unsent.value.find((unsent) => !unsent.refused && !this.#stored.has(unsent.clientId));
  }

  #write(unsent: Unsent): void {
    kept.write(this.#prefix + unsent.clientId, JSON.stringify(unsent));
    const others = this.unsent.value.filter((other) => other.clientId !== unsent.clientId);
    const after = others.findIndex((other) => other.clientId > unsent.clientId);
    // Ids of version 7 sort by time, which is the order of sending.
    this.unsent.value = after < 0 ? [...others, unsent] : others.toSpliced(after, 0, unsent);
  }

  #read(): Unsent[] {
    return kept.keys(this.#prefix).flatMap((key) => {
      try {
        return [JSON.parse(kept.read(key) ?? "") as Unsent];
      } catch {
        return [];
      }
    });
  }
}

/** How many messages of this user wait in this browser, in all rooms. */
export function unsentOf(user: string): number {
  return kept.keys(`unsent/${user}/`).length;
}
