// Chromium, and the steps of a user on the page.
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

/** A user with their own browser profile. `problems` collects every page error and CSP report in it. */
export async function person(browser, server, options = {}) {
  const context = await browser.newContext({ viewport: DESK, baseURL: server.url, ...options });
  const problems = [];
  context.on("weberror", (error) => problems.push(String(error.error())));
  context.on("console", (message) => {
    if (/content.security.policy|trustedhtml|trusted type/i.test(message.text())) problems.push(message.text());
  });
  // Generous, for busy machines. On an idle machine nothing takes that long.
  context.setDefaultTimeout(60_000);
  if (process.env.WEB_DIST) await context.route(/\/(|index\.html|app\.js|app\.css)$/, fromFolder);
  return { context, problems, page: await context.newPage(), name: newName(options.called) };
}

/** WEB_DIST=folder: serves the page from that folder, with the CSP of the server. */
async function fromFolder(route) {
  const name = new URL(route.request().url()).pathname.slice(1) || "index.html";
  const { headers } = await fetch(new URL("/", route.request().url()));
  await route.fulfill({ path: join(process.env.WEB_DIST, name), headers: { "content-security-policy": headers.get("content-security-policy") } });
}

/** Creates the user's account on the page, and resolves at their list of rooms. */
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

/** Creates a room on the page. Resolves to its code. */
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

/** Resolves once the open room is connected and has loaded its messages. */
export async function live(page) {
  await page.getByText(/^\d+ here/).first().waitFor();
}

export async function write(page, text) {
  await page.getByRole("textbox", { name: /^Message to/ }).fill(text);
  await page.keyboard.press("Enter");
}

/** The message with exactly this text, once the server has stored it. */
export function stored(page, text) {
  return page.locator("li[data-seq]").filter({ has: page.getByText(text, { exact: true }) });
}

/** The processor time, in milliseconds, of the longest task on the page's main threads while `work` runs. */
export async function longestTask(page, work) {
  const browser = page.context().browser();
  await browser.startTracing(page, { categories: ["disabled-by-default-devtools.timeline"] });
  await work();
  const { traceEvents } = JSON.parse(await browser.stopTracing());
  const thread = ({ pid, tid }) => `${pid}/${tid}`;
  const main = new Set(traceEvents.filter(({ name, args }) => name === "thread_name" && args.name === "CrRendererMain").map(thread));
  // Tasks that began before the trace or end after it have no duration in it.
  const whole = ({ name, tdur }) => name === "RunTask" && Number.isFinite(tdur);
  const taken = traceEvents.filter((event) => whole(event) && main.has(thread(event))).map(({ tdur }) => tdur / 1000);
  if (taken.length === 0) throw new Error("the trace holds no task");
  return taken.reduce((one, two) => Math.max(one, two));
}

/** A promise that the test resolves with `open`. */
export function gate() {
  let open;
  const opened = new Promise((resolve) => (open = resolve));
  return { opened, open };
}

/** Refuses a call as the server does: with a gRPC status and an ErrorInfo with the reason and the server's domain. */
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

/** Scrolls through the whole log. Resolves to the messages shown, [seq, text] in order, and to the seqs that were doubled. */
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
