// What people are told when a call fails.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { page } from "./harness/api.mjs";

const { Failure, sentence } = page.failure;

/** Reasons that the page gives nobody cause to hear, or after which it goes on by itself. */
const UNTOLD = [
  "BIDI_NEEDS_HTTP2",
  "DRAINING",
  "INVALID_CLIENT_MESSAGE_ID",
  "INVALID_FIELD",
  "INVALID_JSON",
  "LOG_RESET",
  "PATH_NOT_FOUND",
  "STREAM_BEHIND",
  "TOKEN_MISSING",
  "TOO_MANY_UNANSWERED",
  "TWO_TOKENS",
  "UNKNOWN_METHOD",
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
