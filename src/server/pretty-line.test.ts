import assert from "node:assert/strict";
import { test } from "node:test";
import { prettyLine } from "./pretty-line.ts";

const time = new Date(2026, 10, 23, 6, 5, 4).toISOString();
const plain = (_style: unknown, text: string): string => text;
const digest = `sha256:${"ab".repeat(32)}`;

test("a request shows its time, status, method, path, facts and id", () => {
  const upload = { time, status: 201, method: "POST", path: "/uploads", digest, size: 2880, existed: false, ms: 10.3 };
  assert.equal(
    prettyLine({ ...upload, id: "a-1" }, plain),
    "06:05:04   201 POST   /uploads  2.8 KiB, new, sha256:abababababab…, 10.3 ms  a-1\n",
  );
  assert.equal(
    prettyLine({ time, status: 204, method: "DELETE", path: "/uploads/a", principal: "token:ci", id: "a-2" }, plain),
    "06:05:04   204 DELETE /uploads/a  token:ci  a-2\n",
  );
  const refused = { time, status: 404, method: "GET", path: `/uploads/${digest.slice(7)}.png`, code: "blob-not-found" };
  assert.equal(
    prettyLine({ ...refused, id: "a-2" }, plain),
    "06:05:04   404 GET    /uploads/abababababab….png  blob-not-found  a-2\n",
  );
});

test("a request that could not be read has no method", () => {
  const record = { time, status: 400, msg: "a request could not be read", code: "invalid-request", id: "a-3" };
  assert.equal(prettyLine(record, plain), "06:05:04   400 a request could not be read  invalid-request  a-3\n");
});

test("other lines show their level, and errors their indented stack", () => {
  const err = { message: "EIO", stack: "Error: EIO\n    at write" };
  const indent = " ".repeat(15);
  assert.equal(
    prettyLine({ time, level: "warn", msg: "take care", err }, plain),
    `06:05:04  warn take care\n${indent}Error: EIO\n${indent}    at write\n`,
  );
});

test("colours follow the level and the status", () => {
  const named = (style: unknown, text: string): string => `<${String(style)}>${text}`;
  assert.match(prettyLine({ time, level: "error", msg: "x" }, named), /<red>error x/);
  assert.match(prettyLine({ time, status: 304, method: "GET", path: "/" }, named), /<cyan> {2}304 GET/);
  assert.match(prettyLine({ time, status: 503, method: "GET", path: "/" }, named), /<red> {2}503 GET/);
});

test("no text moves the cursor, breaks a line or reverses the writing direction", () => {
  const hostile = "a\u001b[2Jb\nc\r\u0085\u009bd\u202e\u2028\u2066";
  const record = { time, msg: hostile, level: "info", err: { stack: hostile } };
  for (const line of [
    prettyLine(record, plain),
    prettyLine({ ...record, status: 400, code: hostile, id: hostile }, plain),
    prettyLine({ ...record, status: 400, method: hostile, path: hostile }, plain),
  ]) {
    assert.doesNotMatch(line, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u202e\u2066]/);
    assert.equal(line.split("\n").length, 4, "the line, two of the stack, and its end");
  }
});
