// Every screen, in both colour schemes, on a desktop and on a phone: axe-core finds no violation, and no screen is too wide.
// SCREENSHOTS=folder saves a picture of each.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { Caller } from "./harness/api.mjs";
import { DESK, live, logIn, person, PHONE, refuse, signUp, stored } from "./harness/browser.mjs";
import { Server } from "./harness/server.mjs";
import { browser, setUp } from "./harness/suite.mjs";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const LONG = Array.from({ length: 30 }, (_, line) => `${line + 1}. what is to be done before the release`).join("\n");
const SERVICE = "**/grpcchatter.v1.ChatService";
const RESOURCE_EXHAUSTED = 8;

setUp({ withServer: false });

const TALK = [
  ["grace", "Evening. The migration finished at ten past nine, no errors in the log."],
  ["grace", "I left the old tables in place until tomorrow, in case somebody wants to compare."],
  ["ada", "Thank you! I will look at the counts first thing in the morning."],
  ["linus", "Nice. How long did the last step take?"],
  ["grace", "Four minutes. Notes are at https://example.com/notes/migration?step=4 (the table at the end)."],
  ["linus", "👏"],
  ["ada", "Counts agree: 1,204,118 rows on both sides."],
  ["ada", "So from my side we can drop the old tables today."],
  [
    "linus",
    "One question before you do: does the nightly export still read from them? I remember something like that from last year, when we moved the reports over and the finance team had an empty sheet on a Monday.\n\nCould well be gone by now.",
  ],
  ["grace", "Good catch. I will grep for it and ask finance."],
  ["ada", "🎉"],
];

/** A server with users, rooms and messages, the same for every picture. */
async function stage() {
  const server = await Server.start();
  const [ada, grace, linus] = await Promise.all(["ada1815", "grace1906", "linus1969"].map((name) => Caller.register(server, name)));
  const people = { ada, grace, linus };
  for (const name of ["Book club", "Kitchen table"]) await ada.createRoom(name);
  const plans = await ada.createRoom("Release 2.0");
  const sayOfPlans = await grace.join(plans);
  await sayOfPlans(LONG);
  const code = await ada.createRoom("Night shift");
  const say = {};
  for (const [key, caller] of Object.entries(people)) say[key] = await caller.join(code);
  for (const [who, body] of TALK) await say[who](body);
  // A member who joined without a stream counts as present for 30 s. Two are to be counted, so linus leaves.
  await linus.leave(code);
  return { server, ada, grace, code, sayOfPlans };
}

/** Goes from screen to screen and checks each. */
class Walker {
  constructor(visitor, name, phone) {
    this.page = visitor.page;
    this.context = visitor.context;
    this.name = name;
    this.phone = phone;
  }

  /** Fails if axe-core finds a violation or the screen is wider than the window. */
  async check(screen) {
    const { page } = this;
    if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, `${this.name}-${screen}.png`) });
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run());
    const found = violations.map(({ id, nodes }) => `${screen}: ${id}: ${nodes.map(({ html }) => html).join("\n")}`);
    assert.deepEqual(found, []);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${screen} is too wide`);
  }

  async close() {
    await this.page.keyboard.press("Escape");
    await this.page.getByRole("dialog").waitFor({ state: "detached" });
  }

  async back() {
    if (this.phone) await this.page.getByRole("link", { name: "All rooms" }).click();
  }

  async enter(room) {
    await this.page.getByRole("navigation", { name: "Rooms" }).getByText(room).click();
    await live(this.page);
  }

  async say(text) {
    await this.page.getByRole("textbox", { name: /^Message to/ }).fill(text);
    await this.page.getByRole("button", { name: "Send" }).click();
  }

  async unfold() {
    for (const summary of await this.page.locator("summary").all()) await summary.click();
  }
}

for (const colorScheme of ["light", "dark"]) {
  for (const [device, viewport] of [["desk", DESK], ["phone", PHONE]]) {
    test(`${colorScheme}, ${device}: every screen is accessible and fits`, async (t) => {
      const phone = device === "phone";
      const options = { viewport, colorScheme, isMobile: phone, hasTouch: phone, reducedMotion: "reduce" };
      const scene = await stage();
      t.after(() => scene.server.close());
      const visitor = await person(browser, scene.server, options);
      const walker = new Walker(visitor, `${colorScheme}-${device}`, phone);
      await loggedOut(walker, visitor);
      const guest = await person(browser, scene.server);
      await logIn(guest, "grace1906");
      await guest.page.goto(`/#room=${scene.code}`);
      await live(guest.page);
      await inRoom(walker, scene);
      await unsent(walker, scene);
      await closedRooms(walker, scene);
      await loading(walker, scene);
      await invited(walker, scene);
      assert.deepEqual([...visitor.problems, ...guest.problems], []);
      await Promise.all([visitor.context.close(), guest.context.close()]);
    });
  }
}

