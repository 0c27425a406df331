import assert from "node:assert/strict";
import { test } from "node:test";
import { redacted } from "./redact.ts";

const ID = "0123456789abcdef0123456789abcdef";
const DIGEST = ID + ID;

test("of an upload's id the first 8 digits remain, wherever it stands", () => {
  for (const [text, expected] of [
    [`/uploads/in-progress/${ID}`, "/uploads/in-progress/01234567…"],
    [`/uploads/in-progress/${ID}0`, "/uploads/in-progress/01234567…"],
    [`/uploads/in-progress/${ID.slice(0, 31)}`, "/uploads/in-progress/01234567…"],
    [`/uploads/in-progress/${ID}/x`, "/uploads/in-progress/01234567…/x"],
    [`/uploads/in-progress%2f${ID}`, "/uploads/in-progress%2f012345…"],
    ["/uploads/in-progress/short", "/uploads/in-progress/short"],
    [
      `ENOENT: no such file or directory, open '/data/uploads/${ID}/bytes'`,
      "ENOENT: no such file or directory, open '/data/uploads/01234567…/bytes'",
    ],
    [`{"key":"${ID}"} ${ID},${ID}`, `{"key":"01234567…"} 01234567…,01234567…`],
    [ID.toUpperCase(), "01234567…"],
  ] as const) {
    assert.equal(redacted(text), expected);
  }
});

test("digests, and other numbers, remain", () => {
  for (const text of [
    DIGEST,
    `sha256:${DIGEST}`,
    `/uploads/${DIGEST}.png`,
    "0123456789ab-1f",
    ID.slice(1),
    "a message",
  ]) {
    assert.equal(redacted(text), text);
  }
});

test("of permits, signatures and credentials nothing remains", () => {
  for (const [text, expected] of [
    ["https://files.example.com/#permit=fxp1.eyJ9.AbC-_", "https://files.example.com/#permit=fxp1.…"],
    [
      `/uploads/${DIGEST}?expires=1&key=AbCdEf&signature=AbC-_9&x`,
      `/uploads/${DIGEST}?expires=1&key=AbCdEf&signature=…&x`,
    ],
    ["https://bucket/a?X-Amz-Signature=abc123&x", "https://bucket/a?X-Amz-Signature=…&x"],
    ["authorization: Bearer a.b-c_d~+/==", "authorization: Bearer …"],
    ['{"authorization":"basic dXNlcjpwYXNz"}', '{"authorization":"basic …"}'],
  ] as const) {
    assert.equal(redacted(text), expected);
  }
});
