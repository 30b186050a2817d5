// The session of the logged-in user. All tabs of the browser share it.
//
// The name and the refresh token are in localStorage and survive a reload. User tokens and chat tokens are in memory only.
// Refresh tokens rotate, so only one tab at a time may use one: a tab refreshes under the Web Lock `grpcchatter/session`, and
// checks first whether another tab has refreshed meanwhile.
import * as rest from "./api/rest";
import { Failure, failureOf } from "./api/failure";
import { Observable } from "./observable";
import * as storage from "./storage";
import { Channel, exclusive } from "./locks";

const KEY = "session";
const LOCK = "grpcchatter/session";
/** A token that expires within this time, in milliseconds, is replaced before it is used. */
const EXPIRY_MARGIN = 20_000;

interface StoredSession {
  userName: string;
  refreshToken: string;
}

interface Token {
  userName: string;
  text: string;
  /** When it expires, by this device's clock, which all tabs share. */
  until: number;
}

function readStored(): StoredSession | null {
  try {
    return JSON.parse(storage.read(KEY) ?? "null");
  } catch {
    return null;
  }
}

class Session {
  /** The user's name; null while nobody is logged in. */
  readonly user = new Observable<string | null>(readStored()?.userName ?? null);
  /** Whether the last session expired or was revoked, rather than logged out. */
  readonly ended = new Observable(false);
  #token: Token | null = null;
  #channel = new Channel<Token>("grpcchatter/session", (token) => {
    if (token.userName === this.user.value) this.#token = token;
  });

  constructor() {
    storage.watch(KEY, () => this.#adopt(readStored()?.userName ?? null));
  }

  async login(userName: string, password: string): Promise<void> {
    this.#take(userName, await rest.login(userName, password));
  }

  async register(userName: string, password: string): Promise<void> {
    await rest.register(userName, password);
    await this.login(userName, password);
  }

  /** Ends the session on the server and in every tab. It ends here even if the server cannot be reached. */
  async logout(): Promise<void> {
    try {
      await this.call(rest.logout);
    } catch {
      // On the server the session then ends when it expires.
    }
    this.#end("logged out");
  }

  async deleteAccount(password: string): Promise<void> {
    await this.call((token) => rest.deleteAccount(token, password));
    this.#end("logged out");
  }

  changePassword(password: string, next: string): Promise<void> {
    return this.call((token) => rest.changePassword(token, password, next));
  }

  /** Runs a call that needs a user token. If the token is refused, runs it once more with a new one. */
  async call<T>(work: (token: string) => Promise<T>): Promise<T> {
    const token = await this.#validToken("");
    try {
      return await work(token);
    } catch (thrown) {
      const failure = failureOf(thrown);
      // A wrong password has the same status as an expired token.
      if (failure.kind !== "unauthenticated" || failure.reason === "INVALID_CREDENTIALS") throw failure;
      const next = await this.#validToken(token);
      return await work(next).catch((again) => {
        throw failureOf(again);
      });
    }
  }

  /** A token that has not expired, other than the one that was `refused`. */
  async #validToken(refused: string): Promise<string> {
    const valid = () => {
      const token = this.#token;
      return token && token.text !== refused && token.until - EXPIRY_MARGIN > Date.now() ? token.text : null;
    };
    return valid() ?? exclusive(LOCK, async () => valid() ?? this.#refresh());
  }

  async #refresh(): Promise<string> {
    for (;;) {
      const before = readStored();
      if (!before) {
        this.#end("expired");
        throw new Failure("unauthenticated", "TOKEN_REVOKED");
      }
      try {
        return this.#take(before.userName, await rest.refresh(before.refreshToken));
      } catch (thrown) {
        const failure = failureOf(thrown);
        // Without a reason the answer is a proxy's, which says nothing about the session.
        if (failure.kind === "unreachable" || !failure.reason) throw failure;
        // Without Web Locks another tab may have rotated the token meanwhile; then its successor is valid.
        if (readStored()?.refreshToken !== before.refreshToken) continue;
        this.#end("expired");
        throw failure;
      }
    }
  }

  #take(userName: string, grant: rest.Grant): string {
    storage.write(KEY, JSON.stringify({ userName, refreshToken: grant.refreshToken } satisfies StoredSession));
    this.#token = { userName, text: grant.token, until: Date.now() + grant.lifetime };
    this.#channel.post(this.#token);
    this.ended.value = false;
    this.user.value = userName;
    return grant.token;
  }

  #end(why: "expired" | "logged out"): void {
    storage.remove(KEY);
    this.ended.value = why === "expired" && this.user.value !== null;
    this.#adopt(null);
  }

  #adopt(userName: string | null): void {
    if (userName !== this.user.value) this.#token = null;
    this.user.value = userName;
  }
}

export const session = new Session();
