// Ten tabs of one browser share the session and one stream per room.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Caller } from "./harness/api.mjs";
import { live, makeRoom, person, signUp, stored, write } from "./harness/browser.mjs";
import { browser, server, setUp } from "./harness/suite.mjs";

setUp();

test("ten tabs of one room hold one stream, and another tab takes over when the leader is closed", async () => {
  const ada = await person(browser, server);
  const open = new Set();
  let most = 0;
  const isStream = (request) => request.url().endsWith("/Subscribe");
  ada.context.on("request", (request) => {
    if (!isStream(request)) return;
    open.add(request);
    most = Math.max(most, open.size);
  });
  for (const end of ["requestfinished", "requestfailed"]) ada.context.on(end, (request) => open.delete(request));

  await signUp(ada);
  const code = await makeRoom(ada, "Ten tabs");
  const tabs = [ada.page];
  while (tabs.length < 10) {
    const tab = await ada.context.newPage();
    await tab.goto(`/#room=${code}`);
    await live(tab);
    tabs.push(tab);
  }
  const say = await (await Caller.register(server)).join(code);
  await say("to all ten");
  await Promise.all(tabs.map((tab) => stored(tab, "to all ten").waitFor({ state: "attached" })));
  assert.equal(open.size, 1);

  const [stream] = open;
  const leader = stream.frame().page();
  const others = tabs.filter((tab) => tab !== leader);
  // A request of a closed page is not reported as ended, and its successor may be reported before it is closed.
  open.delete(stream);
  await leader.close();
  await say("to the nine");
  await Promise.all(others.map((tab) => stored(tab, "to the nine").waitFor({ state: "attached" })));
  assert.equal(open.size, 1);
  assert.equal(most, 1);

  await others[3].bringToFront();
  await write(others[3], "from a tab that does not lead");
  await Promise.all(others.map((tab) => stored(tab, "from a tab that does not lead").waitFor({ state: "attached" })));
  assert.deepEqual(ada.problems, []);
});

test("tabs that refresh the session at the same time do not end it", async () => {
  const ada = await person(browser, server);
  await signUp(ada);
  const tabs = [ada.page];
  while (tabs.length < 5) {
    const tab = await ada.context.newPage();
    await tab.goto("/");
    tabs.push(tab);
  }
  for (let round = 0; round < 3; round++) {
    await Promise.all(tabs.map((tab) => tab.reload()));
    await Promise.all(tabs.map((tab) => tab.getByText("You are in no room yet").waitFor({ state: "attached" })));
  }
});
