import assert from "node:assert/strict";
import { test } from "node:test";
import { nearest } from "./nearest.ts";

const WORDS = ["UPLOAD_DIR", "UPLOAD_MAX_SIZE", "UPLOAD_TOKENS", "UPLOAD_TOKENS_FILE"];

test("the word most like a mistyped one is found", () => {
  assert.equal(nearest("UPLOAD_MAXSIZE", WORDS), "UPLOAD_MAX_SIZE");
  assert.equal(nearest("UPLOAD_TOKEN", WORDS), "UPLOAD_TOKENS");
  assert.equal(nearest("UPLOAD_DRI", WORDS), "UPLOAD_DIR");
});

test("nothing is like a word of its own", () => {
  assert.equal(nearest("UPLOAD_COLOUR_SCHEME", WORDS), null);
  assert.equal(nearest("anything", []), null);
});
