// A log of 10,000 messages: all can be reached, few are in the document, and scrolling is smooth.
//
// Long tasks are measured in processor time, not by the clock, since other programs on the machine make a task last longer but
// not work more. A measurement over the limit is repeated, since a busy machine's caches are cold.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Caller, sendAll } from "./harness/api.mjs";
import { gate, joinRoom, live, longestTask, person, signUp, stored } from "./harness/browser.mjs";
import { browser, server, setUp } from "./harness/suite.mjs";

const COUNT = 10_000;
/** The most elements in the document at any time: 180 lines of some ten elements each, and the page around them. */
const MOST_NODES = 2_500;
/** The most lines created in one step of scrolling. Their number decides what a task costs, on any machine. */
const MOST_FRESH = 60;
/** A task is long above this many milliseconds: https://w3c.github.io/longtasks */
const LONG = 50;
const ATTEMPTS = 3;

setUp();

test("scrolling through 10,000 messages has no long task, a bounded document, and creates few lines at a time", async (t) => {
  const author = await Caller.register(server);
  const code = await author.createRoom("Long history");
  const send = await author.join(code);
  await sendAll(send, Array.from({ length: COUNT }, (_, index) => `message ${index} ${"and so on ".repeat(index % 12)}`));

  const ada = await person(browser, server);
  const { page } = ada;
  const newest = page.locator(`li[data-seq="${COUNT}"]`);
  await signUp(ada);
  await joinRoom(ada, code);

  const opening = await best(async () => {
    await page.goto("/");
    const entry = page.getByRole("navigation", { name: "Rooms" }).getByText("Long history");
    await entry.waitFor();
    return longestTask(page, async () => {
      await entry.click();
      await newest.waitFor();
      await live(page);
    });
  });
  t.diagnostic(`opening the room: the longest task took ${opening.toFixed(1)} ms of processor time`);
  assert.ok(opening < LONG, `opening took a task of ${opening} ms`);

  const scrolling = await best(async () => {
    await toNewest(page, newest);
    const pass = await scrollThrough(page);
    t.diagnostic(
      `${pass.costs.length} steps, at most ${pass.most} elements and ${pass.fresh} lines made in one; the page's own time a step: ` +
        `p50 ${pass.cost(0.5)}, p99 ${pass.cost(0.99)}, worst ${pass.cost(1)} ms`,
    );
    assert.equal(pass.seen.size, COUNT);
    assert.equal(pass.jumps, 0, "the messages in view do not move");
    assert.ok(pass.most < MOST_NODES, `${pass.most} elements`);
    assert.ok(pass.fresh <= MOST_FRESH, `${pass.fresh} lines made in one step`);
    return pass.cost(1);
  });
  assert.ok(scrolling < LONG, `a step of scrolling took ${scrolling} ms`);

  const jumping = await best(async () => {
    while (await newest.count()) await page.evaluate(scrollUp, 4_000);
    return longestTask(page, () => toNewest(page, newest));
  });
  t.diagnostic(`going to the newest: the longest task took ${jumping.toFixed(1)} ms of processor time`);
  assert.ok(jumping < LONG, `"Newest" took a task of ${jumping} ms`);

  await send("and one more");
  await stored(page, "and one more").waitFor();
  await page.waitForFunction(() => {
    const box = document.querySelector(".scroll");
    return box.scrollHeight - box.scrollTop - box.clientHeight < 2;
  });
});

test("the messages in view do not move while older ones are loaded, nor when that fails", async () => {
  const author = await Caller.register(server);
  const code = await author.createRoom("Slow history");
  const send = await author.join(code);
  await sendAll(send, Array.from({ length: 300 }, (_, index) => `message ${index}`));
  const ada = await person(browser, server);
  const { page } = ada;
  await signUp(ada);
  const answers = [gate(), gate()];
  let asked = 0;
  await page.route("**/grpcchatter.v1.ChatService/ListMessages", async (route) => {
    const turn = asked++;
    if (turn > 0 && turn <= answers.length) await answers[turn - 1].opened;
    await (turn === 1 ? route.abort() : route.continue());
  });
  await joinRoom(ada, code);
  await page.locator('li[data-seq="300"]').waitFor();
  const top = page.locator('li[data-seq="201"]');
  while (!(await top.count())) await page.evaluate(scrollUp, 4_000);
  await page.evaluate(scrollUp, 4_000);
  await page.getByText("Loading older messages…").waitFor();
  await page.evaluate(() => {
    const line = document.querySelector('li[data-seq="201"]');
    window.places = new Set();
    const look = () => requestAnimationFrame(() => (window.places.add(Math.round(line.getBoundingClientRect().top)), look()));
    look();
  });
  answers[0].open();
  await page.getByRole("button", { name: /could not be loaded/ }).click();
  await page.getByText("Loading older messages…").waitFor();
  answers[1].open();
  await page.locator('li[data-seq="190"]').waitFor({ state: "attached" });
  assert.equal(await page.evaluate(() => window.places.size), 1);
  await ada.context.close();
});

/** The smallest of a few measurements, or the first one below the limit. */
async function best(measure) {
  let least = Infinity;
  for (let attempt = 0; attempt < ATTEMPTS && least >= LONG; attempt++) least = Math.min(least, await measure());
  return least;
}

async function toNewest(page, newest) {
  const button = page.getByRole("button", { name: /Newest|new$/ });
  if (await button.count()) await button.click();
  await newest.waitFor();
}

/** Scrolls from the newest message to the first, step by step. */
async function scrollThrough(page) {
  const metrics = await ownTime(page);
  const pass = { most: 0, jumps: 0, fresh: 0, costs: [], seen: new Set() };
  let shown = new Set();
  for (let before = await metrics(), top = false; !top; ) {
    const step = await page.evaluate(scrollUp, 400);
    const now = await metrics();
    pass.costs.push(now - before);
    before = now;
    pass.most = Math.max(pass.most, step.elements);
    if (step.jumped) pass.jumps++;
    pass.fresh = Math.max(pass.fresh, step.seqs.filter((seq) => !shown.has(seq)).length);
    shown = new Set(step.seqs);
    for (const seq of step.seqs) pass.seen.add(seq);
    top = step.top;
  }
  pass.costs.sort((a, b) => a - b);
  pass.cost = (share) => Math.round(pass.costs[Math.ceil(pass.costs.length * share) - 1]);
  return pass;
}

/**
 * Returns a function that reads the processor time of the page's main thread, in milliseconds. The difference over a step is an
 * upper bound for each of its tasks and, unlike the clock, does not include other programs.
 */
async function ownTime(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  return async () => {
    const { metrics } = await session.send("Performance.getMetrics");
    return metrics.find(({ name }) => name === "TaskDuration").value * 1000;
  };
}

/** Scrolls up by `pixels`, waits for the frame, and returns the state of the document. */
async function scrollUp(pixels) {
  const box = document.querySelector(".scroll");
  const rows = [...box.querySelectorAll("li[data-seq]")];
  const row = rows.find((one) => one.getBoundingClientRect().bottom > 100);
  const wanted = Math.min(pixels, box.scrollTop);
  const before = row.getBoundingClientRect().top;
  box.scrollTop -= wanted;
  await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  return {
    jumped: row.isConnected && Math.abs(row.getBoundingClientRect().top - before - wanted) > 2,
    elements: document.getElementsByTagName("*").length,
    seqs: [...box.querySelectorAll("li[data-seq]")].map(({ dataset }) => Number(dataset.seq)),
    top: box.scrollTop === 0 && document.querySelector(".beginning")?.textContent.includes("begins"),
  };
}
