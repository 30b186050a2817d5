// Two users, from creating an account to logging out, and everything that a room's owner can do.
import assert from "node:assert/strict";
import { test } from "node:test";
import { joinRoom, live, makeRoom, person, signUp, stored, write } from "./harness/browser.mjs";
import { PASSWORD } from "./harness/api.mjs";
import { browser, server, setUp } from "./harness/suite.mjs";

let ada, grace, code;

setUp({
  prepare: async () => {
    ada = await person(browser, server, { called: "adalove" });
    grace = await person(browser, server, { called: "gracehop", permissions: ["clipboard-read", "clipboard-write"] });
    await Promise.all([signUp(ada), signUp(grace)]);
  },
});

const people = (page) => page.getByRole("complementary", { name: "Who is here" });
const settings = (page) => page.getByRole("button", { name: "About this room" }).click();

test("two users see each other and each other's messages", async () => {
  code = await makeRoom(ada, "Night shift", "secret");
  await joinRoom(grace, code, "secret");
  await people(ada.page).getByText(grace.name).waitFor();
  await people(grace.page).getByText(ada.name).waitFor();
  await write(ada.page, "good evening");
  await stored(grace.page, "good evening").waitFor();
  await write(grace.page, "and to you, see https://example.com/a?b=1.");
  const link = ada.page.getByRole("link", { name: "https://example.com/a?b=1" });
  assert.equal(await link.getAttribute("rel"), "noopener noreferrer nofollow");
  assert.equal(await link.textContent(), "https://example.com/a?b=1");
  assert.match(await ada.page.locator("li.own").first().getAttribute("class"), /head/);
});

test("a wrong room password is refused with a sentence, and the right one opens the room", async () => {
  const late = await person(browser, server);
  await signUp(late);
  await late.page.goto(`/#room=${code}`);
  await late.page.getByText("This room asks for its password").waitFor();
  await late.page.getByLabel("Password of the room").fill("wrong");
  await late.page.getByRole("button", { name: "Enter" }).click();
  await late.page.getByRole("alert").filter({ hasText: "not the password" }).waitFor();
  await late.page.getByLabel("Password of the room").fill("secret");
  await late.page.getByRole("button", { name: "Enter" }).click();
  await stored(late.page, "good evening").waitFor();
  await late.context.close();
});

test("a reload keeps the session, the room and the draft", async () => {
  await ada.page.getByRole("textbox", { name: /^Message to/ }).fill("half a thou");
  await ada.page.reload();
  await live(ada.page);
  await stored(ada.page, "good evening").waitFor();
  assert.equal(await ada.page.getByRole("textbox", { name: /^Message to/ }).inputValue(), "half a thou");
  await ada.page.getByRole("textbox", { name: /^Message to/ }).fill("");
});

test("a new name of the room reaches everybody at once", async () => {
  await settings(ada.page);
  const dialog = ada.page.getByRole("dialog");
  await dialog.getByText("Rename").first().click();
  await dialog.getByLabel("Name of the room").fill("Day shift");
  await dialog.getByRole("button", { name: "Rename" }).click();
  await grace.page.getByRole("heading", { name: "Day shift" }).waitFor();
  await ada.page.keyboard.press("Escape");
});

test("a removed user can join again, a banned user only after an unban", async () => {
  const choose = async (what) => {
    await ada.page.getByRole("button", { name: `Remove or ban ${grace.name}` }).click();
    await ada.page.getByRole("button", { name: what, exact: true }).click();
  };
  await choose(`Remove ${grace.name} for now`);
  await grace.page.getByText("You were removed from this room").waitFor();
  await grace.page.getByLabel("Password of the room").fill("secret");
  await grace.page.getByRole("button", { name: "Enter" }).click();
  await live(grace.page);
  await stored(grace.page, "good evening").waitFor();
  await people(ada.page).getByText(grace.name).waitFor();

  await choose(`Ban ${grace.name}`);
  await grace.page.getByText("You are banned from this room").first().waitFor();

  await settings(ada.page);
  const dialog = ada.page.getByRole("dialog");
  await dialog.getByText("Remove, ban or unban").click();
  await dialog.getByLabel("Name of the user").fill(grace.name);
  await dialog.getByRole("radio", { name: "Unban" }).check();
  await dialog.getByRole("button", { name: "Unban" }).click();
  await ada.page.getByText(`${grace.name} can join again.`).waitFor();
});

