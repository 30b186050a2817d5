// Who is logged in, in this browser: one session, shared by every tab.
//
// Kept over a reload: the name and the refresh token, in localStorage. User tokens and chat tokens live in memory
// alone. Refresh tokens rotate, so only one tab at a time may use one: the Web Lock `session` sees to that, and
// whoever gets it looks first whether another tab has refreshed meanwhile.
import * as rest from "./api/rest";
import { Failure, failureOf } from "./api/failure";
import { Cell } from "./cell";
import * as kept from "./kept";
import { Channel, exclusive } from "./locks";

const KEY = "session";
const LOCK = "grpcchatter/session";
/** A token with less than this left, in milliseconds, is replaced before it is used. */
const MARGIN = 20_000;

interface Kept {
  userName: string;
  refreshToken: string;
}

interface Token {
  userName: string;
  text: string;
  /** By this device's clock, which all tabs share. */
  until: number;
}

function readKept(): Kept | null {
  try {
    return JSON.parse(kept.read(KEY) ?? "null");
  } catch {
    return null;
  }
}

class Session {
  /** The user's name; null while nobody is logged in. */
  readonly user = new Cell<string | null>(readKept()?.userName ?? null);
  /** True where the session ended by itself, and not because somebody logged out here. */
  readonly ended = new Cell(false);
  #token: Token | null = null;
  #channel = new Channel<Token>("grpcchatter/session", (token) => {
    if (token.userName === this.user.value) this.#token = token;
  });

  constructor() {
    kept.watch(KEY, () => this.#adopt(readKept()?.userName ?? null));
  }

  async login(userName: string, password: string): Promise<void> {
    this.#take(userName, await rest.login(userName, password));
  }

  async register(userName: string, password: string): Promise<void> {
    await rest.register(userName, password);
    await this.login(userName, password);
  }

  /** Ends the session on the server and in every tab. It ends here even where the server cannot be reached. */
  async logout(): Promise<void> {
    try {
      await this.call(rest.logout);
    } catch {
      // The session then ends on the server when it runs out.
    }
    this.#end(false);
  }

  async deleteAccount(password: string): Promise<void> {
    await this.call((token) => rest.deleteAccount(token, password));
    this.#end(false);
  }

  changePassword(password: string, next: string): Promise<void> {
    return this.call((token) => rest.changePassword(token, password, next));
  }

  /** Runs a call that needs a user token, with a new one and once again where the token was refused. */
  async call<T>(work: (token: string) => Promise<T>): Promise<T> {
    const token = await this.#fresh("");
    try {
      return await work(token);
    } catch (thrown) {
      const failure = failureOf(thrown);
      // A wrong password is refused with the same status as a token that has ended.
      if (failure.kind !== "unauthenticated" || failure.reason === "INVALID_CREDENTIALS") throw failure;
      const next = await this.#fresh(token);
      return await work(next).catch((again) => {
        throw failureOf(again);
      });
    }
  }

  /** A token that is good now, and is not the one that was `refused`. */
  async #fresh(refused: string): Promise<string> {
    const good = () => {
      const token = this.#token;
      return token && token.text !== refused && token.until - MARGIN > Date.now() ? token.text : null;
    };
    return good() ?? exclusive(LOCK, async () => good() ?? this.#refresh());
  }

  async #refresh(): Promise<string> {
    for (;;) {
      const before = readKept();
      if (!before) {
        this.#end(true);
        throw new Failure("unauthenticated", "TOKEN_REVOKED");
      }
      try {
        return this.#take(before.userName, await rest.refresh(before.refreshToken));
      } catch (thrown) {
        const failure = failureOf(thrown);
        // What stands in between knows nothing of sessions.
        if (failure.kind === "unreachable" || !failure.reason) throw failure;
        // Without Web Locks another tab may have rotated it under our hands; its successor is good then.
        if (readKept()?.refreshToken !== before.refreshToken) continue;
        this.#end(true);
        throw failure;
      }
    }
  }

  #take(userName: string, grant: rest.Grant): string {
    kept.write(KEY, JSON.stringify({ userName, refreshToken: grant.refreshToken } satisfies Kept));
    this.#token = { userName, text: grant.token, until: Date.now() + grant.lifetime };
    this.#channel.tell(this.#token);
    this.ended.value = false;
    this.user.value = userName;
    return grant.token;
  }

  #end(byItself: boolean): void {
    kept.forget(KEY);
    this.ended.value = byItself && this.user.value !== null;
    this.#adopt(null);
  }

  #adopt(userName: string | null): void {
    if (userName !== this.user.value) this.#token = null;
    this.user.value = userName;
  }
}

export const session = new Session();
