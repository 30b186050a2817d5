// Unsent messages are sent exactly once: after a reload, from another room, and when the server accepts messages again.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Caller } from "./harness/api.mjs";
import { live, makeRoom, person, refuse, signUp, stored, write } from "./harness/browser.mjs";
import { browser, server, setUp } from "./harness/suite.mjs";

setUp();

const sends = "**/grpcchatter.v1.ChatService/SendMessage";
const RESOURCE_EXHAUSTED = 8;

/** The bodies in the room's log, read by another user. */
async function log(code) {
  const reader = await Caller.register(server);
  return (await reader.log(code)).map(({ body }) => body);
}

test("an unsent message survives a reload and is sent once, even if an answer was lost", async () => {
  const ada = await person(browser, server);
  const { page } = ada;
  await signUp(ada);
  const code = await makeRoom(ada, "Outbox");
  await page.route(sends, (route) => route.abort());
  await write(page, "one");
  await write(page, "two");
  await page.getByText("Sending…").first().waitFor();
  await page.reload();
  await live(page);
  await page.getByText("two", { exact: true }).waitFor();
  // The first attempt reaches the server and its answer is lost. Playwright tries the newest route first, so none passes by.
  let answers = 0;
  await page.route(sends, async (route) => {
    if (answers++ > 0) return route.continue();
    await route.fetch();
    await route.abort();
  });
  await stored(page, "two").waitFor();
  await stored(page, "one").waitFor();
  assert.ok(answers >= 2, "one of the answers had to be lost");
  assert.deepEqual(await log(code), ["one", "two"]);
  await ada.context.close();
});

test("a refused message shows the reason and can be edited", async () => {
  const ada = await person(browser, server);
  const { page } = ada;
  await signUp(ada);
  await makeRoom(ada, "Refusals");
  const long = "far too long ".repeat(400);
  await write(page, long);
  await page.locator("li.refused").getByText("The message is too long for this server.").waitFor();
  await page.getByRole("alert").getByText("Not sent. The message is too long for this server.").waitFor({ state: "attached" });
  await page.getByRole("button", { name: "Edit" }).click();
  assert.equal(await page.getByRole("textbox", { name: /^Message to/ }).inputValue(), long.trim());
  await write(page, "short");
  await stored(page, "short").waitFor();
  await ada.context.close();
});

test("a firewall that refuses one message delays no other, and does not end the session", async () => {
  const ada = await person(browser, server);
  const { page } = ada;
  await signUp(ada);
  const code = await makeRoom(ada, "Firewall");
  const wall = (status) => ({ status, contentType: "text/html", body: "<html>" });
  await page.route(sends, (route) =>
    route.request().postDataBuffer().includes("DROP TABLE") ? route.fulfill(wall(403)) : route.continue(),
  );
  await write(page, "'; DROP TABLE messages");
  await write(page, "good evening");
  await stored(page, "good evening").waitFor();
  await page.locator("li.refused").getByText(/something between here and the server/i).waitFor();
  assert.deepEqual(await log(code), ["good evening"]);
  // Nor does a firewall that refuses the refresh.
  await page.route("**/refresh", (route) => route.fulfill(wall(403)));
  await page.reload();
  const closed = page.locator(".closed");
  await closed.getByText(/something between here and the server/i).waitFor();
  await page.unroute("**/refresh");
  await page.unroute(sends);
  await closed.getByRole("button", { name: "Try again" }).click();
  await live(page);
  await ada.context.close();
});

test("messages written offline are sent while another room is open, and the list counts them until then", async () => {
  const ada = await person(browser, server);
  const { page, context } = ada;
  await signUp(ada);
  const code = await makeRoom(ada, "Tunnel");
  await makeRoom(ada, "Elsewhere");
  const list = page.getByRole("navigation", { name: "Rooms" });
  await list.getByText("Tunnel").click();
  await live(page);
  await context.setOffline(true);
  await write(page, "from the tunnel");
  await write(page, "and out of it");
  await page.getByText("Your 2 messages are saved and will be sent then.").waitFor();
  await list.getByText("Elsewhere").click();
  await list.getByText("2 not sent yet").waitFor({ state: "attached" });
  await context.setOffline(false);
  await list.getByText("2 not sent yet").waitFor({ state: "detached" });
  assert.deepEqual(await log(code), ["from the tunnel", "and out of it"]);
  assert.equal(await list.getByText(/ new$/).count(), 0, "the user's own messages are not unread");
  await context.close();
});

