import assert from "node:assert/strict";
import { test } from "node:test";
import { Batches } from "./batches.ts";

test("a few uploads gather much each, many gather little, and none less than a write is worth", () => {
  const batches = new Batches();
  const sizes: number[] = [];
  for (let uploads = 1; uploads <= 1000; uploads++) {
    batches.enter();
    sizes.push(batches.size);
  }
  assert.deepEqual([sizes[0], sizes[31], sizes[63], sizes[999]], [262_144, 262_144, 131_072, 65_536]);
  for (let uploads = 999; uploads >= 1; uploads--) batches.leave();
  assert.equal(batches.size, 262_144);
});
