// The rooms that this user owns or has joined, and how far this browser has read in each.
import { chat, unary } from "./api/rpc";
import { failureOf, type Failure } from "./api/failure";
import { Cell } from "./cell";
import * as kept from "./kept";
import { Channel } from "./locks";
import { roomOf, type RoomInfo } from "./room/message";
import { session } from "./session";

/** How often a tab that is looked at asks for news of the other rooms, in milliseconds. */
const EVERY = 20_000;
const PAGE = 200;

export interface RoomsView {
  /** null until the first answer. */
  rooms: readonly RoomInfo[] | null;
  failure: Failure | null;
}

export class Rooms {
  readonly view = new Cell<RoomsView>({ rooms: null, failure: null });
  /** Counts changes of what was read, so that whoever shows it renders again. */
  readonly marks = new Cell(0);
  #channel: Channel<"changed">;
  #timer: ReturnType<typeof setInterval>;
  #unwatch: () => void;
  #loading: Promise<void> | null = null;
  #tokens = new Map<string, string>();

  constructor(private readonly user: string) {
    this.#channel = new Channel(`grpcchatter/rooms/${user}`, () => void this.load());
    this.#timer = setInterval(this.#looked, EVERY);
    this.#unwatch = kept.watch(`read/${user}/`, () => this.marks.value++);
    document.addEventListener("visibilitychange", this.#looked);
    addEventListener("online", this.#looked);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#unwatch();
    this.#channel.close();
    document.removeEventListener("visibilitychange", this.#looked);
    removeEventListener("online", this.#looked);
  }

  /** Makes a room and enters it; resolves to its code. */
  async create(roomName: string, roomPassword: string): Promise<string> {
    const made = await session.call((token) => chat.createChatRoom({ roomName, roomPassword }, unary(token)));
    return this.join({ shortCode: made.shortCode, roomPassword });
  }

  /** Enters a room by its code and password or by an invitation; resolves to its code. */
  async join(by: { shortCode?: string; roomPassword?: string; roomToken?: string }): Promise<string> {
    const joined = await session.call((token) => chat.joinChatRoom(by, unary(token)));
    const code = joined.room?.shortCode || by.shortCode || "";
    this.#tokens.set(code, joined.token);
    void this.changed();
    return code;
  }

  /** The chat token that came of joining a room, once. */
  takeToken(code: string): string | null {
    const token = this.#tokens.get(code) ?? null;
    this.#tokens.delete(code);
    return token;
  }

  load(): Promise<void> {
    return (this.#loading ??= this.#load().finally(() => (this.#loading = null)));
  }

  /** Reads the list again here and in the other tabs: a room was made, joined, left, renamed or deleted. */
  async changed(): Promise<void> {
    await this.load();
    this.#channel.tell("changed");
  }

  find(code: string): RoomInfo | null {
    return this.view.value.rooms?.find((room) => room.code === code) ?? null;
  }

  /** Shows a room's new name or owner at once, as its stream told it. */
  update(info: RoomInfo): void {
    const { rooms, failure } = this.view.value;
    const known = this.find(info.code);
    if (!rooms || !known || (known.name === info.name && known.owner === info.owner)) return;
    this.view.value = { rooms: rooms.map((room) => (room === known ? { ...known, ...info } : room)), failure };
  }

  /** Notes the newest message of the room that is open, and moves the room to the top. */
  said(code: string, seq: number): void {
    const { rooms, failure } = this.view.value;
    const known = this.find(code);
    if (!rooms || !known || seq <= known.lastSeq) return;
    const others = rooms.filter((room) => room !== known);
    this.view.value = { rooms: [{ ...known, lastSeq: seq }, ...others], failure };
  }

  /** Takes note of one's own message that was sent while its room was not open: it is not news. */
  wrote(code: string, seq: number): void {
    if (this.readUpTo(code) === seq - 1) this.read(code, seq);
    this.said(code, seq);
  }

  /** seq of the newest message that was seen in this browser. */
  readUpTo(code: string): number {
    return Number(kept.read(`read/${this.user}/${code}`) ?? 0);
  }

  read(code: string, seq: number): void {
    if (seq <= this.readUpTo(code)) return;
    kept.write(`read/${this.user}/${code}`, String(seq));
    this.marks.value++;
  }

  unread(room: RoomInfo): number {
    return Math.max(0, room.lastSeq - this.readUpTo(room.code));
  }

  #looked = (): void => {
    if (!document.hidden) void this.load();
  };

  async #load(): Promise<void> {
    try {
      const rooms: RoomInfo[] = [];
      let pageToken = "";
      do {
        const page = await session.call((token) =>
          chat.listChatRooms({ pageSize: PAGE, pageToken }, unary(token)),
        );
        rooms.push(...page.rooms.map(roomOf));
        pageToken = page.nextPageToken;
      } while (pageToken);
      for (const room of rooms) this.#firstSight(room);
      this.view.value = { rooms, failure: null };
    } catch (thrown) {
      this.view.value = { ...this.view.value, failure: failureOf(thrown) };
    }
  }

  /** What was said before this browser knew the room is not news. */
  #firstSight(room: RoomInfo): void {
    const key = `read/${this.user}/${room.code}`;
    if (kept.read(key) === null) kept.write(key, String(room.lastSeq));
  }
}

/** Removes what this browser keeps of a user's writing and reading. */
export function forgetUser(user: string): void {
  for (const kind of ["unsent", "draft", "read"]) {
    for (const key of kept.keys(`${kind}/${user}/`)) kept.forget(key);
  }
}
