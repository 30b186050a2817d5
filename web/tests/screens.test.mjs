// Every screen, in both colour schemes, on a desk and on a phone: axe-core finds nothing to say about it, and nothing
// sticks out at the side. With SCREENSHOTS=folder each is kept as a picture.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Caller } from "./harness/api.mjs";
import { DESK, launch, live, logIn, person, PHONE, signUp, stored, write } from "./harness/browser.mjs";
import { Server } from "./harness/server.mjs";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let server, browser, ada, code, emptyCode;

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

before(async () => {
  server = await Server.start();
  browser = await launch();
  ada = await Caller.register(server, "ada1815");
  const people = { ada, grace: await Caller.register(server, "grace1906"), linus: await Caller.register(server, "linus1969") };
  for (const name of ["Book club", "Release 2.0", "Kitchen table"]) emptyCode = await ada.createRoom(name);
  await ada.join(emptyCode);
  code = await ada.createRoom("Night shift");
  const say = {};
  for (const [key, caller] of Object.entries(people)) say[key] = await caller.join(code);
  for (const [who, body] of TALK) await say[who](body);
  // Who entered without a stream counts as here for half a minute: linus is not to be counted by the first test alone.
  await people.linus.leave(code);
});
after(async () => {
  await browser?.close();
  await server?.close();
});

for (const colorScheme of ["light", "dark"]) {
  for (const [device, viewport] of [["desk", DESK], ["phone", PHONE]]) {
    test(`${colorScheme}, ${device}: every screen is sound`, async () => {
      const phone = device === "phone";
      const options = { viewport, colorScheme, isMobile: phone, hasTouch: phone, reducedMotion: "reduce" };
      const visitor = await person(browser, server, options);
      const { page } = visitor;
      const sound = async (screen) => {
        if (process.env.SCREENSHOTS) {
          await page.screenshot({ path: join(process.env.SCREENSHOTS, `${colorScheme}-${device}-${screen}.png`) });
        }
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => window.axe.run());
        const told = violations.map(({ id, nodes }) => `${screen}: ${id}: ${nodes.map(({ html }) => html).join("\n")}`);
        assert.deepEqual(told, []);
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${screen} is too wide`);
      };
      const back = async () => phone && page.getByRole("link", { name: "All rooms" }).click();
      const close = async () => {
        await page.keyboard.press("Escape");
        await page.getByRole("dialog").waitFor({ state: "detached" });
      };

      await page.goto("/");
      await page.getByLabel("Name").waitFor();
      await sound("log-in");
      await page.getByRole("button", { name: "Log in" }).last().click();
      await page.getByLabel("Name").fill("nobody0");
      await page.getByLabel("Password", { exact: true }).fill("nothing");
      await page.getByRole("button", { name: "Log in" }).last().click();
      await page.getByRole("alert").filter({ hasText: "do not fit" }).waitFor();
      await sound("log-in-refused");
      await page.getByRole("button", { name: "New account" }).click();
      await sound("new-account");
      await signUp(visitor);
      await page.getByText("You are in no room yet").waitFor();
      await sound("no-room");
      await page.getByRole("button", { name: /Account$/ }).click();
      await page.getByRole("button", { name: "Log out" }).click();
      await logIn(visitor, "ada1815");
      await page.getByText("Night shift").waitFor();
      await sound("rooms");
      for (const door of ["New room", "Join"]) {
        await page.getByRole("button", { name: door, exact: true }).click();
        await page.getByRole("dialog").waitFor();
        await sound(door.toLowerCase().replace(" ", "-"));
        await close();
      }

      const guests = await person(browser, server);
      await logIn(guests, "grace1906");
      await guests.page.goto(`/#room=${code}`);
      await live(guests.page);
      await page.getByText("Night shift").click();
      await live(page);
      await stored(page, "Good catch. I will grep for it and ask finance.").waitFor();
      await page.getByText("2 here").waitFor();
      await sound("room");
      await page.getByRole("button", { name: "Emoji" }).click();
      await sound("emoji");
      await page.keyboard.press("Escape");
      if (phone) {
        await page.getByRole("button", { name: "Who is here" }).click();
        await sound("people");
        await close();
      }
      await page.getByRole("button", { name: "About this room" }).click();
      await sound("settings");
      for (const summary of await page.locator("summary").all()) await summary.click();
      await page.getByRole("button", { name: "Make an invitation" }).click();
      await page.getByLabel("Invitation", { exact: true }).waitFor();
      await sound("settings-open");
      await close();
      await page.route("**/SendMessage", (route) => route.abort());
      if (phone) {
        await page.getByRole("textbox", { name: /^Message to/ }).fill("I have no network here");
        await page.getByRole("button", { name: "Send" }).click();
      } else await write(page, "I have no network here");
      await visitor.context.setOffline(true);
      await page.getByText("This device is offline.").waitFor();
      await page.getByText("Sending…").waitFor();
      await sound("offline");
      await visitor.context.setOffline(false);
      await page.unroute("**/SendMessage");
      await live(page);
      await stored(page, "I have no network here").last().waitFor();
      await back();
      await page.getByText("Kitchen table").click();
      await page.getByText("Nothing was said here yet").waitFor();
      await sound("empty-room");
      await back();
      await page.getByRole("button", { name: /Account$/ }).click();
      for (const summary of await page.locator("summary").all()) await summary.click();
      await sound("account");
      await close();
      await page.goto("/#room=nosuch1");
      await page.getByText("This room does not exist").waitFor();
      await sound("no-such-room");

      await guests.context.close();
      const stranger = await person(browser, server, options);
      await signUp(stranger);
      await stranger.page.goto(`/#join=not-a-token`);
      await stranger.page.getByRole("button", { name: "Come in" }).click();
      await stranger.page.getByRole("alert").filter({ hasText: "not valid" }).waitFor();
      assert.deepEqual([...visitor.problems, ...stranger.problems], []);
      await Promise.all([visitor.context.close(), stranger.context.close()]);
    });
  }
}

test("at 200 % zoom everything is still there and nothing sticks out", async () => {
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