/** The screens before the login and right after it. */
async function loggedOut(walker, visitor) {
  const { page } = walker;
  await page.goto("/");
  await page.getByLabel("Name").waitFor();
  await walker.check("log-in");
  await page.getByLabel("Name").fill("nobody0");
  await page.getByLabel("Password", { exact: true }).fill("nothing");
  await page.getByRole("button", { name: "Log in" }).last().click();
  await page.getByRole("alert").filter({ hasText: "do not match" }).waitFor();
  await walker.check("log-in-refused");
  await page.getByRole("button", { name: "New account" }).click();
  await walker.check("new-account");
  await signUp(visitor);
  await page.getByText("You are in no room yet").waitFor();
  await walker.check("no-room");
  await page.getByRole("button", { name: /Account$/ }).click();
  await page.getByRole("button", { name: "Log out" }).click();
  await logIn(visitor, "ada1815");
  await page.getByText("Night shift").waitFor();
  await walker.check("rooms");
  for (const door of ["New room", "Join"]) {
    await page.getByRole("button", { name: door, exact: true }).click();
    await page.getByRole("dialog").waitFor();
    await walker.check(door.toLowerCase().replace(" ", "-"));
    await walker.close();
  }
  await page.getByRole("button", { name: /Account$/ }).click();
  await walker.unfold();
  await walker.check("account");
  await walker.close();
}