test("an invitation opens the room without a password", async () => {
  const dialog = ada.page.getByRole("dialog");
  await dialog.getByText("Invite without a password").click();
  await dialog.getByRole("button", { name: "Make an invitation" }).click();
  const link = await dialog.getByLabel("Invitation", { exact: true }).inputValue();
  await ada.page.keyboard.press("Escape");
  await grace.page.goto(link);
  await grace.page.getByRole("button", { name: "Join the room" }).click();
  await live(grace.page);
  await stored(grace.page, "good evening").waitFor();
  assert.doesNotMatch(grace.page.url(), /join=/);
});

test("after a new room password everybody but the owner has to enter it", async () => {
  await settings(ada.page);
  const dialog = ada.page.getByRole("dialog");
  await dialog.getByText("Change the password").first().click();
  await dialog.getByLabel("New password").fill("another");
  await dialog.getByRole("button", { name: "Change the password" }).click();
  await grace.page.getByLabel("Password of the room").fill("another");
  await grace.page.getByRole("button", { name: "Enter" }).click();
  await live(grace.page);
  await ada.page.keyboard.press("Escape");
  await write(ada.page, "still here");
  await stored(grace.page, "still here").waitFor();
});

test("a room that a user leaves is gone from their list, and they from the room", async () => {
  await settings(grace.page);
  const dialog = grace.page.getByRole("dialog");
  await dialog.getByText("Leave the room").first().click();
  await dialog.getByRole("button", { name: "Leave the room" }).click();
  await grace.page.getByText("You are in no room yet").waitFor();
  await people(ada.page).getByText(grace.name).waitFor({ state: "detached" });
});

test("a deleted room is closed for its members", async () => {
  await joinRoom(grace, code, "another");
  await settings(ada.page);
  const dialog = ada.page.getByRole("dialog");
  await dialog.getByText("Delete the room").first().click();
  await dialog.getByRole("button", { name: "Delete the room for good" }).click();
  await ada.page.getByText("You are in no room yet").waitFor();
  await grace.page.getByText("This room does not exist").waitFor();
});

test("an account's password is changed, logging out covers every tab, and the account is deleted", async () => {
  const { page, context, name } = ada;
  const account = async () => page.getByRole("button", { name: `${name} Account` }).click();
  await account();
  await page.getByText("Change the password").first().click();
  await page.getByLabel("Current password").fill(PASSWORD);
  await page.getByLabel("New password").fill("An0ther!");
  await page.getByRole("button", { name: "Change the password" }).click();
  await page.getByText("Your password was changed").waitFor();

  const second = await context.newPage();
  await second.goto("/");
  await second.getByRole("navigation", { name: "Rooms" }).waitFor();
  await page.getByRole("button", { name: "Log out" }).click();
  await Promise.all([page, second].map((tab) => tab.getByRole("heading", { name: "GRPCChatter", level: 1 }).waitFor()));
  await second.close();

  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password", { exact: true }).fill("An0ther!");
  await page.getByRole("button", { name: "Log in" }).last().click();
  await account();
  await page.getByText("Delete the account").first().click();
  await page.getByLabel("Password", { exact: true }).fill("An0ther!");
  await page.getByRole("button", { name: "Delete the account for good" }).click();
  await page.getByRole("heading", { name: "GRPCChatter", level: 1 }).waitFor();
});

test("no error and no CSP report came up in these tests", () => {
  assert.deepEqual([...ada.problems, ...grace.problems], []);
});
