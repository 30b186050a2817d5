// API clients without a browser, which fill rooms and read them back, and the page's own modules.
import { build } from "esbuild";
import { fileURLToPath } from "node:url";

const source = `
  export { Code, ConnectError, createClient } from "@connectrpc/connect";
  export { createGrpcWebTransport } from "@connectrpc/connect-web";
  export { ChatService } from "../../src/gen/grpcchatter/v1/chat_pb";
  export { uuidv7 } from "../../src/uuid";
  export { ErrorInfoSchema } from "../../src/gen/google/rpc/error_details_pb";
  export * as failure from "../../src/api/failure";
  export * as rest from "../../src/api/rest";
  export * as text from "../../src/text";
  export * as window from "../../src/ui/window";
  export { Log } from "../../src/room/log";
  export * as presence from "../../src/room/presence";
`;
const bundle = await build({
  stdin: { contents: source, resolveDir: fileURLToPath(new URL(".", import.meta.url)), loader: "ts" },
  bundle: true,
  format: "esm",
  platform: "node",
  write: false,
});
/** The page's own modules. */
export const page = await import(`data:text/javascript;base64,${Buffer.from(bundle.outputFiles[0].contents).toString("base64")}`);

export const PASSWORD = "Passw0rd!";

let people = 0;
/** A user name that no other test uses. */
export function newName(start = "walker") {
  return `${start}${process.pid}${++people}`;
}

export class Caller {
  constructor(server, name, token) {
    this.name = name;
    this.token = token;
    this.chat = page.createClient(page.ChatService, page.createGrpcWebTransport({ baseUrl: server.url }));
  }

  static async register(server, name = newName()) {
    const post = (path) =>
      fetch(server.url + path, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ user_name: name, password: PASSWORD }),
      });
    const registered = await post("/register");
    if (!registered.ok) throw new Error(`register: ${await registered.text()}`);
    const { token } = await (await post("/login")).json();
    return new Caller(server, name, token);
  }

  #as(token) {
    return { headers: { authorization: `Bearer ${token}` } };
  }

  async createRoom(roomName, roomPassword = "") {
    const { shortCode } = await this.chat.createChatRoom({ roomName, roomPassword }, this.#as(this.token));
    return shortCode;
  }

  /** Joins a room. Resolves to a function that sends a message there. */
  async join(shortCode, roomPassword = "") {
    const { token } = await this.chat.joinChatRoom({ shortCode, roomPassword }, this.#as(this.token));
    return (body) => this.chat.sendMessage({ body, clientMessageId: page.uuidv7() }, this.#as(token));
  }

  /** Changes the password of the caller's room. */
  async changePassword(shortCode, roomPassword) {
    await this.chat.updateChatRoom({ shortCode, roomPassword }, this.#as(this.token));
  }

  /** Removes a user from the caller's room. */
  async remove(shortCode, userName, ban = false) {
    await this.chat.removeChatRoomUser({ shortCode, userName, ban }, this.#as(this.token));
  }

  /** Makes an invitation to the caller's room. */
  async invite(shortCode) {
    return (await this.chat.createRoomToken({ shortCode }, this.#as(this.token))).roomToken;
  }

  /** Ends the caller's membership of a room without a password. */
  async leave(shortCode) {
    const { token } = await this.chat.joinChatRoom({ shortCode }, this.#as(this.token));
    await this.chat.leaveChatRoom({}, this.#as(token));
  }

  /** All messages of a room. */
  async log(shortCode, roomPassword = "") {
    const { token } = await this.chat.joinChatRoom({ shortCode, roomPassword }, this.#as(this.token));
    const all = [];
    for (let more = true; more; ) {
      const answer = await this.chat.listMessages({ pageSize: 200, afterSeq: BigInt(all.length) }, this.#as(token));
      all.push(...answer.messages);
      more = answer.more;
    }
    return all;
  }
}

/** Sends all bodies, `atOnce` at a time, in no certain order. */
export async function sendAll(send, bodies, atOnce = 48) {
  const left = bodies.values();
  const worker = async () => {
    for (const body of left) await send(body);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}
