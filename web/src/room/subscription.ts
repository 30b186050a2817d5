// The room's stream: one Subscribe call after another, each resumed where the last one ended.
//
// A stream without an event for 2.5 heartbeat intervals counts as dead: a frozen server or a lost network raises no error.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { bearer, chat } from "../api/rpc";
import { Failure, failureOf } from "../api/failure";
import { ResumePointSchema, type SubscribeRequestSchema, type SubscribeResponse } from "../gen/grpcchatter/v1/chat_pb";
import { abortable, Backoff, type RetryTimer } from "./backoff";
import type { Message } from "./message";

/** How long a stream may take until its first event, in milliseconds. */
const FIRST_EVENT_TIMEOUT = 10_000;
/** After how many heartbeat intervals of silence a stream counts as dead. */
const MAX_SILENT_HEARTBEATS = 2.5;
const FIRST_PAGE = 200;

type Start = MessageInitShape<typeof SubscribeRequestSchema>["start"];

export type SubscriptionEvent = SubscribeResponse["event"];

export interface SubscriptionHost {
  /** A chat token. After `invalidate` it is a new one. */
  token(): Promise<string>;
  invalidate(token: string): void;
  last(): Message | undefined;
  event(event: SubscriptionEvent): void | Promise<void>;
  /** The stream is down, without a drain before. The next attempt starts at `until`. */
  waiting(until: number, failure: Failure | null): void;
  /** The server refused the stream for good. There are no more attempts. */
  over(failure: Failure): void;
}

export class Subscription {
  /** When the last event came. */
  #lastEvent = 0;
  #heartbeatInterval = 15_000;
  #cut: AbortController | null = null;

  constructor(
    private readonly host: SubscriptionHost,
    private readonly retryTimer: RetryTimer,
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
      // A server that drains, as before a restart, counts as down only when it is not back after the delay that it asked for.
      if (delay === null) this.host.waiting(Date.now() + pause, failure);
      await this.retryTimer.sleep(pause);
    }
  }

  /** Cuts the stream if the heartbeat is late, without waiting for the watchdog. */
  cutIfSilent(): void {
    if (this.#cut && Date.now() - this.#lastEvent > this.#heartbeatInterval * 1.2) this.cut();
  }

  cut(): void {
    this.#cut?.abort();
  }

  /** Resolves to the delay that a draining server asked for, or null. */
  async #once(signal: AbortSignal, backoff: Backoff): Promise<number | null> {
    const cut = (this.#cut = new AbortController());
    // Silence counts from here: the events before an outage say nothing about this attempt.
    this.#lastEvent = Date.now();
    const watchdog = new Watchdog(() => cut.abort());
    watchdog.restart(FIRST_EVENT_TIMEOUT);
    let token = "";
    let delay: number | null = null;
    try {
      const ended = AbortSignal.any([signal, cut.signal]);
      // Abortable, so that a room which is closed meanwhile gives up its lock before the token arrives.
      token = await abortable(ended, this.host.token());
      const options = { ...bearer(token), signal: ended };
      for await (const { event } of chat.subscribe({ start: this.#start() }, options)) {
        this.#lastEvent = Date.now();
        if (event.case === "subscribed" && event.value.heartbeatInterval) {
          this.#heartbeatInterval = durationMs(event.value.heartbeatInterval) || this.#heartbeatInterval;
        }
        if (event.case === "caughtUp") backoff.reset();
        if (event.case === "draining") {
          delay = event.value.reconnectAfter ? durationMs(event.value.reconnectAfter) : 0;
          break;
        }
        watchdog.restart(this.#heartbeatInterval * MAX_SILENT_HEARTBEATS);
        await this.host.event(event);
      }
      return delay;
    } catch (thrown) {
      const failure = failureOf(thrown);
      if (failure.kind === "unauthenticated") this.host.invalidate(token);
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

  constructor(private readonly expired: () => void) {}

  restart(within: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.expired, within);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
