// Ten thousand messages: all of them within reach, few of them in the document, and no jerk on the way.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Caller, sayAll } from "./harness/api.mjs";
import { joinRoom, launch, person, signUp, stored } from "./harness/browser.mjs";
import { Server } from "./harness/server.mjs";

const COUNT = 10_000;
/** Elements in the document at any time; 180 lines of some ten elements, and the page around them. */
const MOST_NODES = 2_500;
/** Lines made anew in one step of scrolling: what a task costs is how many it makes, on any machine. */
const MOST_FRESH = 60;

let server, browser;

before(async () => {
  server = await Server.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
});

test("10,000 messages are scrolled through with a bounded document, and few lines made at a time", async (t) => {
  const author = await Caller.register(server);
  const code = await author.createRoom("Long history");
  const send = await author.join(code);
  await sayAll(send, Array.from({ length: COUNT }, (_, index) => `message ${index} ${"and so on ".repeat(index % 12)}`));

  const ada = await person(browser, server);
  const { page } = ada;
  await signUp(ada);
  await joinRoom(ada, code);
  await page.locator(`li[data-seq="${COUNT}"]`).waitFor();

  const metrics = await ownTime(page);
  await page.evaluate(watchLongTasks);
  const seen = new Set();
  const result = { most: 0, jumps: 0, steps: 0, fresh: 0 };
  const costs = [];
  let shown = new Set();
  for (let before = await metrics(), top = false; !top; ) {
    const step = await page.evaluate(scrollUp, 400);
    const now = await metrics();
    costs.push(now - before);
    before = now;
    result.steps++;
    result.most = Math.max(result.most, step.elements);
    if (step.jumped) result.jumps++;
    result.fresh = Math.max(result.fresh, step.seqs.filter((seq) => !shown.has(seq)).length);
    shown = new Set(step.seqs);
    for (const seq of step.seqs) seen.add(seq);
    top = step.top;
  }
  const long = await page.evaluate(() => window.longTasks);
  costs.sort((a, b) => a - b);
  const cost = (share) => Math.round(costs[Math.ceil(costs.length * share) - 1]);
  t.diagnostic(
    `${result.steps} steps, at most ${result.most} elements and ${result.fresh} lines made in one; the page's own time a step: ` +
      `p50 ${cost(0.5)}, p99 ${cost(0.99)}, worst ${cost(1)} ms; tasks over 50 ms by the clock of this machine: ${long.join(", ") || "none"}`,
  );
  assert.equal(seen.size, COUNT);
  assert.equal(result.jumps, 0, "what is in sight stays where it is");
  assert.ok(result.most < MOST_NODES, `${result.most} elements`);
  assert.ok(result.fresh <= MOST_FRESH, `${result.fresh} lines made in one step`);

  await page.getByRole("button", { name: "Newest" }).click();
  await page.locator(`li[data-seq="${COUNT}"]`).waitFor();
  await send("and one more");
  await stored(page, "and one more").waitFor();
  await page.waitForFunction(() => {
    const box = document.querySelector(".scroll");
    return box.scrollHeight - box.scrollTop - box.clientHeight < 2;
  });
});

/**
 * Reads how much processor time the page's main thread has used, in milliseconds. It is an upper bound of any task
 * in a step, and, unlike the clock, it does not count what other programs did meanwhile.
 */
async function ownTime(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  return async () => {
    const { metrics } = await session.send("Performance.getMetrics");
    return metrics.find(({ name }) => name === "TaskDuration").value * 1000;
  };
}

function watchLongTasks() {
  window.longTasks = [];
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) window.longTasks.push(Math.round(duration));
  }).observe({ type: "longtask" });
}

/** Scrolls up by so many pixels, waits for the frame, and tells what then stands in the document. */
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
