import assert from "node:assert/strict";
import { test } from "node:test";
import { wantsSha256 } from "./want-digest.ts";

test("a digest is sent unless the client says that it must not be", () => {
  for (const text of [undefined, "sha-256=10", "sha-512=3, sha-256=1", "sha-512=10", "sha-256", ""]) {
    assert.equal(wantsSha256(text), true, text);
  }
  assert.equal(wantsSha256("sha-256=0"), false);
  assert.equal(wantsSha256("sha-512=10, sha-256=0;a=b"), false);
});

test("a malformed wish is none", () => {
  for (const text of ["sha-256=0,", "sha-256=", "SHA-256=0", "=0", "sha-256=0 sha-512=1"]) {
    assert.equal(wantsSha256(text), true, text);
  }
});
