import assert from "node:assert/strict";
import { test } from "node:test";
import { formatDisposition, formatReprDigest, parseInteger, parseLimits } from "./formats.ts";

test("a file name in any script survives Content-Disposition", () => {
  const names = [
    "a.txt",
    "naïve.txt",
    "日本.png",
    "it's (1)*.txt",
    'quo"te.txt',
    "100%.txt",
    "a;b=c.txt",
    "😀.gif",
    "a\u0000b",
  ];
  for (const name of names) {
    const text = formatDisposition(name);
    assert.match(text, /^[\x20-\x7e]+$/);
    assert.equal(decodeURIComponent(text.replace("inline; filename*=UTF-8''", "")), name);
  }
  assert.equal(formatDisposition("a\ud800"), "inline; filename*=UTF-8''a%EF%BF%BD");
});

test("a digest is formatted as RFC 9530 asks", () => {
  assert.equal(
    formatReprDigest("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"),
    "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:",
  );
});

test("only a non-negative integer is parsed as one", () => {
  assert.equal(parseInteger("5;v=1.0"), 5);
  assert.equal(parseInteger("0"), 0);
  assert.equal(parseInteger("999999999999999"), 999_999_999_999_999);
  for (const text of [null, "", "-1", "1.0", "1e3", " 1", "9999999999999999"])
    assert.equal(parseInteger(text), null, text ?? "");
});

test("known limits are parsed, and unknown ones ignored", () => {
  const text = "max-size=5000, max-append-size=1000,min-append-size=10, max-age=3600, other=7";
  assert.deepEqual(parseLimits(text), { max: 1000, min: 10, age: 3600 });
  assert.deepEqual(parseLimits("min-size=0"), { max: Infinity, min: 0, age: null });
  assert.deepEqual(parseLimits(null), { max: Infinity, min: 0, age: null });
});
