// The room's stream: one Subscribe call after another, each resumed where the last one ended.
//
// A stream that says nothing for 2.5 heartbeats is dead, whatever the browser believes: frozen servers and lost
// networks raise no error by themselves.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { bearer, chat } from "../api/rpc";
import { Failure, failureOf } from "../api/failure";
import { ResumePointSchema, type SubscribeRequestSchema, type SubscribeResponse } from "../gen/grpcchatter/v1/chat_pb";
import type { Message } from "./message";
import { Backoff, unless, type Alarm } from "./pause";

/** How long a stream may take to say its first word, in milliseconds. */
const FIRST_WORD = 10_000;
const HEARTBEATS = 2.5;
const FIRST_PAGE = 200;

type Start = MessageInitShape<typeof SubscribeRequestSchema>["start"];

export type FeedEvent = SubscribeResponse["event"];

export interface FeedHost {
  /** A chat token; a new one where the last was refused. */
  token(): Promise<string>;
  refuse(token: string): void;
  last(): Message | undefined;
  event(event: FeedEvent): void | Promise<void>;
  /** Tells that the stream is down and not as it was announced, and until when the next attempt waits. */
  waiting(until: number, failure: Failure | null): void;
  /** Tells that there is no point in trying again. */
  over(failure: Failure): void;
}

export class Feed {
  #heard = 0;
  #interval = 15_000;
  #cut: AbortController | null = null;

  constructor(
    private readonly host: FeedHost,
    private readonly alarm: Alarm,
  ) {}

  async run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff();
    while (!signal.aborted) {
      let delay: number | null = null;
      let failure: Failure | null = null;
      try {
        delay = await this.#once(signal, backoff);
      } catch (thrown) {
        failure = failureOf(thrown);
      }
      if (signal.aborted) return;
      if (failure?.kind === "refused") return this.host.over(failure);
      const pause = Math.max(delay ?? backoff.next(), failure?.retryAfter ?? 0);
      // A server that asks for a moment, as it does before a restart, is not down until it is late.
      if (delay === null) this.host.waiting(Date.now() + pause, failure);
      await this.alarm.wait(pause);
    }
  }

  /** Cuts a stream that was silent for longer than it should have been, without waiting for the watchdog. */
  doubt(): void {
    if (this.#cut && Date.now() - this.#heard > this.#interval * 1.2) this.cut();
  }

  cut(): void {
    this.#cut?.abort();
  }

  /** Resolves to the delay that a draining server asked for, or null. */
  async #once(signal: AbortSignal, backoff: Backoff): Promise<number | null> {
    const cut = (this.#cut = new AbortController());
    // Silence is counted from here: what was heard before an outage says nothing about this attempt.
    this.#heard = Date.now();
    const watchdog = new Watchdog(() => cut.abort());
    watchdog.expect(FIRST_WORD);
    let token = "";
    let delay: number | null = null;
    try {
      const ended = AbortSignal.any([signal, cut.signal]);
      // A room that is closed meanwhile must not keep its lock from the other tabs until the token has come.
      token = await unless(ended, this.host.token());
      const options = { ...bearer(token), signal: ended };
      for await (const { event } of chat.subscribe({ start: this.#start() }, options)) {
        this.#heard = Date.now();
        if (event.case === "subscribed" && event.value.heartbeatInterval) {
          this.#interval = durationMs(event.value.heartbeatInterval) || this.#interval;
        }
        if (event.case === "caughtUp") backoff.reset();
        if (event.case === "draining") {
          delay = event.value.reconnectAfter ? durationMs(event.value.reconnectAfter) : 0;
          break;
        }
        watchdog.expect(this.#interval * HEARTBEATS);
        await this.host.event(event);
      }
      return delay;
    } catch (thrown) {
      const failure = failureOf(thrown);
      if (failure.kind === "unauthenticated") this.host.refuse(token);
      throw cut.signal.aborted ? new Failure("unreachable", "", 0, thrown) : failure;
    } finally {
      watchdog.stop();
      cut.abort();
      this.#cut = null;
    }
  }

  #start(): Start {
    const last = this.host.last();
    return last
      ? { case: "after", value: create(ResumePointSchema, { seq: BigInt(last.seq), messageId: last.id }) }
      : { case: "last", value: FIRST_PAGE };
  }
}

class Watchdog {
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly bite: () => void) {}

  expect(within: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.bite, within);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
