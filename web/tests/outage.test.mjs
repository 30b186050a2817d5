// No message is lost when the server is killed, frozen or set back, when the tab is reloaded, or when the network is down.
import assert from "node:assert/strict";
import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Caller, page as modules } from "./harness/api.mjs";
import { gate, joinRoom, live, makeRoom, person, readLog, signUp, stored, write } from "./harness/browser.mjs";
import { browser, server, setUp } from "./harness/suite.mjs";

setUp();

const lists = "**/grpcchatter.v1.ChatService/ListMessages";
const subscribes = "**/grpcchatter.v1.ChatService/Subscribe";

test("a SIGKILL during a burst of 200 messages loses, doubles and reorders none", async () => {
  const [ada, grace] = await Promise.all([person(browser, server), person(browser, server)]);
  await Promise.all([signUp(ada), signUp(grace)]);
  const code = await makeRoom(ada, "Burst");
  await joinRoom(grace, code);
  const burst = Array.from({ length: 200 }, (_, index) => `burst ${index + 1}`);

  const unsent = () => Object.keys(localStorage).filter((key) => key.includes("/unsent/")).length;
  const killed = stored(grace.page, "burst 60")
    .waitFor({ state: "attached" })
    .then(() => server.end("SIGKILL"));
  const box = ada.page.getByRole("textbox", { name: /^Message to/ });
  for (const [index, text] of burst.entries()) {
    // The server is killed before the burst is over, however fast it is.
    if (index === 120) await killed;
    await box.fill(text);
    await box.press("Enter");
  }
  assert.ok((await ada.page.evaluate(unsent)) >= 80);
  await ada.page.getByText(/Connecting again/).waitFor();
  await server.run();

  for (const { page } of [ada, grace]) {
    await stored(page, "burst 200").waitFor({ timeout: 240_000 });
    await live(page);
    await page.getByText(/Connecting again/).waitFor({ state: "detached" });
    const { messages, doubled } = await readLog(page);
    assert.deepEqual(doubled, []);
    assert.deepEqual(messages, burst.map((text, index) => [index + 1, text]));
  }
  assert.equal(await ada.page.evaluate(unsent), 0);
  await Promise.all([ada.context.close(), grace.context.close()]);
});

test("a frozen server is detected after 2.5 heartbeats, and later messages arrive when it is back", async () => {
  const ada = await person(browser, server);
  const { page } = ada;
  await page.clock.install();
  await signUp(ada);
  const code = await makeRoom(ada, "Frozen");
  const grace = await Caller.register(server);
  const say = await grace.join(code);
  await say("before");
  await stored(page, "before").waitFor();
  server.signal("SIGSTOP");
  try {
    await page.clock.fastForward(40_000);
    await page.clock.fastForward(5_000);
    await page.getByText(/Connecting again/).waitFor();
  } finally {
    server.signal("SIGCONT");
  }
  await say("after");
  await page.getByRole("button", { name: "Try now" }).click({ timeout: 1500 }).catch(() => undefined);
  await page.clock.fastForward(15_000);
  await stored(page, "after").waitFor();
  await ada.context.close();
});

test("an offline device says so, and resumes when it is online", async () => {
  const ada = await person(browser, server);
  const { page, context } = ada;
  await signUp(ada);
  const code = await makeRoom(ada, "Tunnel");
  const say = await (await Caller.register(server)).join(code);
  await context.setOffline(true);
  await page.getByText("This device is offline.").waitFor();
  await write(page, "from the tunnel");
  await say("from outside");
  await page.getByText("Your message is saved and will be sent then.").waitFor();
  await context.setOffline(false);
  await stored(page, "from outside").waitFor();
  await stored(page, "from the tunnel").waitFor();
  await context.close();
});

test("a log that was restored from a backup is loaded again, without the lost messages", async () => {
  const ada = await person(browser, server);
  const { page } = ada;
  await signUp(ada);
  const code = await makeRoom(ada, "Backup");
  await write(page, "kept");
  await stored(page, "kept").waitFor();
  const data = join(server.folder, "data");
  await server.end("SIGTERM");
  await cp(data, `${data}.backup`, { recursive: true });
  await server.run();
  await page.getByRole("button", { name: "Try now" }).click({ timeout: 1500 }).catch(() => undefined);
  await live(page);
  await write(page, "lost with the disk");
  await stored(page, "lost with the disk").waitFor();
  await server.end("SIGKILL");
  await rm(data, { recursive: true });
  await cp(`${data}.backup`, data, { recursive: true });
  // The first page of the restored log fails twice.
  let failed = 0;
  await page.route(lists, (route) => (failed++ < 2 ? route.abort() : route.continue()));
  await server.run();
  await stored(page, "lost with the disk").waitFor({ state: "detached" });
  await stored(page, "kept").waitFor();
  await write(page, "and on");
  await stored(page, "and on").waitFor();
  const { messages } = await readLog(page);
  assert.deepEqual(messages, [[1, "kept"], [2, "and on"]]);
  assert.ok(failed >= 2, "loading the log had to fail after the reset");
  await ada.context.close();
});

