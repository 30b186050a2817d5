// The part of the room's log that this tab has read: a run of messages without gaps, up to the newest.
//
// seq has no gaps, so the log repairs itself. A message that arrives early, from the stream, another tab or the answer to a
// send, is set aside until the messages before it are there. If they do not come, they are fetched.
import { failureOf, type Failure } from "../api/failure";
import { Observable } from "../observable";
import type { Message } from "./message";

export interface Page {
  messages: Message[];
  more: boolean;
  /** seq of the newest message that the server has; 0 while there is none. */
  lastSeq: number;
}

/** Which page to read: the newest messages before `before` (0: the newest of all), or the first ones after `after`. */
export type PageRequest = { before: number } | { after: number };
export type Source = (request: PageRequest) => Promise<Page>;

export interface LogView {
  state: "loading" | "ready" | "failed";
  failure: Failure | null;
  messages: readonly Message[];
  /** Whether the server has older messages that were not read yet. */
  more: boolean;
  older: "idle" | "loading" | "failed";
}

/** How long an early message waits for those before it until they are fetched, in milliseconds. */
const GAP_TIMEOUT = 400;
const FRAME_MS = 12;
/** The most messages that a tab keeps. The oldest are dropped and can be read again. */
const MAX_MESSAGES = 20_000;
const MESSAGES_AFTER_TRIM = 15_000;

const EMPTY: LogView = { state: "loading", failure: null, messages: [], more: false, older: "idle" };

export class Log {
  readonly view = new Observable<LogView>(EMPTY);
  #messages: Message[] = [];
  /** The seq before the next message while the log is empty. */
  #start = 0;
  #early = new Map<number, Message>();
  /** Messages that are in the log and not in the view yet. */
  #unshown: Message[] = [];
  /** Counts loads, so that a page asked for before a reset is not mixed in after it. */
  #generation = 0;
  #gapTimer: ReturnType<typeof setTimeout> | undefined;
  #showTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly source: Source,
    /** Called with each message as soon as the view shows it. */
    private readonly appended: (message: Message) => void,
  ) {}

  get last(): Message | undefined {
    return this.#messages.at(-1);
  }

  get #end(): number {
    return this.last?.seq ?? this.#start;
  }

  /**
   * Replaces the log by the newest page. Messages that were set aside meanwhile are kept. With `quiet`, the error of the attempt
   * before stays on the screen until this one succeeds.
   */
  async load({ quiet = false } = {}): Promise<void> {
    const generation = ++this.#generation;
    clearTimeout(this.#gapTimer);
    this.#gapTimer = undefined;
    this.#messages = [];
    if (!quiet || this.view.value.state !== "failed") this.#show(EMPTY);
    try {
      const page = await this.source({ before: 0 });
      if (generation !== this.#generation) return;
      this.#messages = page.messages;
      this.#start = page.lastSeq;
      this.#unshown = page.messages.slice();
      this.#show({ ...EMPTY, state: "ready", more: page.more });
      this.#drain();
    } catch (thrown) {
      if (generation === this.#generation) this.#show({ ...EMPTY, state: "failed", failure: failureOf(thrown) });
    }
  }

  /** Drops everything and reads it again, since the server's log is no longer the same one. */
  reset(): Promise<void> {
    this.#early.clear();
    return this.load();
  }

  /** Adds a message, once, whatever its source. Returns whether the view shows it already. */
  apply(message: Message): boolean {
    if (this.view.value.state === "ready" && message.seq <= this.#end) return !this.#unshown.some(({ seq }) => seq === message.seq);
    this.#early.set(message.seq, message);
    this.#drain();
    return false;
  }

  /** Fetches the messages up to `seq` if any are missing. */
  expect(seq: number): void {
    if (this.view.value.state === "ready" && seq > this.#end) this.#fillGapLater();
  }

  /** Reads one page of older messages. */
  async older(): Promise<void> {
    const { more, older, state } = this.view.value;
    const first = this.#messages[0];
    if (!more || older === "loading" || state !== "ready" || !first) return;
    const generation = this.#generation;
    this.#show({ ...this.view.value, older: "loading" });
    try {
      const page = await this.source({ before: first.seq });
      if (generation !== this.#generation) return;
      this.#messages = page.messages.concat(this.#messages);
      this.#show({ ...this.view.value, older: "idle", more: page.more && page.messages.length > 0 });
    } catch {
      if (generation === this.#generation) this.#show({ ...this.view.value, older: "failed" });
    }
  }

  close(): void {
    this.#generation++;
    clearTimeout(this.#gapTimer);
    clearTimeout(this.#showTimer);
  }

  #drain(): void {
    if (this.view.value.state !== "ready") return;
    let next = this.#end + 1;
    for (let message = this.#early.get(next); message; message = this.#early.get(++next)) {
      this.#early.delete(next);
      this.#messages.push(message);
      this.#unshown.push(message);
    }
    for (const [seq, message] of this.#early) {
      if (seq >= next) continue;
      this.#early.delete(seq);
      this.#unshown.push(message);
    }
    if (this.#early.size > 0) this.#fillGapLater();
    this.#showLater();
  }

  #fillGapLater(): void {
    this.#gapTimer ??= setTimeout(() => void this.#fillGap(), GAP_TIMEOUT);
  }

  async #fillGap(): Promise<void> {
    const generation = this.#generation;
    try {
      for (let more = true; more && generation === this.#generation; ) {
        const after = this.#end;
        const page = await this.source({ after });
        if (generation !== this.#generation) return;
        const first = page.messages[0];
        // Retention has deleted the next messages, so the gap cannot be filled.
        if (first && first.seq > after + 1 && this.#end === after) return void this.reset();
        for (const message of page.messages) this.#early.set(message.seq, message);
        this.#drain();
        more = page.more && page.messages.length > 0;
      }
    } catch {
      // The next message or heartbeat tries again.
    } finally {
      if (generation === this.#generation) this.#gapTimer = undefined;
    }
  }

  /** Updates the view at most once a frame, since many messages may come at once. */
  #showLater(): void {
    this.#showTimer ??= setTimeout(() => {
      this.#showTimer = undefined;
      let { more } = this.view.value;
      if (this.#messages.length > MAX_MESSAGES) {
        this.#messages = this.#messages.slice(-MESSAGES_AFTER_TRIM);
        more = true;
      }
      this.#show({ ...this.view.value, more });
    }, FRAME_MS);
  }

  #show(view: LogView): void {
    const unshown = this.#unshown;
    this.#unshown = [];
    this.view.value = { ...view, messages: this.#messages.slice() };
    for (const message of unshown) this.appended(message);
  }
}
