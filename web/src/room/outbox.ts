// What this user has written in one room and the server has not acknowledged yet.
//
// Each message has its own key in storage, under its client_message_id, so it outlives the tab. One tab at a time
// sends, under a Web Lock, one message after the other: that keeps their order. The id makes a repeated send
// harmless, so after any doubt the message is simply sent again.
import { failureOf, IN_BETWEEN, type Failure } from "../api/failure";
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
  /** Why the server has not taken it so far, after a few attempts; it is tried again. */
  held?: string;
}

/** How a room's messages go out. */
export interface Way {
  send: (unsent: Unsent) => Promise<Message>;
  /** Takes the server's answer, the message with its place in the log; true where it is shown there by now. */
  stored: (message: Message) => boolean;
}

/** What an outbox has from the place where they all stand. */
export interface Post {
  /** How messages go out while the room is not open. */
  closed: Way;
  /** Waits between two attempts, and sooner where the network is back. */
  pause: Pause;
  /** Cuts the waiting short, in every tab: the user asks for it, or the server is back. */
  hurry: () => void;
  /** Tells the other tabs what the server has stored. */
  stored: (message: Message) => void;
  /** Tells the other tabs what its author does not want to send any more. */
  discarded: (clientId: string) => void;
}

/** So many attempts are a matter of course: a restart, a lost connection. */
const EXPECTED = 2;
/** What a user can be refused for at the door; once inside, the message is good. */
const DOORS: ReadonlySet<string> = new Set(["WRONG_ROOM_PASSWORD", "NOT_A_MEMBER", "BANNED", "ROOM_NOT_FOUND"]);

export class Outbox {
  readonly unsent: Cell<readonly Unsent[]>;
  #prefix: string;
  #lock: string;
  #way: Way;
  /** Acknowledged, but not shown by the log yet. */
  #stored = new Set<string>();
  #sending = false;
  #closed = false;

  constructor(
    user: string,
    readonly code: string,
    private readonly post: Post,
  ) {
    this.#prefix = `unsent/${user}/${code}/`;
    this.#lock = `grpcchatter/${this.#prefix}`;
    this.#way = post.closed;
    this.unsent = new Cell(this.#read());
  }

  /** The room was opened: from now on its log shows what was sent. */
  attach(way: Way): void {
    this.#way = way;
    this.drain();
  }

  /** The room was closed; what waits is sent all the same. */
  detach(): void {
    this.#way = this.post.closed;
    for (const clientId of this.#stored) this.remove(clientId);
    this.drain();
  }

  /** Sends again what was refused at the door, now that the user is inside. */
  readmit(): void {
    for (const unsent of this.unsent.value) if (DOORS.has(unsent.refused)) this.#write({ ...unsent, refused: "" });
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

  hurry(): void {
    this.post.hurry();
  }

  /** Its author does not want to send it any more. */
  discard(clientId: string): void {
    this.remove(clientId);
    this.post.discarded(clientId);
  }

  /** Forgets a message: it stands in the log, or is not wanted. */
  remove(clientId: string): void {
    if (!this.#has(clientId)) return;
    this.#stored.delete(clientId);
    kept.forget(this.#prefix + clientId);
    this.unsent.value = this.unsent.value.filter((unsent) => unsent.clientId !== clientId);
  }

  /** Takes note that the server has stored a message, whichever tab has sent it. */
  acknowledge(message: Message): void {
    if (!this.#has(message.clientId)) return;
    // It stays on the screen as it is until the log shows it in its place.
    this.#stored.add(message.clientId);
    if (this.#way.stored(message)) this.remove(message.clientId);
  }

  /** Another tab has written or removed something. */
  look(): void {
    const read = this.#read();
    const here = new Set(read.map(({ clientId }) => clientId));
    const open = this.#way !== this.post.closed;
    // What the other has sent stays in sight until the log shows it here too. Discarding is told apart from it.
    const sent = open ? this.unsent.value.filter(({ clientId }) => !here.has(clientId)) : [];
    for (const { clientId } of sent) this.#stored.add(clientId);
    this.unsent.value = sent.concat(read).sort((one, two) => (one.clientId < two.clientId ? -1 : 1));
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
  }

  async #sendAll(): Promise<void> {
    const backoff = new Backoff();
    let failures = 0;
    // The tab that had the lock before may have sent some.
    this.look();
    for (let unsent = this.#next(); unsent && !this.#closed; unsent = this.#next()) {
      try {
        const message = await this.#way.send(unsent);
        backoff.reset();
        failures = 0;
        this.post.stored(message);
        this.acknowledge(message);
      } catch (thrown) {
        const failure = failureOf(thrown);
        if (failure.kind === "refused") this.#note(unsent, { refused: failure.reason || IN_BETWEEN, held: "" });
        else await this.#wait(unsent, failure, ++failures, backoff);
      }
    }
  }

  async #wait(unsent: Unsent, failure: Failure, failures: number, backoff: Backoff): Promise<void> {
    // Without a reason the network is to blame, which the banner tells.
    if (failures > EXPECTED && failure.reason !== (unsent.held ?? "")) this.#note(unsent, { held: failure.reason });
    await this.post.pause(Math.max(failure.retryAfter, backoff.next()));
  }

  #note(unsent: Unsent, what: Partial<Unsent>): void {
    // It may have been acknowledged on the stream meanwhile, or discarded in another tab.
    if (this.#has(unsent.clientId) && kept.read(this.#prefix + unsent.clientId) !== null) this.#write({ ...unsent, ...what });
  }

  #has(clientId: string): boolean {
    return this.unsent.value.some((unsent) => unsent.clientId === clientId);
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
