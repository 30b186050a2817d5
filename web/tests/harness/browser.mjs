// Chromium, and what a person does in it.
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { chromium } from "playwright-core";
import { newName, PASSWORD } from "./api.mjs";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

function executable() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  const found = (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, "chromium")).find(existsSync);
  if (!found) throw new Error("these tests need Chromium: put `chromium` on PATH or its file into CHROMIUM");
  return found;
}

export function launch() {
  return chromium.launch({ executablePath: executable(), args: FLAGS });
}

export const DESK = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 780 };

/** A browser profile of its own: a person. Every page error and CSP report in it is collected in `problems`. */
export async function person(browser, server, options = {}) {
  const context = await browser.newContext({ viewport: DESK, baseURL: server.url, ...options });
  const problems = [];
  context.on("weberror", (error) => problems.push(String(error.error())));
  context.on("console", (message) => {
    if (/content.security.policy|trustedhtml|trusted type/i.test(message.text())) problems.push(message.text());
  });
  // What comes at once on an idle machine; on a busy one, waiting longer costs nothing.
  context.setDefaultTimeout(60_000);
  if (process.env.WEB_DIST) await context.route(/\/(|index\.html|app\.js|app\.css)$/, fromFolder);
  return { context, problems, page: await context.newPage(), name: newName(options.called) };
}

/** With WEB_DIST=dist the files of that folder are tried with the headers of a server that was built before. */
async function fromFolder(route) {
  const name = new URL(route.request().url()).pathname.slice(1) || "index.html";
  const { headers } = await fetch(new URL("/", route.request().url()));
  await route.fulfill({ path: join(process.env.WEB_DIST, name), headers: { "content-security-policy": headers.get("content-security-policy") } });
}

/** Makes the person's account in the page and comes to rest at their rooms. */
export async function signUp({ page, name }) {
  await page.goto("/");
  await page.getByRole("button", { name: "New account" }).click();
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByRole("button", { name: "Create account" }).click();
  await page.getByRole("navigation", { name: "Rooms" }).waitFor();
}

export async function logIn({ page }, name) {
  await page.goto("/");
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByRole("button", { name: "Log in" }).last().click();
  await page.getByRole("navigation", { name: "Rooms" }).waitFor();
}

/** Makes a room in the page; resolves to its code. */
export async function makeRoom({ page }, name, password = "") {
  await page.getByRole("button", { name: "New room" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill(name);
  await dialog.getByLabel("Password", { exact: true }).fill(password);
  await dialog.getByRole("button", { name: "Create the room" }).click();
  await live(page);
  return page.evaluate(() => location.hash.replace("#room=", ""));
}

export async function joinRoom({ page }, code, password = "") {
  await page.getByRole("button", { name: "Join", exact: true }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Code").fill(code);
  await dialog.getByLabel("Password", { exact: true }).fill(password);
  await dialog.getByRole("button", { name: "Join" }).click();
  await live(page);
}

/** Resolves once the room on the screen is connected and has read its messages. */
export async function live(page) {
  await page.getByText(/^\d+ here/).first().waitFor();
}

export async function write(page, text) {
  await page.getByRole("textbox", { name: /^Message to/ }).fill(text);
  await page.keyboard.press("Enter");
}

/** The message of this very text, once the server has stored it. */
export function stored(page, text) {
  return page.locator("li[data-seq]").filter({ has: page.getByText(text, { exact: true }) });
}

/** The longest task of the page's main threads while `work` runs: its processor time in milliseconds, whatever the clock says. */
export async function longestTask(page, work) {
  const browser = page.context().browser();
  await browser.startTracing(page, { categories: ["disabled-by-default-devtools.timeline"] });
  await work();
  const { traceEvents } = JSON.parse(await browser.stopTracing());
  const thread = ({ pid, tid }) => `${pid}/${tid}`;
  const main = new Set(traceEvents.filter(({ name, args }) => name === "thread_name" && args.name === "CrRendererMain").map(thread));
  // Tasks that had begun before the trace, or end after it, have no length in it.
  const whole = ({ name, tdur }) => name === "RunTask" && Number.isFinite(tdur);
  const taken = traceEvents.filter((event) => whole(event) && main.has(thread(event))).map(({ tdur }) => tdur / 1000);
  if (taken.length === 0) throw new Error("the trace holds no task");
  return taken.reduce((one, two) => Math.max(one, two));
}

/** A promise that the test keeps when it wants to. */
export function gate() {
  let open;
  const opened = new Promise((resolve) => (open = resolve));
  return { opened, open };
}

/** Answers a call as the server refuses one, with a gRPC status, its reason and the server's domain. */
export function refuse(route, status, reason) {
  const field = (number, bytes) => Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
  const info = Buffer.concat([field(1, Buffer.from(reason)), field(2, Buffer.from("grpcchatter"))]);
  const detail = Buffer.concat([field(1, Buffer.from("type.googleapis.com/google.rpc.ErrorInfo")), field(2, info)]);
  const details = Buffer.concat([Buffer.from([1 << 3, status]), field(3, detail)]);
  return route.fulfill({
    contentType: "application/grpc-web+proto",
    headers: { "grpc-status": String(status), "grpc-message": reason, "grpc-status-details-bin": details.toString("base64") },
  });
}

/** Scrolls through the whole log and collects what the document showed: [seq, text] by rising seq, each once. */
export function readLog(page) {
  return page.evaluate(async () => {
    const box = document.querySelector(".scroll");
    const found = new Map();
    const doubled = [];
    const frame = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    const collect = () => {
      let before = 0;
      const here = new Set();
      for (const line of box.querySelectorAll("li[data-seq]")) {
        const seq = Number(line.dataset.seq);
        if (here.has(seq) || seq <= before) doubled.push(seq);
        here.add(seq);
        before = seq;
        found.set(seq, line.querySelector(".body").textContent);
      }
    };
    box.scrollTop = box.scrollHeight;
    for (;;) {
      await frame();
      collect();
      if (box.scrollTop === 0 && document.querySelector(".beginning")?.textContent.includes("begins")) break;
      box.scrollTop -= 500;
    }
    return { messages: [...found].sort(([one], [two]) => one - two), doubled };
  });
}
