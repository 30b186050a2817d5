// The outboxes of all rooms. Their messages are sent whether the room is open or not: a closed room is joined as a member.
import { chat, unary } from "../api/rpc";
import { Failure } from "../api/failure";
import { Observable } from "../observable";
import * as storage from "../storage";
import { Channel } from "../locks";
import { ChatToken } from "./chat-token";
import { messageOf, type Message } from "./message";
import { Outbox, type Unsent } from "./outbox";
import { RetryTimer } from "./backoff";

type TabMessage =
  | { kind: "retryNow" }
  | { kind: "stored"; code: string; message: Message }
  | { kind: "discarded"; code: string; clientId: string };

/** Returns a function that sends a message into the room of the chat token. */
export function sendWith(chatToken: ChatToken): (unsent: Unsent) => Promise<Message> {
  return async ({ body, clientId }) => {
    const sent = { body, clientMessageId: clientId };
    const { message } = await chatToken.call((token) => chat.sendMessage(sent, unary(token)));
    if (!message) throw new Failure("unreachable", "");
    return messageOf(message);
  };
}

export class Outboxes {
  /** The number of unsent messages, by the code of their room. */
  readonly waiting = new Observable<ReadonlyMap<string, number>>(new Map());
  #boxes = new Map<string, Outbox>();
  #retryTimer = new RetryTimer();
  #channel: Channel<TabMessage>;
  #unwatch: () => void;

  constructor(
    private readonly user: string,
    /** Called with each message that was sent into a room that is not open in this tab. */
    private readonly sent: (code: string, message: Message) => void,
  ) {
    this.#channel = new Channel(`grpcchatter/unsent/${user}`, (received) => this.#receive(received));
    this.#unwatch = storage.watch(`unsent/${user}/`, this.#reload);
  }

  /** Starts to send the messages that were left unsent by earlier visits. */
  open(): void {
    addEventListener("online", this.#retryAll);
    document.addEventListener("visibilitychange", this.#retryAll);
    this.#reload();
    this.#retryAll();
  }

  close(): void {
    removeEventListener("online", this.#retryAll);
    document.removeEventListener("visibilitychange", this.#retryAll);
    this.#unwatch();
    for (const box of this.#boxes.values()) box.close();
    this.#retryTimer.wake();
    this.#channel.close();
  }

  of(code: string): Outbox {
    const known = this.#boxes.get(code);
    if (known) return known;
    const whileClosed = {
      send: sendWith(new ChatToken(code)),
      stored: (message: Message) => {
        this.sent(code, message);
        return true;
      },
    };
    const box = new Outbox(this.user, code, {
      whileClosed,
      sleep: this.#retryTimer.sleep,
      retryNow: this.#retryNow,
      announceStored: (message) => this.#channel.post({ kind: "stored", code, message }),
      announceDiscarded: (clientId) => this.#channel.post({ kind: "discarded", code, clientId }),
    });
    this.#boxes.set(code, box);
    box.unsent.watch(this.#count);
    return box;
  }

  #receive(received: TabMessage): void {
    if (received.kind === "retryNow") return this.#retryAll();
    const box = this.#boxes.get(received.code);
    if (received.kind === "stored") box?.acknowledge(received.message);
    else box?.remove(received.clientId);
  }

  #retryNow = (): void => {
    this.#channel.post({ kind: "retryNow" });
    this.#retryAll();
  };

  #retryAll = (): void => {
    this.#retryTimer.wake();
    for (const box of this.#boxes.values()) box.drain();
  };

  /** Reads from storage which rooms have unsent messages. */
  #reload = (): void => {
    const start = `unsent/${this.user}/`;
    for (const key of storage.keys(start)) this.of(key.slice(start.length).split("/", 1)[0]!);
    for (const box of this.#boxes.values()) box.reload();
    this.#count();
  };

  #count = (): void => {
    const counts = [...this.#boxes].map(([code, box]) => [code, box.unsent.value.length] as const);
    this.waiting.value = new Map(counts.filter(([, count]) => count > 0));
  };
}

/** The number of this user's unsent messages in this browser, in all rooms. */
export function unsentOf(user: string): number {
  return storage.keys(`unsent/${user}/`).length;
}
