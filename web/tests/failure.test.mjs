// The sentences that users read when a call fails, and which failures are retried.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { test } from "node:test";
import { page } from "./harness/api.mjs";

const { Failure, failureOf, sentence } = page.failure;

/** Reasons that the page never causes, or from which it recovers by itself. */
const WITHOUT_SENTENCE = [
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

test("each reason of the server has a sentence", async () => {
  const source = await readFile(new URL("../../src/model/error.rs", import.meta.url), "utf8");
  const reasons = new Set([...source.matchAll(/\(Kind::\w+, "([A-Z0-9_]+)"\)/g)].map(([, reason]) => reason));
  assert.ok(reasons.size > 30, `only ${reasons.size} reasons were found in the source`);
  const otherwise = sentence(new Failure("refused", "A_REASON_OF_A_NEWER_SERVER"));
  const unnamed = [...reasons].filter((reason) => sentence(new Failure("refused", reason)) === otherwise);
  assert.deepEqual(unnamed.sort(), WITHOUT_SENTENCE);
});

test("a page from another address gets its own sentence", () => {
  assert.match(sentence(new Failure("refused", "FOREIGN_ORIGIN")), /another address/);
});

test("an intermediary's refusal has a sentence of its own", () => {
  const { INTERMEDIARY } = page.failure;
  assert.match(sentence(new Failure("refused", "")), /between here and the server/);
  assert.equal(sentence(new Failure("refused", INTERMEDIARY)), sentence(new Failure("refused", "")));
  assert.match(sentence(new Failure("unreachable", "")), /cannot be reached/);
});

/** Answers every call with the status that was set last and a page of HTML, as a proxy does. */
async function proxy(t) {
  const made = { status: 0 };
  const server = createServer((_, response) => response.writeHead(made.status).end("<html>")).listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  const baseUrl = `http://127.0.0.1:${server.address().port}`;
  made.chat = page.createClient(page.ChatService, page.createGrpcWebTransport({ baseUrl }));
  return made;
}

test("a status without the server's ErrorInfo is retried only if it may pass", async (t) => {
  const between = await proxy(t);
  for (const [status, kind] of [
    [408, "unreachable"],
    [429, "unreachable"],
    [500, "unreachable"],
    [502, "unreachable"],
    [503, "unreachable"],
    [504, "unreachable"],
    [401, "refused"],
    [403, "refused"],
    [404, "refused"],
  ]) {
    between.status = status;
    const failure = await between.chat.sendMessage({}).then(assert.fail, failureOf);
    assert.deepEqual([failure.kind, failure.reason], [kind, ""], `${status}`);
  }
});

test("an answer that is cut off is retried", async (t) => {
  const server = createServer((_, response) => {
    // A message of nine bytes, of which three come.
    response.writeHead(200, { "content-type": "application/grpc-web+proto" }).end(Buffer.from([0, 0, 0, 0, 9, 1, 2, 3]));
  }).listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  const transport = page.createGrpcWebTransport({ baseUrl: `http://127.0.0.1:${server.address().port}` });
  const failure = await page.createClient(page.ChatService, transport).sendMessage({}).then(assert.fail, failureOf);
  assert.equal(failure.kind, "unreachable", `${failure.cause}`);
});

test("only a status with the server's ErrorInfo can mean that a token has expired", () => {
  const { Code, ConnectError, ErrorInfoSchema } = page;
  const kind = (code, domain) => {
    const info = { desc: ErrorInfoSchema, value: { domain, reason: "A_REASON" } };
    return failureOf(new ConnectError("no", code, undefined, [info])).kind;
  };
  for (const [code, own, foreign] of [
    [Code.Unauthenticated, "unauthenticated", "refused"],
    [Code.PermissionDenied, "refused", "refused"],
    [Code.NotFound, "refused", "refused"],
    [Code.Unimplemented, "refused", "refused"],
    [Code.Unavailable, "unreachable", "unreachable"],
    [Code.ResourceExhausted, "unreachable", "unreachable"],
    [Code.Aborted, "unreachable", "unreachable"],
    [Code.Internal, "unreachable", "unreachable"],
  ]) {
    assert.equal(kind(code, "grpcchatter"), own, Code[code]);
    assert.equal(kind(code, "mesh.example"), foreign, Code[code]);
  }
});

test("over REST an answer without a reason is retried only if it may pass, and never ends the session", async (t) => {
  for (const [status, kind] of [
    [408, "unreachable"],
    [429, "unreachable"],
    [500, "unreachable"],
    [502, "unreachable"],
    [503, "unreachable"],
    [504, "unreachable"],
    [400, "refused"],
    [401, "refused"],
    [403, "refused"],
    [404, "refused"],
  ]) {
    t.mock.method(globalThis, "fetch", async () => new Response("<html>", { status }));
    const failure = await page.rest.refresh("a token").then(assert.fail, failureOf);
    assert.deepEqual([failure.kind, failure.reason], [kind, ""], `${status}`);
  }
  const refused = { error: "this token was revoked", reason: "TOKEN_REVOKED" };
  t.mock.method(globalThis, "fetch", async () => Response.json(refused, { status: 401 }));
  const failure = await page.rest.refresh("a token").then(assert.fail, failureOf);
  assert.deepEqual([failure.kind, failure.reason], ["unauthenticated", "TOKEN_REVOKED"]);
});
