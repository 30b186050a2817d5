// A server process with its own port and data folder.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const BINARY = process.env.GRPCCHATTER_BIN;

/** No rate limits: all tests call from one address, and faster than people. */
const SETTINGS = {
  REGISTRATIONS_PER_HOUR: "0",
  GUESSES_PER_HOUR: "0",
  MESSAGES_PER_SECOND: "0",
  READS_PER_SECOND: "0",
  WRITES_PER_SECOND: "0",
  ANONYMOUS_PER_SECOND: "0",
  STREAMS_PER_USER: "64",
};

/** How long the server may take to start, in milliseconds. On an idle machine it starts at once. */
const START_TIMEOUT = 60_000;

/** The exit code of a server whose port is in use. */
const ADDRESS_IN_USE = 75;

async function freePort() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

export class Server {
  #settings;
  #process = null;
  #log = "";

  constructor(folder, port, settings) {
    this.folder = folder;
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.#settings = settings;
  }

  static async start(settings = {}) {
    if (!BINARY) throw new Error("GRPCCHATTER_BIN must name a built server: GRPCCHATTER_BIN=../target/debug/grpcchatter npm test");
    const folder = await mkdtemp(join(tmpdir(), "grpcchatter-web-"));
    const server = new Server(folder, await freePort(), settings);
    await server.run();
    return server;
  }

  /**
   * Starts the server, again with the same data after `end`, and resolves once it answers. Another process may take the free
   * port meanwhile, rarely; then it retries until the port is free again.
   */
  async run() {
    const end = Date.now() + START_TIMEOUT;
    for (;;) {
      try {
        return await this.#run();
      } catch (error) {
        if (this.#process.exitCode !== ADDRESS_IN_USE || Date.now() > end) throw error;
      }
    }
  }

  async #run() {
    const environment = { ...process.env, ...SETTINGS, ...this.#settings };
    Object.assign(environment, { SERVER_ADDRESS: "127.0.0.1", SERVER_PORT: String(this.port), DATA_DIR: join(this.folder, "data") });
    const child = spawn(resolve(BINARY), { cwd: this.folder, env: environment, stdio: ["ignore", "pipe", "pipe"] });
    this.#process = child;
    process.once("exit", () => child.kill("SIGKILL"));
    this.#log = "";
    await new Promise((resolve, reject) => {
      child.once("exit", () => reject(new Error(`the server did not start:\n${this.#log}`)));
      child.stderr.on("data", (text) => (this.#log += text));
      // The server prints its URL once it accepts connections.
      child.stdout.on("data", (text) => (this.#log += text) && /^open http/m.test(this.#log) && resolve());
    });
  }

  signal(name) {
    this.#process.kill(name);
  }

  /** Ends the server by the signal and resolves once it has exited. */
  async end(name = "SIGKILL") {
    const child = this.#process;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill(name);
    await gone;
  }

  async close() {
    await this.end();
    await rm(this.folder, { recursive: true, force: true });
  }
}
