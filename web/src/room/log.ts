// The room's log as far as this tab has read it: an unbroken run of messages up to the newest.
//
// seq has no gaps, so the log mends itself: whatever comes out of turn, from the stream, from another tab or in the
// answer to a send, waits aside until the messages before it are there, and is fetched where they do not come.
import { failureOf, type Failure } from "../api/failure";
import { Cell } from "../cell";
import type { Message } from "./message";

export interface Page {
  messages: Message[];
  more: boolean;
  /** seq of the newest message that the server has; 0 while there is none. */
  lastSeq: number;
}

/** Where pages come from: the newest before `before` (0: of all), or the first after `after`. */
export type Source = (ask: { before: number } | { after: number }) => Promise<Page>;

export interface LogView {
  state: "loading" | "ready" | "failed";
  failure: Failure | null;
  messages: readonly Message[];
  /** Whether older ones exist that were not read yet. */
  more: boolean;
  older: "idle" | "loading" | "failed";
}

/** How long a message that came out of turn waits for those before it, in milliseconds. */
const PATIENCE = 400;
const FRAME = 12;
/** A tab that stays open for weeks lets go of the oldest; they can be read again. */
const MOST = 20_000;
const AFTER_TRIM = 15_000;

const EMPTY: LogView = { state: "loading", failure: null, messages: [], more: false, older: "idle" };

export class Log {
  readonly view = new Cell<LogView>(EMPTY);
  #messages: Message[] = [];
  /** Where an empty log stands: the next message is the one after this. */
  #start = 0;
  #aside = new Map<number, Message>();
  /** In the log, not in the view yet. */
  #fresh: Message[] = [];
  /** Counts loads, so that a page asked for before a reset is not mixed in after it. */
  #era = 0;
  #mending: ReturnType<typeof setTimeout> | undefined;
  #publishing: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly source: Source,
    /** Is told each message at the moment at which the view shows it. */
    private readonly appended: (message: Message) => void,
  ) {}

  get last(): Message | undefined {
    return this.#messages.at(-1);
  }

  get #end(): number {
    return this.last?.seq ?? this.#start;
  }

  /**
   * Reads the newest page, in place of all that was there. What came aside meanwhile is kept. A `quiet` attempt after
   * one that has failed leaves on the screen that it has, until it succeeds.
   */
  async load(quiet = false): Promise<void> {
    const era = ++this.#era;
    clearTimeout(this.#mending);
    this.#mending = undefined;
    this.#messages = [];
    if (!quiet || this.view.value.state !== "failed") this.#show(EMPTY);
    try {
      const page = await this.source({ before: 0 });
      if (era !== this.#era) return;
      this.#messages = page.messages;
      this.#start = page.lastSeq;
      this.#fresh = page.messages.slice();
      this.#show({ ...EMPTY, state: "ready", more: page.more });
      this.#drain();
    } catch (thrown) {
      if (era === this.#era) this.#show({ ...EMPTY, state: "failed", failure: failureOf(thrown) });
    }
  }

  /** Drops everything and reads it again: the server's log is not the one that we knew. */
  reset(): Promise<void> {
    this.#aside.clear();
    return this.load();
  }

  /** Takes a message from wherever it came, once. Tells whether the view shows it already. */
  apply(message: Message): boolean {
    if (this.view.value.state === "ready" && message.seq <= this.#end) return !this.#fresh.some(({ seq }) => seq === message.seq);
    this.#aside.set(message.seq, message);
    this.#drain();
    return false;
  }

  /** Fetches what is missing up to `seq`, where anything is. */
  expect(seq: number): void {
    if (this.view.value.state === "ready" && seq > this.#end) this.#mendLater();
  }

  /** Reads one page of older messages. */
  async older(): Promise<void> {
    const { more, older, state } = this.view.value;
    const first = this.#messages[0];
    if (!more || older === "loading" || state !== "ready" || !first) return;
    const era = this.#era;
    this.#show({ ...this.view.value, older: "loading" });
    try {
      const page = await this.source({ before: first.seq });
      if (era !== this.#era) return;
      this.#messages = page.messages.concat(this.#messages);
      this.#show({ ...this.view.value, older: "idle", more: page.more && page.messages.length > 0 });
    } catch {
      if (era === this.#era) this.#show({ ...this.view.value, older: "failed" });
    }
  }

  close(): void {
    this.#era++;
    clearTimeout(this.#mending);
    clearTimeout(this.#publishing);
  }

  #drain(): void {
    if (this.view.value.state !== "ready") return;
    let next = this.#end + 1;
    for (let message = this.#aside.get(next); message; message = this.#aside.get(++next)) {
      this.#aside.delete(next);
      this.#messages.push(message);
      this.#fresh.push(message);
    }
    for (const [seq, message] of this.#aside) {
      if (seq >= next) continue;
      this.#aside.delete(seq);
      this.#fresh.push(message);
    }
    if (this.#aside.size > 0) this.#mendLater();
    this.#publish();
  }

  #mendLater(): void {
    this.#mending ??= setTimeout(() => void this.#mend(), PATIENCE);
  }

  async #mend(): Promise<void> {
    const era = this.#era;
    try {
      for (let more = true; more && era === this.#era; ) {
        const after = this.#end;
        const page = await this.source({ after });
        if (era !== this.#era) return;
        const first = page.messages[0];
        // Retention has taken what comes next: there is no way to go on from here.
        if (first && first.seq > after + 1 && this.#end === after) return void this.reset();
        for (const message of page.messages) this.#aside.set(message.seq, message);
        this.#drain();
        more = page.more && page.messages.length > 0;
      }
    } catch {
      // The next message or heartbeat asks again.
    } finally {
      if (era === this.#era) this.#mending = undefined;
    }
  }

  /** Many messages may come at once; the screen needs one view of them a frame. */
  #publish(): void {
    this.#publishing ??= setTimeout(() => {
      this.#publishing = undefined;
      let { more } = this.view.value;
      if (this.#messages.length > MOST) {
        this.#messages = this.#messages.slice(-AFTER_TRIM);
        more = true;
      }
      this.#show({ ...this.view.value, more });
    }, FRAME);
  }

  #show(view: LogView): void {
    const fresh = this.#fresh;
    this.#fresh = [];
    this.view.value = { ...view, messages: this.#messages.slice() };
    for (const message of fresh) this.appended(message);
  }
}
