// Two people, from making an account to logging out, and all that an owner may do.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { joinRoom, launch, live, makeRoom, person, signUp, stored, write } from "./harness/browser.mjs";
import { PASSWORD } from "./harness/api.mjs";
import { Server } from "./harness/server.mjs";

let server, browser, ada, grace, code;

before(async () => {
  server = await Server.start();
  browser = await launch();
  ada = await person(browser, server, { called: "adalove" });
  grace = await person(browser, server, { called: "gracehop", permissions: ["clipboard-read", "clipboard-write"] });
  await Promise.all([signUp(ada), signUp(grace)]);
});
after(async () => {
  await browser?.close();
  await server?.close();
});

const people = (page) => page.getByRole("complementary", { name: "Who is here" });
const settings = (page) => page.getByRole("button", { name: "About this room" }).click();

test("two people talk, each sees the other and what the other says", async () => {
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

test("a wrong password of a room is told in words, and the right one opens it", async () => {
  const late = await person(browser, server);
  await signUp(late);
  await late.page.goto(`/#room=${code}`);
  await late.page.getByText("This room asks for its password").waitFor();
  await late.page.getByLabel("Password of the room").fill("wrong");
  await late.page.getByRole("button", { name: "Enter" }).click();
  await late.page.getByRole("alert").filter({ hasText: "this was not it" }).waitFor();
  await late.page.getByLabel("Password of the room").fill("secret");
  await late.page.getByRole("button", { name: "Enter" }).click();
  await stored(late.page, "good evening").waitFor();
  await late.context.close();
});

test("a reload keeps the session, the room and what was being written", async () => {
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

test("the removed are told so, the banned stay out, the unbanned come back", async () => {
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
  await dialog.getByText("Remove, ban, let in again").click();
  await dialog.getByLabel("Name of the person").fill(grace.name);
  await dialog.getByRole("radio", { name: "Let in again" }).check();
  await dialog.getByRole("button", { name: "Let in again" }).click();
  await ada.page.getByText(`${grace.name} may come in again.`).waitFor();
});

test("an invitation opens the room without a password", async () => {
  const dialog = ada.page.getByRole("dialog");
  await dialog.getByText("Invite without a password").click();
  await dialog.getByRole("button", { name: "Make an invitation" }).click();
  const link = await dialog.getByLabel("Invitation", { exact: true }).inputValue();
  await ada.page.keyboard.press("Escape");
  await grace.page.goto(link);
  await grace.page.getByRole("button", { name: "Come in" }).click();
  await live(grace.page);
  await stored(grace.page, "good evening").waitFor();
  assert.doesNotMatch(grace.page.url(), /join=/);
});

test("a new password of the room asks everybody but its owner", async () => {
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

test("who leaves is gone from the room and from their list", async () => {
  await settings(grace.page);
  const dialog = grace.page.getByRole("dialog");
  await dialog.getByText("Leave the room").first().click();
  await dialog.getByRole("button", { name: "Leave the room" }).click();
  await grace.page.getByText("You are in no room yet").waitFor();
  await people(ada.page).getByText(grace.name).waitFor({ state: "detached" });
});

test("a deleted room is gone for those inside", async () => {
  await joinRoom(grace, code, "another");
  await settings(ada.page);
  const dialog = ada.page.getByRole("dialog");
  await dialog.getByText("Delete the room").first().click();
  await dialog.getByRole("button", { name: "Delete the room for good" }).click();
  await ada.page.getByText("You are in no room yet").waitFor();
  await grace.page.getByText("This room does not exist").waitFor();
});

test("a new password of the account, logging out in every tab, and deleting the account", async () => {
  const { page, context, name } = ada;
  const account = async () => page.getByRole("button", { name: `${name} Account` }).click();
  await account();
  await page.getByText("Change the password").first().click();
  await page.getByLabel("Present password").fill(PASSWORD);
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

test("nothing went wrong unseen", () => {
  assert.deepEqual([...ada.problems, ...grace.problems], []);
});
