// The terminal client in tmux: a real terminal of a fixed size, without a screen.
import { execFile, execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { PASSWORD } from "./api.mjs";

const run = promisify(execFile);
const CHATTER = join(dirname(resolve(process.env.GRPCCHATTER_BIN ?? ".")), "chatter");
/** A tmux server of this test program's own, which reads nobody's settings. */
const TMUX = ["-L", `chatter-${process.pid}`, "-f", "/dev/null"];
const environment = (folder) => ({ PATH: process.env.PATH, HOME: folder, LC_ALL: "C.UTF-8", TZ: "UTC" });

/** Why these tests are left out on this machine; false where they are not. */
export function leftOut() {
  if ((process.env.PATH ?? "").split(delimiter).some((folder) => existsSync(join(folder, "tmux")))) return false;
  if (process.env.REQUIRE_TMUX === "1") throw new Error("tmux was not found, and REQUIRE_TMUX=1 asks for it");
  return "tmux was not found";
}

/** Milliseconds for what happens at once on an idle machine. */
const PATIENCE = 60_000;
let count = 0;

export class Terminal {
  #name = `t${++count}`;
  #env;

  /** `chatter` with a home of its own below `folder`, logged in as `name`. */
  static async open(server, folder, name) {
    const terminal = new Terminal();
    terminal.#env = environment(join(folder, name));
    const login = run(CHATTER, ["login", server.url, name, "--password-stdin"], { env: terminal.#env });
    login.child.stdin.end(PASSWORD);
    await login;
    return terminal.#start();
  }

  /** `chatter` with a home of its own below `folder`, in which nobody has logged in. */
  static async openAtTheDoor(server, folder, name) {
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
      // None was opened, or all have ended.
    }
  }

  async #tmux(...words) {
    return (await run("tmux", [...TMUX, ...words.map(String)], { env: this.#env })).stdout;
  }

  async type(text) {
    await this.#tmux("send-keys", "-t", this.#name, "-l", "--", text);
  }

  /** Pastes as a terminal does: in brackets, with CR between the lines. */
  async paste(text) {
    await this.#tmux("set-buffer", "-b", "pasted", "--", text);
    await this.#tmux("paste-buffer", "-p", "-d", "-b", "pasted", "-t", this.#name);
  }

  /** What programs have copied, if tmux lets them. */
  async copied() {
    return (await this.#tmux("show-buffer")).trim();
  }

  async letCopy() {
    await this.#tmux("set-option", "-g", "set-clipboard", "on");
  }

  /** Presses keys by tmux's names, as Enter or PPage. */
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

  /** What stands on the screen now, a string a line. */
  async screen() {
    return (await this.#tmux("capture-pane", "-p", "-t", this.#name)).split("\n").slice(0, -1);
  }

  /** Resolves to the screen once `wanted`, a text or a pattern, stands on it; does `meanwhile` between two looks. */
  async shows(wanted, meanwhile = async () => undefined) {
    const pattern = typeof wanted === "string" ? { test: (text) => text.includes(wanted) } : wanted;
    const end = Date.now() + PATIENCE;
    for (;;) {
      const screen = await this.screen();
      if (pattern.test(screen.join("\n"))) return screen;
      if (Date.now() > end) throw new Error(`${wanted} does not come to:\n${screen.join("\n")}`);
      await meanwhile();
    }
  }

  /** Resolves once the program has ended by itself. */
  async ended() {
    const end = Date.now() + PATIENCE;
    for (;;) {
      const gone = await this.#tmux("has-session", "-t", this.#name).then(() => false, () => true);
      if (gone) return;
      if (Date.now() > end) throw new Error("the program does not end");
    }
  }
}
process.once("exit", () => Terminal.closeAll());
