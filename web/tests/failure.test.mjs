// What people are told when a call fails.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { test } from "node:test";
import { page } from "./harness/api.mjs";

const { Failure, failureOf, sentence } = page.failure;

/** Reasons that the page gives nobody cause to hear, or after which it goes on by itself. */
const UNTOLD = [
  "BIDI_NEEDS_HTTP2",
  "DRAINING",
  "INVALID_CLIENT_MESSAGE_ID",
  "INVALID_FIELD",
  "INVALID_JSON",
  "LOG_RESET",
  "PATH_NOT_FOUND",
  "SERVICE_NOT_FOUND",
  "STREAM_BEHIND",
  "TOKEN_MISSING",
  "TOO_MANY_UNANSWERED",
  "TWO_TOKENS",
  "UNKNOWN_METHOD",
  "UNSUPPORTED_ENCODING",
];

test("whatever the server refuses is told in words of its own", async () => {
  const source = await readFile(new URL("../../src/model/error.rs", import.meta.url), "utf8");
  const reasons = new Set([...source.matchAll(/\(Kind::\w+, "([A-Z0-9_]+)"\)/g)].map(([, reason]) => reason));
  assert.ok(reasons.size > 30, `only ${reasons.size} reasons were found in the source`);
  const otherwise = sentence(new Failure("refused", ""));
  const untold = [...reasons].filter((reason) => sentence(new Failure("refused", reason)) === otherwise);
  assert.deepEqual(untold.sort(), UNTOLD);
});

test("a page of another address is told so", () => {
  assert.match(sentence(new Failure("refused", "FOREIGN_ORIGIN")), /another address/);
});

/** What proxies answer for a server that restarts, or that they do not find. */
const IN_BETWEEN = [400, 401, 403, 404, 429, 500, 502, 503, 504];

test("a status without the server's ErrorInfo is tried again, whatever it is", async (t) => {
  let status;
  const proxy = createServer((_, response) => response.writeHead(status).end("<html>")).listen(0, "127.0.0.1");
  t.after(() => proxy.close());
  await once(proxy, "listening");
  const baseUrl = `http://127.0.0.1:${proxy.address().port}`;
  const chat = page.createClient(page.ChatService, page.createGrpcWebTransport({ baseUrl }));
  for (status of IN_BETWEEN) {
    const failure = await chat.sendMessage({}).then(assert.fail, failureOf);
    assert.equal(failure.kind, "unreachable", `${status}`);
  }
});

test("a status of the server's own says what it is", () => {
  const { Code, ConnectError, ErrorInfoSchema } = page;
  const told = (code, domain) => {
    const info = { desc: ErrorInfoSchema, value: { domain, reason: "A_REASON" } };
    return failureOf(new ConnectError("no", code, undefined, [info])).kind;
  };
  for (const [code, kind] of [
    [Code.Unauthenticated, "unauthenticated"],
    [Code.PermissionDenied, "refused"],
    [Code.NotFound, "refused"],
    [Code.Unavailable, "unreachable"],
    [Code.Internal, "unreachable"],
  ]) {
    assert.equal(told(code, "grpcchatter"), kind, Code[code]);
    assert.equal(told(code, "mesh.example"), "unreachable", Code[code]);
  }
});

test("a page in the server's place ends no session", async (t) => {
  for (const status of IN_BETWEEN) {
    t.mock.method(globalThis, "fetch", async () => new Response("<html>", { status }));
    const failure = await page.rest.refresh("a token").then(assert.fail, failureOf);
    assert.equal(failure.kind, "unreachable", `${status}`);
  }
  const refused = { error: "this token was revoked", reason: "TOKEN_REVOKED" };
  t.mock.method(globalThis, "fetch", async () => Response.json(refused, { status: 401 }));
  const failure = await page.rest.refresh("a token").then(assert.fail, failureOf);
  assert.deepEqual([failure.kind, failure.reason], ["unauthenticated", "TOKEN_REVOKED"]);
});
