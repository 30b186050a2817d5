// Two terminals and a page in one room: each shows the messages of all, also after the server was killed.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Caller, PASSWORD } from "./harness/api.mjs";
import { joinRoom, person, readLog, signUp, stored, write } from "./harness/browser.mjs";
import { browser, server, setUp } from "./harness/suite.mjs";
import { skipReason, Terminal } from "./harness/terminal.mjs";

const skip = skipReason();
setUp({ skip });
after(() => Terminal.closeAll());

test("two terminals and a page talk in one room, across a SIGKILL of the server", { skip }, async () => {
  const [ada, ben, eve] = [await Caller.register(server), await Caller.register(server), await person(browser, server)];
  const one = await Terminal.open(server, server.folder, ada.name);
  const two = await Terminal.open(server, server.folder, ben.name);
  await one.shows("You are in no room yet");
  await one.say("/create Tea");
  await one.shows("password of the new room");
  await one.press("Enter");
  const code = /Tea · (\w+)/.exec((await one.shows(/Tea · \w+[\s\S]*1 here/)).join("\n"))[1];

  await two.say(`/join ${code}`);
  await two.shows(/live\s*\n[\s\S]*2 here/);
  await signUp(eve);
  await joinRoom(eve, code);
  await one.shows("3 here");
  const { page } = eve;
  await one.say("from the first terminal");
  await stored(page, "from the first terminal").waitFor();
  await write(page, "from the page");
  await two.say("from the second terminal");
  await stored(page, "from the second terminal").waitFor();
  for (const terminal of [one, two]) {
    await terminal.shows("from the first terminal");
    await terminal.shows("from the page");
    const screen = await terminal.shows("from the second terminal");
    assert.equal(screen.length, 24);
    assert.ok(screen.every((line) => line.length <= 80));
  }

  const arrivals = async () => (await one.screen()).filter((line) => line.includes(" came")).length;
  const came = await arrivals();
  await server.end("SIGKILL");
  await one.shows("connecting again");
  await one.say("said to nobody");
  await server.run();
  await stored(page, "said to nobody").waitFor({ timeout: 60_000 });
  await two.shows("said to nobody");
  await one.shows(/live\s*\n/);
  const { messages, doubled } = await readLog(page);
  assert.deepEqual(doubled, []);
  assert.equal(messages.length, 4);
  assert.deepEqual(messages.map(([, text]) => text).sort(), ["from the first terminal", "from the page", "from the second terminal", "said to nobody"]);

  await one.shows("3 here");
  assert.equal(await arrivals(), came, "users who never left are not announced again");
  await two.say("/leave");
  await one.shows(`${ben.name} left`);
  await one.press("C-c");
  await one.ended();
  await two.say("/quit");
  await two.ended();
  await eve.context.close();
});

test("the terminal shows unread counts, loads older messages, and follows a new size", { skip }, async () => {
  const [ada, ben] = [await Caller.register(server), await Caller.register(server)];
  const [quiet, busy] = [await ada.createRoom("Quiet"), await ada.createRoom("Busy")];
  for (const code of [quiet, busy]) await ada.join(code);
  const say = await ben.join(busy);
  for (let number = 1; number <= 250; number++) await say(`line ${number}`);
  const terminal = await Terminal.open(server, server.folder, ada.name);
  await terminal.shows("line 250");
  // It starts with the newest 100. Older ones are loaded while it scrolls.
  await terminal.shows(/ line 1\s*\n/, () => terminal.press("PPage"));
  await terminal.press("Escape");
  await terminal.shows("line 250");

  await terminal.press("M-Down");
  await terminal.shows(`Quiet · ${quiet}`);
  await say("news");
  await terminal.shows(/Busy\s+1 /);
  await terminal.press("Tab");
  await terminal.shows("news");

  await terminal.resize(50, 12);
  const narrow = await terminal.shows("news");
  assert.equal(narrow.length, 12);
  assert.ok(narrow.every((line) => line.length <= 50 && !line.includes("│")), narrow.join("\n"));
  await terminal.press("C-q");
  await terminal.ended();
});

test("the terminal creates an account, keeps the lines of a pasted text, and copies an invitation", { skip }, async () => {
  const terminal = await Terminal.openLoggedOut(server, server.folder, "newcomer1");
  await terminal.shows(server.url);
  await terminal.press("F2");
  await terminal.shows("a new account");
  await terminal.say("newcomer1");
  await terminal.say("short");
  await terminal.say("short");
  await terminal.shows("at least 6 characters");
  await terminal.say(PASSWORD);
  await terminal.say(PASSWORD);
  const screen = await terminal.shows("You are in no room yet");
  assert.ok(screen[0].includes("newcomer1 at"));

  await terminal.say("/create Pasted");
  await terminal.shows("password of the new room");
  await terminal.say("edelweiss");
  const code = /Pasted · (\w+)/.exec((await terminal.shows(/live\s*\n[\s\S]*1 here/)).join("\n"))[1];
  await terminal.paste("one\ntwo\n  three\n");
  await terminal.shows(/^> one\n {2}two\n {4}three\n/m);
  await terminal.press("Enter");
  const said = (await terminal.shows(/newcomer1 {2}one[\s\S]*> say something/)).map((line) => line.trimEnd());
  const first = said.findIndex((line) => line.endsWith("newcomer1  one"));
  assert.match(said[first + 1], /│ {9}two$/);
  assert.match(said[first + 2], /│ {11}three$/);

  await terminal.letCopy();
  await terminal.say("/invite");
  await terminal.shows("an invitation until");
  const link = await terminal.copied();
  assert.ok(link.startsWith(`${server.url}/#join=`), link);

  const other = await Caller.register(server);
  const guest = await Terminal.open(server, server.folder, other.name);
  await guest.say(`/join ${code}`);
  await guest.shows(`password of ${code}; Esc cancels`);
  await guest.say("wrong");
  await guest.shows(`wrong password of ${code}; Esc cancels`);
  await guest.press("Escape");
  await guest.shows("say something");
  await guest.say("?");
  await guest.shows("help · Esc closes");
  await guest.press("Escape", "BSpace");
  await guest.say(`/join ${link}`);
  await guest.shows(/Pasted · \w+\s+2 here/);
  await guest.shows("newcomer1  one");
  for (const one of [guest, terminal]) {
    await one.press("C-c");
    await one.ended();
  }
});
