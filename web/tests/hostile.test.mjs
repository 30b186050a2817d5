// Messages and names of other users are shown as text, and never as markup.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { Caller } from "./harness/api.mjs";
import { joinRoom, live, logIn, makeRoom, person, signUp, write } from "./harness/browser.mjs";
import { browser, server, setUp } from "./harness/suite.mjs";

/** Renames an account in the database, to a name that only older versions accepted. */
function rename(from, to) {
  const script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('UPDATE accounts SET user_name = ? WHERE user_name = ?', sys.argv[2:]); c.commit()";
  execFileSync("python3", ["-c", script, `${server.folder}/data/grpcchatter.db`, to, from]);
}

const BODIES = [
  "<script>window.ran=1</script>",
  "<img src=x onerror=window.ran=1>",
  "<svg onload=window.ran=1>",
  "<svg><script>window.ran=1</script></svg>",
  "<iframe src=javascript:window.ran=1></iframe>",
  "<a href=javascript:window.ran=1>x</a>",
  "<body onload=window.ran=1>",
  "<details open ontoggle=window.ran=1>",
  "<video><source onerror=window.ran=1></video>",
  "<input autofocus onfocus=window.ran=1>",
  "<math><mtext></mtext><mglyph><style><img src=x onerror=window.ran=1>",
  "<style>@import 'javascript:window.ran=1'</style>",
  "<link rel=stylesheet href=javascript:window.ran=1>",
  "<object data=javascript:window.ran=1>",
  "<embed src=javascript:window.ran=1>",
  "<base href=//example.com/>",
  "<form action=javascript:window.ran=1><button>x</button></form>",
  "<meta http-equiv=refresh content='0;url=javascript:window.ran=1'>",
  "<template><script>window.ran=1</script></template>",
  "<noscript><p title='</noscript><img src=x onerror=window.ran=1>'>",
  "javascript:window.ran=1",
  "JaVaScRiPt:window.ran=1//https://example.com",
  "data:text/html,<script>window.ran=1</script>",
  "vbscript:msgbox(1)",
  "https://example.com/\"onmouseover=\"window.ran=1",
  "https://example.com/'onmouseover='window.ran=1",
  "https://example.com/<script>window.ran=1</script>",
  "https://javascript:window.ran=1@example.com/",
  "http://[::1/\u202etxt.exe",
  "https://exa\u0000mple.com".replace("\u0000", "\u0001"),
  "${window.ran=1} {{window.ran=1}} <%= window.ran=1 %>",
  "{{constructor.constructor('window.ran=1')()}}",
  "'-window.ran=1-'",
  "\"><script>window.ran=1</script>",
  "</textarea><script>window.ran=1</script>",
  "</title><script>window.ran=1</script>",
  "<!--><script>window.ran=1</script>-->",
  "<![CDATA[<script>window.ran=1</script>]]>",
  "&lt;script&gt;window.ran=1&lt;/script&gt;",
  "\u202e<script>window.ran=1</script>\u2066\u200f",
  "&#60;img src=x onerror=window.ran=1&#62;",
  `__proto__ constructor ${"Z\u0351\u036b\u0343\u036a\u0302".repeat(40)}`,
];

setUp();

test(`${BODIES.length} bodies are shown as they were written, and nothing runs`, async () => {
  const mallory = await Caller.register(server, "mallory\"x1=y");
  const code = await mallory.createRoom("<img src=x onerror=window.ran=1>");
  const send = await mallory.join(code);
  for (const body of BODIES) await send(body);

  const ada = await person(browser, server);
  const reports = [];
  await ada.context.exposeBinding("report", (_, text) => reports.push(text));
  await ada.context.addInitScript(() =>
    addEventListener("securitypolicyviolation", (event) => window.report(`${event.violatedDirective} ${event.blockedURI}`)),
  );
  await signUp(ada);
  await joinRoom(ada, code);
  const { page } = ada;
  await page.locator(`li[data-seq="${BODIES.length}"]`).waitFor();
  await page.getByRole("heading", { name: "<img src=x onerror=window.ran=1>" }).waitFor();

  const shown = await page.locator("li[data-seq] .body").allTextContents();
  assert.deepEqual(shown, BODIES);
  const markup = await page.locator("li[data-seq] .body *").evaluateAll((all) => all.map((one) => [one.tagName, one.protocol, one.rel]));
  for (const [tag, protocol, rel] of markup) {
    assert.equal(tag, "A");
    assert.match(protocol, /^https?:$/);
    assert.equal(rel, "noopener noreferrer nofollow");
  }
  assert.equal(await page.evaluate(() => window.ran), undefined);
  assert.deepEqual(reports, []);
  assert.deepEqual(ada.problems, []);

  // The policy is on: it would have blocked and reported any markup.
  const refused = await page.evaluate(async () => {
    const report = new Promise((resolve) => addEventListener("securitypolicyviolation", resolve, { once: true }));
    try {
      document.createElement("p").innerHTML = "<b>";
    } catch (error) {
      return [error.message, (await report).violatedDirective];
    }
  });
  assert.match(refused[0], /requires 'TrustedHTML'/);
  assert.equal(refused[1], "require-trusted-types-for");
});

test("invisible characters in an old name are spelled out wherever the name is shown", async () => {
  const [ada, walker] = [await person(browser, server), await person(browser, server)];
  await signUp(ada);
  const code = await makeRoom(ada, "Night shift");
  await signUp(walker);
  const old = `${walker.name}\u200b\u202e `;
  rename(walker.name, old);
  const marks = [walker.name, "U+200B", "U+202E", "U+0020"];

  const impostor = await person(browser, server);
  await logIn(impostor, old);
  await joinRoom(impostor, code);
  await write(impostor.page, "it is me");

  const { page } = ada;
  await live(page);
  for (const name of [page.locator(".line:has-text('it is me') .name"), page.locator(".people li:has-text('U+200B') .name")]) {
    await name.waitFor();
    assert.deepEqual(await name.evaluate((node) => [...node.childNodes].map((part) => part.textContent)), marks);
    const cutOff = await name.evaluate((node) => {
      const edge = (box) => box.getBoundingClientRect().right;
      return [...node.querySelectorAll(".invisible")].filter((mark) => edge(mark) > edge(node.parentElement)).length;
    });
    assert.equal(cutOff, 0, "every spelled-out character is visible");
    assert.match(await name.locator(".invisible").first().getAttribute("title"), /cannot be seen/);
  }
  const legible = `${walker.name}[U+200B][U+202E][U+0020]`;
  await page.getByRole("log").getByText(`${legible}: it is me`).waitFor({ state: "attached" });
  if (process.env.SCREENSHOTS) {
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await page.screenshot({ path: `${process.env.SCREENSHOTS}/names-${colorScheme}.png` });
    }
  }
  await page.getByRole("button", { name: `Remove or ban ${legible}` }).click();
  await page.getByRole("button", { name: `Remove ${legible} for now` }).click();
  await page.getByText(`${legible} was removed.`).waitFor();
  assert.deepEqual([...ada.problems, ...impostor.problems], []);
});
