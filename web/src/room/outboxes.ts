// What this user has written in all rooms and the server has not acknowledged yet. It is sent whether its room is open
// or not: the page enters the others as a member.
import { chat, unary } from "../api/rpc";
import { Failure } from "../api/failure";
import { Cell } from "../cell";
import * as kept from "../kept";
import { Channel } from "../locks";
import { Entrance } from "./entrance";
import { messageOf, type Message } from "./message";
import { Outbox, type Unsent } from "./outbox";
import { Alarm } from "./pause";

type Told =
  | { kind: "hurry" }
  | { kind: "stored"; code: string; message: Message }
  | { kind: "discarded"; code: string; clientId: string };

/** Sends a message into the room that the entrance leads to. */
export function sender(entrance: Entrance): (unsent: Unsent) => Promise<Message> {
  return async ({ body, clientId }) => {
    const sent = { body, clientMessageId: clientId };
    const { message } = await entrance.call((token) => chat.sendMessage(sent, unary(token)));
    if (!message) throw new Failure("unreachable", "");
    return messageOf(message);
  };
}

export class Outboxes {
  /** How many messages wait, by the code of their room. */
  readonly waiting = new Cell<ReadonlyMap<string, number>>(new Map());
  #boxes = new Map<string, Outbox>();
  #alarm = new Alarm();
  #channel: Channel<Told>;
  #unwatch: () => void;

  constructor(
    private readonly user: string,
    /** Is told what was sent into a room that is not open here. */
    private readonly sent: (code: string, message: Message) => void,
  ) {
    this.#channel = new Channel(`grpcchatter/unsent/${user}`, (told) => this.#hear(told));
    this.#unwatch = kept.watch(`unsent/${user}/`, this.#look);
  }

  /** Sends what is left of last time. */
  open(): void {
    addEventListener("online", this.#go);
    document.addEventListener("visibilitychange", this.#go);
    this.#look();
    this.#go();
  }

  close(): void {
    removeEventListener("online", this.#go);
    document.removeEventListener("visibilitychange", this.#go);
    this.#unwatch();
    for (const box of this.#boxes.values()) box.close();
    this.#alarm.ring();
    this.#channel.close();
  }

  of(code: string): Outbox {
    const known = this.#boxes.get(code);
    if (known) return known;
    const closed = {
      send: sender(new Entrance(code)),
      stored: (message: Message) => {
        this.sent(code, message);
        return true;
      },
    };
    const box = new Outbox(this.user, code, {
      closed,
      pause: this.#alarm.wait,
      hurry: this.#hurry,
      stored: (message) => this.#channel.tell({ kind: "stored", code, message }),
      discarded: (clientId) => this.#channel.tell({ kind: "discarded", code, clientId }),
    });
    this.#boxes.set(code, box);
    box.unsent.watch(this.#count);
    return box;
  }

  #hear(told: Told): void {
    if (told.kind === "hurry") return this.#go();
    const box = this.#boxes.get(told.code);
    if (told.kind === "stored") box?.acknowledge(told.message);
    else box?.remove(told.clientId);
  }

  #hurry = (): void => {
    this.#channel.tell({ kind: "hurry" });
    this.#go();
  };

  #go = (): void => {
    this.#alarm.ring();
    for (const box of this.#boxes.values()) box.drain();
  };

  /** Finds the rooms that something waits for. */
  #look = (): void => {
    const start = `unsent/${this.user}/`;
    for (const key of kept.keys(start)) this.of(key.slice(start.length).split("/", 1)[0]!);
    for (const box of this.#boxes.values()) box.look();
    this.#count();
  };

  #count = (): void => {
    const counts = [...this.#boxes].map(([code, box]) => [code, box.unsent.value.length] as const);
    this.waiting.value = new Map(counts.filter(([, count]) => count > 0));
  };
}

/** How many messages of this user wait in this browser, in all rooms. */
export function unsentOf(user: string): number {
  return kept.keys(`unsent/${user}/`).length;
}
