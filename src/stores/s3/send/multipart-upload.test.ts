import assert from "node:assert/strict";
import { test } from "node:test";
import { isInUse, protect } from "./multipart-upload.ts";

test("a name with two users is in use until both have ended, even if one ends twice", () => {
  const [endFirst, endSecond] = [protect("a"), protect("a")];
  assert.equal(isInUse("a"), true);
  endFirst();
  endFirst();
  assert.equal(isInUse("a"), true);
  endSecond();
  assert.equal(isInUse("a"), false);
});
