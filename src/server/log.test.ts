import assert from "node:assert/strict";
import { test } from "node:test";
import { loggedPath } from "./log.ts";

test("a logged path has no query, and nothing that moves a cursor or breaks a line", () => {
  assert.equal(loggedPath("/uploads?filename=secret"), "/uploads");
  assert.equal(loggedPath("/a\u001b[2Jb\nc\u0085d é"), "/a%1B[2Jb%0Ac%C2%85d%20%C3%A9");
  assert.equal(loggedPath("/\ud800"), "/%EF%BF%BD");
});

test("a long path is cut", () => {
  const logged = loggedPath(`/${"x".repeat(10_000)}`);
  assert.equal(logged.length, 201);
  assert.ok(logged.endsWith("…"));
});
