// Everything on the page can be done with the keyboard.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Caller, PASSWORD } from "./harness/api.mjs";
import { joinRoom, live, person, PHONE, signUp, stored } from "./harness/browser.mjs";
import { browser, server, setUp } from "./harness/suite.mjs";

setUp();

/** Presses Tab until the focus is on the element with that name. The focus has to be visible at every step. */
async function tab(page, name, key = "Tab") {
  for (let step = 0; step < 40; step++) {
    await page.keyboard.press(key);
    const focus = await page.evaluate(() => {
      const element = document.activeElement;
      const { width, height } = element.getBoundingClientRect();
      const label = element.labels?.[0]?.textContent ?? element.getAttribute("aria-label") ?? element.textContent;
      return { label: label.trim(), outlined: getComputedStyle(element).outlineStyle !== "none", seen: width > 0 && height > 0, tag: element.tagName };
    });
    if (focus.tag !== "BODY") assert.ok(focus.seen, `the focus is lost at ${focus.label}`);
    // The message field shows the focus on the box around it.
    if (focus.tag !== "BODY" && focus.tag !== "TEXTAREA") assert.ok(focus.outlined, `no outline around ${focus.label}`);
    if (name.test(focus.label)) return;
  }
  assert.fail(`Tab does not come to ${name}`);
}

test("the keyboard is enough to create an account and a room, to send, to rename the room and to log out", async () => {
  const ada = await person(browser, server);
  const { page } = ada;
  const { keyboard } = page;
  const tabTo = (name, key) => tab(page, name, key);
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

test("the log scrolls by keyboard, and new messages are announced to screen readers", async () => {
  const ada = await person(browser, server);
  const { page } = ada;
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

test("the keyboard is enough to join, invite, remove, ban, retry and discard", async () => {
  const [ada, grace] = await Promise.all([person(browser, server), person(browser, server)]);
  await Promise.all([signUp(ada), signUp(grace)]);
  const press = async (page, name, key = "Tab") => {
    await tab(page, name, key);
    await page.keyboard.press("Enter");
  };
  await press(ada.page, /New room/);
  await ada.page.getByRole("dialog", { name: "New room" }).waitFor();
  await ada.page.keyboard.type("Locked");
  await tab(ada.page, /^Password/);
  await ada.page.keyboard.type("secret");
  await ada.page.keyboard.press("Enter");
  await live(ada.page);
  const code = await ada.page.evaluate(() => location.hash.replace("#room=", ""));

  await press(grace.page, /^Join/);
  await grace.page.getByRole("dialog", { name: "Join a room" }).waitFor();
  await grace.page.keyboard.type(code);
  await tab(grace.page, /^Password/);
  await grace.page.keyboard.type("secret");
  await grace.page.keyboard.press("Enter");
  await live(grace.page);

  const choose = async (what) => {
    await ada.page.getByRole("button", { name: /^Remove or ban/ }).waitFor();
    await press(ada.page, /^Remove or ban/);
    await ada.page.getByRole("dialog", { name: grace.name }).waitFor();
    await press(ada.page, what);
    await ada.page.getByRole("dialog").waitFor({ state: "detached" });
  };
  await choose(/for now$/);
  await grace.page.getByText("You were removed from this room").waitFor();

  await press(ada.page, /About this room/);
  await ada.page.getByRole("dialog", { name: "Locked" }).waitFor();
  await press(ada.page, /^Invite without/);
  await press(ada.page, /^Make an invitation/);
  const link = await ada.page.getByLabel("Invitation", { exact: true }).inputValue();
  await ada.page.keyboard.press("Escape");
  await grace.page.goto(link);
  await grace.page.getByRole("dialog", { name: "You are invited" }).waitFor();
  await press(grace.page, /^Join the room/);
  await live(grace.page);

  await choose(/^Ban/);
  await grace.page.getByText("You are banned from this room").first().waitFor();

  await ada.page.getByRole("textbox", { name: /^Message to/ }).focus();
  await ada.page.keyboard.insertText("far too long ".repeat(400));
  await ada.page.keyboard.press("Enter");
  await ada.page.getByRole("button", { name: "Try again" }).waitFor();
  await press(ada.page, /^Try again/, "Shift+Tab");
  await ada.page.waitForFunction(() => document.activeElement?.tagName === "TEXTAREA");
  await ada.page.getByRole("button", { name: "Discard" }).waitFor();
  await press(ada.page, /^Discard/, "Shift+Tab");
  await ada.page.locator("li.refused").waitFor({ state: "detached" });
  assert.equal(await ada.page.evaluate(() => document.activeElement.tagName), "TEXTAREA");

  await press(ada.page, /^Skip the list/, "Shift+Tab");
  assert.equal(await ada.page.evaluate(() => document.activeElement.tagName), "MAIN");
  await Promise.all([ada.context.close(), grace.context.close()]);
});

test("on a phone, going back from a room puts the focus on its entry in the list", async () => {
  const ada = await person(browser, server, { viewport: PHONE });
  const { page } = ada;
  const owner = await Caller.register(server);
  const codes = [await owner.createRoom("First"), await owner.createRoom("Second")];
  await signUp(ada);
  for (const code of codes) {
    await joinRoom(ada, code);
    await page.getByRole("link", { name: "All rooms" }).press("Enter");
    await page.waitForFunction((room) => document.activeElement?.getAttribute("href") === `#room=${room}`, code);
  }
  await ada.context.close();
});
