import assert from "node:assert/strict";
import { test } from "node:test";
import { CopyPace } from "./copy-pace.ts";

test("nothing is known of a server that has copied nothing", () => {
  assert.equal(new CopyPace().bytesWithin(1_000), null);
});

test("the best that a server has done is what it can do", () => {
  const pace = new CopyPace();
  pace.note(1_000, 100);
  assert.equal(pace.bytesWithin(1_000), 10_000);
  pace.note(5_000, 100);
  pace.note(1_000, 1_000);
  assert.equal(pace.bytesWithin(1_000), 50_000);
});

test("a copy that took no time that can be measured took a millisecond", () => {
  const pace = new CopyPace();
  pace.note(1_000, 0);
  assert.equal(pace.bytesWithin(2), 2_000);
});
