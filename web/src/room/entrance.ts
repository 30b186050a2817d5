// The way into one room: its chat token. A member gets one by the room's code alone, and a new one where it was refused.
import { chat, unary } from "../api/rpc";
import { failureOf } from "../api/failure";
import { session } from "../session";
import { roomOf, type RoomInfo } from "./message";

export class Entrance {
  #token: string | null;
  #joining: Promise<string> | null = null;

  /** `token` is a chat token that the caller got by joining; without one the room is entered as a member. */
  constructor(
    private readonly code: string,
    token: string | null = null,
    private readonly entered: (info: RoomInfo) => void = () => undefined,
  ) {
    this.#token = token;
  }

  /** Enters by the password, in place of the token that there was. */
  async enter(roomPassword: string): Promise<void> {
    await this.#join(roomPassword).catch((thrown) => {
      throw failureOf(thrown);
    });
  }

  async token(): Promise<string> {
    return this.#token ?? (this.#joining ??= this.#join().finally(() => (this.#joining = null)));
  }

  refuse(token: string): void {
    if (this.#token === token) this.#token = null;
  }

  /** Runs a call that needs a chat token, and once again with a new one where it was refused. */
  async call<T>(work: (token: string) => Promise<T>): Promise<T> {
    const token = await this.token();
    try {
      return await work(token);
    } catch (thrown) {
      const failure = failureOf(thrown);
      if (failure.kind !== "unauthenticated") throw failure;
      this.refuse(token);
      return await work(await this.token()).catch((again) => {
        throw failureOf(again);
      });
    }
  }

  async #join(roomPassword?: string): Promise<string> {
    const by = { shortCode: this.code, roomPassword };
    const { token, room } = await session.call((user) => chat.joinChatRoom(by, unary(user)));
    if (room) this.entered(roomOf(room));
    this.#token = token;
    return token;
  }
}
