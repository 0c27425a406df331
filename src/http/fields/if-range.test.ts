import assert from "node:assert/strict";
import { test } from "node:test";
import { ifRangeHolds } from "./if-range.ts";

const hex = "ab".repeat(32);
const etag = `"${hex}"`;

test("If-Range holds for the blob's own strong tag only", () => {
  assert.equal(ifRangeHolds(etag, etag), true);
  assert.equal(ifRangeHolds(` ${etag} `, etag), true);
  for (const text of ["", "*", '"x"', hex, `W/${etag}`, `${etag}, "x"`, "Mon, 23 Nov 2026 10:00:00 GMT"]) {
    assert.equal(ifRangeHolds(text, etag), false, text);
  }
});