test("a message left unsent is sent at the next visit, by one of the tabs, whichever room they show", async () => {
  const ada = await person(browser, server);
  const { page, context } = ada;
  await signUp(ada);
  const code = await makeRoom(ada, "Left behind");
  await context.route(sends, (route) => route.abort());
  await write(page, "written yesterday");
  await page.getByText("Sending…").waitFor();
  await page.goto("/");
  await page.getByText("1 not sent yet").waitFor({ state: "attached" });
  const second = await context.newPage();
  await second.goto("/");
  await second.getByText("1 not sent yet").waitFor({ state: "attached" });
  await context.unroute(sends);
  await page.reload();
  for (const tab of [page, second]) await tab.getByText("1 not sent yet").waitFor({ state: "detached" });
  // The reload may have cut an answer off. The log has to contain the message once.
  assert.deepEqual(await log(code), ["written yesterday"]);
  await context.close();
});

test("a message that another tab sends stays visible in the tab that shows the room", async () => {
  const ada = await person(browser, server);
  const { page, context } = ada;
  await signUp(ada);
  const code = await makeRoom(ada, "Two views");
  const other = await context.newPage();
  await other.goto("/");
  await page.route(sends, (route) => route.abort());
  await write(page, "sent by the other tab");
  await other.getByText("1 not sent yet").waitFor({ state: "attached" });
  await page.evaluate(() => {
    window.gone = 0;
    new MutationObserver(() => {
      if (!document.querySelector(".lines").textContent.includes("sent by the other tab")) window.gone++;
    }).observe(document.querySelector(".log"), { subtree: true, childList: true });
  });
  await page.unroute(sends);
  await other.evaluate(() => dispatchEvent(new Event("online")));
  await stored(page, "sent by the other tab").waitFor();
  assert.equal(await page.evaluate(() => window.gone), 0);
  assert.deepEqual(await log(code), ["sent by the other tab"]);
  await context.close();
});

test("a message that the server cannot accept for now shows the reason, and is retried or discarded", async () => {
  const ada = await person(browser, server);
  const { page } = ada;
  await signUp(ada);
  const code = await makeRoom(ada, "Full disk");
  const why = "Not sent yet. The server has no space left for new messages.";
  const line = page.locator("li.held");
  await page.route(sends, (route) => refuse(route, RESOURCE_EXHAUSTED, "STORAGE_FULL"));
  await write(page, "worth the space");
  await line.getByText(why).waitFor();
  await page.getByRole("alert").getByText(why).waitFor({ state: "attached" });
  await page.unroute(sends);
  await line.getByRole("button", { name: "Try now" }).click({ timeout: 5_000 }).catch(() => undefined);
  await stored(page, "worth the space").waitFor();

  await page.route(sends, (route) => refuse(route, RESOURCE_EXHAUSTED, "STORAGE_FULL"));
  await write(page, "not worth it");
  await line.getByRole("button", { name: "Discard" }).click();
  await page.getByText("not worth it").waitFor({ state: "detached" });
  await page.unroute(sends);
  await write(page, "the end");
  await stored(page, "the end").waitFor();
  assert.deepEqual(await log(code), ["worth the space", "the end"]);
  await ada.context.close();
});

test("a message is sent once the user can join the room again", async () => {
  const owner = await Caller.register(server);
  const code = await owner.createRoom("Locked", "old");
  const ada = await person(browser, server);
  const { page, context } = ada;
  await signUp(ada);
  await page.goto(`/#room=${code}`);
  await page.getByLabel("Password of the room").fill("old");
  await page.getByRole("button", { name: "Enter" }).click();
  await live(page);
  await context.setOffline(true);
  await write(page, "is anybody there?");
  await owner.changePassword(code, "new");
  await context.setOffline(false);
  await page.getByLabel("Password of the room").fill("new");
  await page.getByRole("button", { name: "Enter" }).click();
  await stored(page, "is anybody there?").waitFor();
  await context.close();
});

test("a browser without storage says so, and the page works from memory", async () => {
  const ada = await person(browser, server);
  await ada.page.addInitScript(() => {
    Storage.prototype.setItem = () => {
      throw new DOMException("full", "QuotaExceededError");
    };
  });
  await signUp(ada);
  await ada.page.getByText("This browser does not let the page store anything.").waitFor();
  await makeRoom(ada, "In memory");
  await write(ada.page, "from memory");
  await stored(ada.page, "from memory").waitFor();
  await ada.context.close();
});
