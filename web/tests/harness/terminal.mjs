// The terminal client in tmux, which emulates a terminal of a fixed size.
import { execFile, execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { PASSWORD } from "./api.mjs";

const run = promisify(execFile);
const CHATTER = join(dirname(resolve(process.env.GRPCCHATTER_BIN ?? ".")), "chatter");
/** The test program's own tmux server, without the user's configuration. */
const TMUX = ["-L", `chatter-${process.pid}`, "-f", "/dev/null"];
const environment = (folder) => ({ PATH: process.env.PATH, HOME: folder, LC_ALL: "C.UTF-8", TZ: "UTC" });

/** Why these tests are skipped on this machine; false if they are not. */
export function skipReason() {
  if ((process.env.PATH ?? "").split(delimiter).some((folder) => existsSync(join(folder, "tmux")))) return false;
  if (process.env.REQUIRE_TMUX === "1") throw new Error("tmux was not found, and REQUIRE_TMUX=1 asks for it");
  return "tmux was not found";
}

/** How long a change of the screen may take, in milliseconds. On an idle machine it comes at once. */
const TIMEOUT = 60_000;
let count = 0;

export class Terminal {
  #name = `t${++count}`;
  #env;

  /** Opens `chatter` with its own home in `folder`, logged in as `name`. */
  static async open(server, folder, name) {
    const terminal = new Terminal();
    terminal.#env = environment(join(folder, name));
    const login = run(CHATTER, ["login", server.url, name, "--password-stdin"], { env: terminal.#env });
    login.child.stdin.end(PASSWORD);
    await login;
    return terminal.#start();
  }

  /** Opens `chatter` with its own home in `folder`, logged out. */
  static async openLoggedOut(server, folder, name) {
    const terminal = new Terminal();
    terminal.#env = { ...environment(join(folder, name)), GRPCCHATTER_URL: server.url };
    return terminal.#start();
  }

  async #start() {
    const settings = Object.entries(this.#env).flatMap(([key, value]) => ["-e", `${key}=${value}`]);
    await this.#tmux("new-session", "-d", "-s", this.#name, "-x", 80, "-y", 24, ...settings, CHATTER);
    return this;
  }

  /** Ends every terminal. */
  static closeAll() {
    try {
      execFileSync("tmux", [...TMUX, "kill-server"], { stdio: "ignore" });
    } catch {
      // No terminal was opened, or all have ended.
    }
  }

  async #tmux(...words) {
    return (await run("tmux", [...TMUX, ...words.map(String)], { env: this.#env })).stdout;
  }

  async type(text) {
    await this.#tmux("send-keys", "-t", this.#name, "-l", "--", text);
  }

  /** Pastes as a terminal does: bracketed, with CR between the lines. */
  async paste(text) {
    await this.#tmux("set-buffer", "-b", "pasted", "--", text);
    await this.#tmux("paste-buffer", "-p", "-d", "-b", "pasted", "-t", this.#name);
  }

  /** What the program has copied. Needs `letCopy` before. */
  async copied() {
    return (await this.#tmux("show-buffer")).trim();
  }

  async letCopy() {
    await this.#tmux("set-option", "-g", "set-clipboard", "on");
  }

  /** Presses keys by tmux's names, such as Enter or PPage. */
  async press(...keys) {
    await this.#tmux("send-keys", "-t", this.#name, ...keys);
  }

  async say(text) {
    await this.type(text);
    await this.press("Enter");
  }

  async resize(columns, rows) {
    await this.#tmux("resize-window", "-t", this.#name, "-x", columns, "-y", rows);
  }

  /** The lines of the screen. */
  async screen() {
    return (await this.#tmux("capture-pane", "-p", "-t", this.#name)).split("\n").slice(0, -1);
  }

  /** Resolves to the screen once it shows `wanted`, a text or a pattern. Calls `meanwhile` between two checks. */
  async shows(wanted, meanwhile = async () => undefined) {
    const pattern = typeof wanted === "string" ? { test: (text) => text.includes(wanted) } : wanted;
    const end = Date.now() + TIMEOUT;
    for (;;) {
      const screen = await this.screen();
      if (pattern.test(screen.join("\n"))) return screen;
      if (Date.now() > end) throw new Error(`${wanted} does not come to:\n${screen.join("\n")}`);
      await meanwhile();
    }
  }

  /** Resolves once the program has exited. */
  async ended() {
    const end = Date.now() + TIMEOUT;
    for (;;) {
      const gone = await this.#tmux("has-session", "-t", this.#name).then(() => false, () => true);
      if (gone) return;
      if (Date.now() > end) throw new Error("the program does not end");
    }
  }
}
process.once("exit", () => Terminal.closeAll());