/** The screens of an open room. */
async function inRoom(walker, { sayOfPlans }) {
  const { page, phone } = walker;
  await walker.enter("Night shift");
  await stored(page, "Good catch. I will grep for it and ask finance.").waitFor();
  await page.getByText("2 here").waitFor();
  await walker.check("room");
  await page.getByRole("button", { name: "Emoji" }).click();
  await walker.check("emoji");
  await page.keyboard.press("Escape");
  if (phone) {
    await page.getByRole("button", { name: "Who is here" }).click();
    await walker.check("people");
  }
  await page.getByRole("button", { name: "Remove or ban grace1906" }).click();
  await page.getByRole("button", { name: "Ban grace1906", exact: true }).waitFor();
  await walker.check("remove");
  if (phone) await page.keyboard.press("Escape");
  await walker.close();
  await page.getByRole("button", { name: "About this room" }).click();
  await walker.check("settings");
  await walker.unfold();
  await page.getByRole("button", { name: "Make an invitation" }).click();
  await page.getByLabel("Invitation", { exact: true }).waitFor();
  await walker.check("settings-open");
  await walker.close();

  await walker.back();
  await page.getByText("Kitchen table").click();
  await page.getByText("No messages yet").waitFor();
  await walker.check("empty-room");

  await walker.back();
  for (let day = 1; day <= 9; day++) await sayOfPlans(`What is left for day ${day}: the notes, and somebody who reads them.`);
  await walker.enter("Release 2.0");
  await page.locator('li[data-seq="10"]').waitFor();
  await page.getByRole("region", { name: "Messages" }).evaluate((box) => (box.scrollTop -= 250));
  await page.getByText("New", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Newest" }).waitFor();
  await walker.check("new-line");
  await page.getByRole("region", { name: "Messages" }).evaluate((box) => (box.scrollTop = 0));
  await page.getByRole("button", { name: "Show all of it" }).waitFor();
  await walker.check("folded");
}

/** The states of an unsent message. */
async function unsent(walker) {
  const { page, context } = walker;
  const discard = async (state) => {
    await page.locator(`li.${state}`).getByRole("button", { name: "Discard" }).click();
    await page.locator(`li.${state}`).waitFor({ state: "detached" });
  };
  await walker.say("far too long ".repeat(400));
  await page.locator("li.refused").getByRole("button", { name: "Edit" }).waitFor();
  await walker.check("not-sent");
  await discard("refused");
  await page.route(`${SERVICE}/SendMessage`, (route) => refuse(route, RESOURCE_EXHAUSTED, "STORAGE_FULL"));
  await walker.say("There is no space for this");
  await page.locator("li.held").getByRole("button", { name: "Try now" }).waitFor();
  await walker.check("held");
  await discard("held");
  await page.unroute(`${SERVICE}/SendMessage`);
  await context.setOffline(true);
  await walker.say("I have no network here");
  await page.getByText("This device is offline.").waitFor();
  await page.getByText("Sending…").waitFor();
  await walker.check("offline");
  await walker.back();
  if (walker.phone) {
    await page.getByText("1 not sent yet").waitFor({ state: "attached" });
    await walker.check("unsent");
  }
  await context.setOffline(false);
  if (walker.phone) await page.getByText("1 not sent yet").waitFor({ state: "detached" });
  else await stored(page, "I have no network here").waitFor();
}

/** The screens of rooms that are closed to the user. */
async function closedRooms(walker, { grace }) {
  const { page } = walker;
  const code = await grace.createRoom("Finance", "secret");
  await page.goto(`/#room=${code}`);
  await page.getByText("This room asks for its password").waitFor();
  await walker.check("closed-password");
  await page.getByLabel("Password of the room").fill("secret");
  await page.getByRole("button", { name: "Enter" }).click();
  await live(page);
  await grace.remove(code, "ada1815");
  await page.getByText("You were removed from this room").waitFor();
  await walker.check("closed-removed");
  await page.getByLabel("Password of the room").fill("secret");
  await page.getByRole("button", { name: "Enter" }).click();
  await live(page);
  await grace.remove(code, "ada1815", true);
  await page.getByText("You are banned from this room").first().waitFor();
  await walker.check("closed-banned");
  await page.goto("/#room=nosuch1");
  await page.getByText("This room does not exist").waitFor();
  await walker.check("closed-unknown");
}

/** The screens while something loads, and after it has failed. */
async function loading(walker, { code }) {
  const { page } = walker;
  const calls = /ListMessages|ListChatRooms$/;
  const held = [];
  await page.route(calls, (route) => void held.push(route));
  await page.goto("/");
  await page.getByText("Loading your rooms…").waitFor({ state: "attached" });
  await walker.check("rooms-loading");
  await page.goto(`/#room=${code}`);
  await page.getByText("Loading the messages…").waitFor({ state: "attached" });
  await walker.check("room-loading");
  await page.route(calls, (route) => route.abort());
  for (const route of held) await route.abort();
  await page.getByText("The messages could not be loaded.").waitFor();
  await walker.check("room-failed");
  await page.goto("/");
  await page.getByRole("button", { name: "Try again" }).waitFor();
  await walker.check("rooms-failed");
  await page.unroute(calls);
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByText("Night shift").waitFor();
}

/** An expired session, an invitation for a user who is logged in, and an invitation that is not valid. */
async function invited(walker, { ada, code }) {
  const { page } = walker;
  await page.evaluate(() => localStorage.setItem("grpcchatter/session", JSON.stringify({ userName: "ada1815", refreshToken: "spent" })));
  await page.reload();
  await page.getByText("Your session has ended.").waitFor();
  await walker.check("session-ended");
  await logIn({ page }, "linus1969");
  await page.goto(`/#join=${await ada.invite(code)}`);
  await page.getByRole("dialog", { name: "You are invited" }).waitFor();
  await walker.check("invitation");
  await page.getByRole("button", { name: "Join the room" }).click();
  await live(page);
  await page.goto("/#join=not-a-token");
  await page.getByRole("button", { name: "Join the room" }).click();
  await page.getByRole("alert").filter({ hasText: "not valid" }).waitFor();
  await walker.check("invitation-refused");
  await walker.close();
  assert.doesNotMatch(page.url(), /join=/);
}

test("at 200 % zoom everything is visible and fits", async (t) => {
  const { server } = await stage();
  t.after(() => server.close());
  const visitor = await person(browser, server, { viewport: { width: DESK.width / 2, height: DESK.height / 2 }, deviceScaleFactor: 2 });
  const { page } = visitor;
  await logIn(visitor, "ada1815");
  await page.getByText("Night shift").click();
  await live(page);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  for (const name of ["All rooms", "Who is here", "About this room", "Emoji", "Send"]) {
    await page.getByLabel(name).first().waitFor();
  }
  assert.ok(await page.evaluate(() => document.querySelector(".scroll").clientHeight > 150));
  await visitor.context.close();
});