test("a clean restart of the server shows no banner", async () => {
  const ada = await person(browser, server);
  const { page } = ada;
  await page.clock.install();
  await signUp(ada);
  const code = await makeRoom(ada, "Restart");
  await page.evaluate(() => {
    window.words = [];
    const banner = document.querySelector(".banner");
    const look = () => banner.textContent && window.words.push(banner.textContent);
    new MutationObserver(look).observe(banner, { subtree: true, childList: true, characterData: true });
  });
  // The page's clock stands still, so the server is back within the delay that it asked for, however long it takes.
  await page.clock.pauseAt(Date.now() + 1000);
  await server.end("SIGTERM");
  await server.run();
  await page.clock.resume();
  const say = await (await Caller.register(server)).join(code);
  await say("back again");
  await stored(page, "back again").waitFor();
  assert.deepEqual(await page.evaluate(() => window.words), []);
  await ada.context.close();
});

test("a tab whose first page could not be loaded retries, whichever tab has the stream", async () => {
  const ada = await person(browser, server);
  await signUp(ada);
  const code = await makeRoom(ada, "Second tab");
  await write(ada.page, "worth reading");
  await stored(ada.page, "worth reading").waitFor();
  const tab = await ada.context.newPage();
  await tab.route(lists, (route) => route.abort());
  await tab.goto(`/#room=${code}`);
  await tab.getByText("The messages could not be loaded.").waitFor();
  await server.end("SIGKILL");
  await tab.getByText(/Connecting again/).waitFor();
  await server.run();
  await live(tab);
  await tab.unroute(lists);
  await stored(tab, "worth reading").waitFor();
  await ada.context.close();
});

test("the online event does not cut an attempt that has just started", async () => {
  const ada = await person(browser, server);
  const { page } = ada;
  await page.clock.install();
  await signUp(ada);
  await makeRoom(ada, "Patience");
  await server.end("SIGKILL");
  await page.getByText(/Connecting again/).waitFor();
  // Longer than the limit for a silent stream.
  await page.clock.fastForward(60_000);
  const asked = gate();
  const answer = gate();
  let up = false;
  await page.route(subscribes, async (route) => {
    if (!up) return route.abort("connectionrefused");
    asked.open();
    await answer.opened;
    await route.continue();
  });
  const cut = [];
  page.on("requestfailed", (request) => {
    const { errorText } = request.failure();
    if (request.url().endsWith("/Subscribe") && errorText === "net::ERR_ABORTED") cut.push(errorText);
  });
  await server.run();
  up = true;
  await asked.opened;
  await page.evaluate(() => dispatchEvent(new Event("online")));
  answer.open();
  await live(page);
  assert.deepEqual(cut, []);
  await ada.context.close();
});

test("early messages wait for those before them", async () => {
  const wire = (seq) => ({ seq, id: `id${seq}`, user: "ada1815", body: `m${seq}`, at: 0, clientId: "" });
  const asked = [];
  const shown = [];
  const log = new modules.Log(
    async (ask) => {
      asked.push(ask);
      return ask.after === undefined ? { messages: [], more: false, lastSeq: 0 } : { messages: [1, 2, 3].map(wire), more: false, lastSeq: 3 };
    },
    (message) => shown.push(message.seq),
  );
  await log.load();
  log.apply(wire(3));
  log.apply(wire(2));
  await new Promise((resolve) => {
    const stop = log.view.watch(() => log.view.value.messages.length === 3 && (stop(), resolve()));
  });
  assert.deepEqual(log.view.value.messages.map(({ seq }) => seq), [1, 2, 3]);
  assert.deepEqual(shown, [1, 2, 3]);
  assert.deepEqual(asked, [{ before: 0 }, { after: 0 }]);
  log.close();
});

test("names are dropped above 200 users, and fetched again below", () => {
  const { applyChange, isComplete } = modules.presence;
  const names = Array.from({ length: 199 }, (_, index) => `person${index}`);
  const two = applyChange({ users: names, count: 199 }, ["ada1815"], ["person0"], 199);
  assert.deepEqual([two.users.length, two.users.includes("ada1815"), isComplete(two)], [199, true, true]);
  const many = applyChange(two, [], [], 201);
  assert.deepEqual([many, isComplete(many)], [{ users: [], count: 201 }, true]);
  const fewer = applyChange(many, ["grace1906"], [], 200);
  assert.deepEqual([fewer, isComplete(fewer)], [{ users: ["grace1906"], count: 200 }, false]);
});
