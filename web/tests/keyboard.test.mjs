// Everything by keyboard alone: no mouse is touched here.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { PASSWORD } from "./harness/api.mjs";
import { launch, live, person, stored } from "./harness/browser.mjs";
import { Server } from "./harness/server.mjs";

let server, browser;

before(async () => {
  server = await Server.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
});

test("an account, a room, a message, the room's settings and logging out, by keyboard alone", async () => {
  const ada = await person(browser, server);
  const { page } = ada;
  const { keyboard } = page;
  /** Presses Tab until the focus is on what is called so; every step on the way has to be visible. */
  const tabTo = async (name, key = "Tab") => {
    for (let step = 0; step < 40; step++) {
      await keyboard.press(key);
      const focus = await page.evaluate(() => {
        const element = document.activeElement;
        const { width, height } = element.getBoundingClientRect();
        const label = element.labels?.[0]?.textContent ?? element.getAttribute("aria-label") ?? element.textContent;
        return { label: label.trim(), outlined: getComputedStyle(element).outlineStyle !== "none", seen: width > 0 && height > 0, tag: element.tagName };
      });
      if (focus.tag !== "BODY") assert.ok(focus.seen, `the focus is lost at ${focus.label}`);
      // The writing field shows it on the box around it.
      if (focus.tag !== "BODY" && focus.tag !== "TEXTAREA") assert.ok(focus.outlined, `no outline around ${focus.label}`);
      if (name.test(focus.label)) return;
    }
    assert.fail(`Tab does not come to ${name}`);
  };
  const focused = () => page.evaluate(() => document.activeElement.getAttribute("aria-label") ?? document.activeElement.textContent);

  await page.goto("/");
  await page.getByLabel("Name").waitFor();
  await tabTo(/New account/, "Shift+Tab");
  await keyboard.press("Enter");
  await page.getByRole("button", { name: "Create account" }).waitFor();
  await keyboard.type(ada.name);
  await tabTo(/^Password/);
  await keyboard.type(PASSWORD);
  await keyboard.press("Enter");
  await page.getByRole("navigation", { name: "Rooms" }).waitFor();

  await tabTo(/New room/);
  await keyboard.press("Enter");
  await page.getByRole("dialog", { name: "New room" }).waitFor();
  await keyboard.type("By keyboard");
  await keyboard.press("Enter");
  await live(page);
  await page.waitForFunction(() => document.activeElement?.tagName === "TEXTAREA");
  await keyboard.type("two lines");
  await keyboard.press("Shift+Enter");
  await keyboard.type("of one message");
  await keyboard.press("Enter");
  await page.locator("li[data-seq]").filter({ hasText: "two lines\nof one message" }).waitFor();

  await tabTo(/^Emoji/, "Shift+Tab");
  await keyboard.press("Enter");
  await page.getByRole("group", { name: "Emoji" }).waitFor();
  await keyboard.press("ArrowRight");
  assert.equal(await focused(), "tears of joy");
  await keyboard.press("ArrowDown");
  await keyboard.press("Enter");
  await keyboard.press("Escape");
  await page.waitForFunction(() => document.activeElement?.tagName === "TEXTAREA");
  await keyboard.press("Enter");
  await stored(page, "😴").or(page.locator("li[data-seq] .jumbo")).first().waitFor();

  await tabTo(/About this room/, "Shift+Tab");
  await keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await tabTo(/^Rename/);
  await keyboard.press("Enter");
  await tabTo(/Name of the room/);
  await keyboard.press("Control+A");
  await keyboard.type("Renamed by keyboard");
  await keyboard.press("Enter");
  await page.getByRole("heading", { name: "Renamed by keyboard", level: 1, includeHidden: true }).waitFor();
  await keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.equal(await focused(), "About this room");

  await tabTo(/Account$/, "Shift+Tab");
  await keyboard.press("Enter");
  await page.getByRole("dialog", { name: "Account" }).waitFor();
  await tabTo(/^Log out/);
  await keyboard.press("Enter");
  await page.getByRole("heading", { name: "GRPCChatter", level: 1 }).waitFor();
  assert.deepEqual(ada.problems, []);
});

test("the log is scrolled by keyboard, and new messages are told to a screen reader", async () => {
  const ada = await person(browser, server);
  const { page } = ada;
  const { Caller } = await import("./harness/api.mjs");
  const { joinRoom, signUp } = await import("./harness/browser.mjs");
  const grace = await Caller.register(server);
  const code = await grace.createRoom("Spoken");
  const say = await grace.join(code);
  for (let i = 0; i < 60; i++) await say(`line ${i}`);
  await signUp(ada);
  await joinRoom(ada, code);
  await stored(page, "line 59").waitFor();
  assert.equal(await page.getByRole("log").textContent(), "");
  await say("spoken to you");
  await page.getByRole("log").getByText(`${grace.name}: spoken to you`).waitFor({ state: "attached" });

  await page.getByRole("region", { name: "Messages" }).focus();
  await page.keyboard.press("Home");
  await stored(page, "line 0").waitFor();
  await page.waitForFunction(() => document.querySelector(".scroll").scrollTop < 5);
  await page.keyboard.press("End");
  await page.getByRole("button", { name: /Newest|new$/ }).waitFor({ state: "detached" });
  await ada.context.close();
});
