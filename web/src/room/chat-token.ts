// The chat token of one room. A member gets one with the room's code alone; a token that the server refused is replaced.
import { chat, unary } from "../api/rpc";
import { failureOf } from "../api/failure";
import { session } from "../session";
import { roomOf, type RoomInfo } from "./message";

export class ChatToken {
  #token: string | null;
  #joining: Promise<string> | null = null;

  /** `token` comes from joining the room just before. Without one, the first call joins the room as a member. */
  constructor(
    private readonly code: string,
    token: string | null = null,
    private readonly joined: (info: RoomInfo) => void = () => undefined,
  ) {
    this.#token = token;
  }

  async get(): Promise<string> {
    return this.#token ?? (this.#joining ??= this.#join().finally(() => (this.#joining = null)));
  }

  /** Joins with the password. The new token replaces the present one. */
  async join(roomPassword: string): Promise<void> {
    await this.#join(roomPassword).catch((thrown) => {
      throw failureOf(thrown);
    });
  }

  /** Drops the token if it is the current one, since the server refused it. */
  invalidate(token: string): void {
    if (this.#token === token) this.#token = null;
  }

  /** Runs a call that needs a chat token. If the token is refused, runs it once more with a new one. */
  async call<T>(work: (token: string) => Promise<T>): Promise<T> {
    const token = await this.get();
    try {
      return await work(token);
    } catch (thrown) {
      const failure = failureOf(thrown);
      if (failure.kind !== "unauthenticated") throw failure;
      this.invalidate(token);
      return await work(await this.get()).catch((again) => {
        throw failureOf(again);
      });
    }
  }

  async #join(roomPassword?: string): Promise<string> {
    const by = { shortCode: this.code, roomPassword };
    const { token, room } = await session.call((user) => chat.joinChatRoom(by, unary(user)));
    if (room) this.joined(roomOf(room));
    this.#token = token;
    return token;
  }
}
