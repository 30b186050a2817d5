// The rooms that this user owns or has joined, and how far each was read in this browser.
import { chat, unary } from "./api/rpc";
import { failureOf, type Failure } from "./api/failure";
import { Observable } from "./observable";
import * as storage from "./storage";
import { Channel } from "./locks";
import { roomOf, type RoomInfo } from "./room/message";
import { session } from "./session";

/** How often a visible tab reads the list of rooms again, in milliseconds. */
const REFRESH_INTERVAL = 20_000;
const PAGE = 200;

export interface RoomsView {
  /** null until the first answer. */
  rooms: readonly RoomInfo[] | null;
  failure: Failure | null;
}

export class Rooms {
  readonly view = new Observable<RoomsView>({ rooms: null, failure: null });
  /** Counts changes of the read marks, so that the components that show them render again. */
  readonly readMarks = new Observable(0);
  #channel: Channel<"changed">;
  #timer: ReturnType<typeof setInterval>;
  #unwatch: () => void;
  #loading: Promise<void> | null = null;
  #tokens = new Map<string, string>();

  constructor(private readonly user: string) {
    this.#channel = new Channel(`grpcchatter/rooms/${user}`, () => void this.load());
    this.#timer = setInterval(this.#loadIfVisible, REFRESH_INTERVAL);
    this.#unwatch = storage.watch(`read/${user}/`, () => this.readMarks.value++);
    document.addEventListener("visibilitychange", this.#loadIfVisible);
    addEventListener("online", this.#loadIfVisible);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#unwatch();
    this.#channel.close();
    document.removeEventListener("visibilitychange", this.#loadIfVisible);
    removeEventListener("online", this.#loadIfVisible);
  }

  /** Creates a room and joins it. Resolves to its code. */
  async create(roomName: string, roomPassword: string): Promise<string> {
    const made = await session.call((token) => chat.createChatRoom({ roomName, roomPassword }, unary(token)));
    return this.join({ shortCode: made.shortCode, roomPassword });
  }

  /** Joins a room by its code and password, or by an invitation. Resolves to its code. */
  async join(by: { shortCode?: string; roomPassword?: string; roomToken?: string }): Promise<string> {
    const joined = await session.call((token) => chat.joinChatRoom(by, unary(token)));
    const code = joined.room?.shortCode || by.shortCode || "";
    this.#tokens.set(code, joined.token);
    void this.changed();
    return code;
  }

  /** The chat token from joining a room. A second call returns null. */
  takeToken(code: string): string | null {
    const token = this.#tokens.get(code) ?? null;
    this.#tokens.delete(code);
    return token;
  }

  load(): Promise<void> {
    return (this.#loading ??= this.#load().finally(() => (this.#loading = null)));
  }

  /** Reads the list again in all tabs, after a room was created, joined, left, renamed or deleted. */
  async changed(): Promise<void> {
    await this.load();
    this.#channel.post("changed");
  }

  find(code: string): RoomInfo | null {
    return this.view.value.rooms?.find((room) => room.code === code) ?? null;
  }

  /** Applies a room's new name or owner from its stream. */
  update(info: RoomInfo): void {
    const { rooms, failure } = this.view.value;
    const known = this.find(info.code);
    if (!rooms || !known || (known.name === info.name && known.owner === info.owner)) return;
    this.view.value = { rooms: rooms.map((room) => (room === known ? { ...known, ...info } : room)), failure };
  }

  /** Records the newest message of a room, and moves the room to the top. */
  noteMessage(code: string, seq: number): void {
    const { rooms, failure } = this.view.value;
    const known = this.find(code);
    if (!rooms || !known || seq <= known.lastSeq) return;
    const others = rooms.filter((room) => room !== known);
    this.view.value = { rooms: [{ ...known, lastSeq: seq }, ...others], failure };
  }

  /** Records a message of this user that was sent while its room was not open. It does not count as unread. */
  noteOwnMessage(code: string, seq: number): void {
    if (this.readUpTo(code) === seq - 1) this.markRead(code, seq);
    this.noteMessage(code, seq);
  }

  /** seq of the newest message that was read in this browser. */
  readUpTo(code: string): number {
    return Number(storage.read(`read/${this.user}/${code}`) ?? 0);
  }

  markRead(code: string, seq: number): void {
    if (seq <= this.readUpTo(code)) return;
    storage.write(`read/${this.user}/${code}`, String(seq));
    this.readMarks.value++;
  }

  unread(room: RoomInfo): number {
    return Math.max(0, room.lastSeq - this.readUpTo(room.code));
  }

  #loadIfVisible = (): void => {
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
      for (const room of rooms) this.#markReadIfNew(room);
      this.view.value = { rooms, failure: null };
    } catch (thrown) {
      this.view.value = { ...this.view.value, failure: failureOf(thrown) };
    }
  }

  /** Messages from before this browser knew the room do not count as unread. */
  #markReadIfNew(room: RoomInfo): void {
    const key = `read/${this.user}/${room.code}`;
    if (storage.read(key) === null) storage.write(key, String(room.lastSeq));
  }
}

/** Removes a user's unsent messages, drafts and read marks from this browser. */
export function forgetUser(user: string): void {
  for (const kind of ["unsent", "draft", "read"]) {
    for (const key of storage.keys(`${kind}/${user}/`)) storage.remove(key);
  }
}
