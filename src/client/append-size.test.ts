import assert from "node:assert/strict";
import { test } from "node:test";
import { PartSize } from "./append-size.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

test("parts grow to what goes in ten seconds, fourfold at most, up to a limit", () => {
  const quick = new PartSize();
  const sizes = [];
  for (let i = 0; i < 4; i += 1) {
    sizes.push(quick.bytes / MIB);
    quick.passed(quick.bytes, 100);
  }
  assert.deepEqual(sizes, [16, 64, 256, 1024]);
  const slow = new PartSize();
  slow.passed(16 * MIB, 5000);
  assert.equal(slow.bytes, 32 * MIB);
});

test("parts shrink where the network has become slow", () => {
  const size = new PartSize();
  size.passed(16 * MIB, 40_000);
  assert.equal(size.bytes, 4 * MIB);
  size.passed(4 * MIB, 3_600_000);
  assert.equal(size.bytes, 64 * KIB);
});

test("a short last part says nothing about larger ones", () => {
  const size = new PartSize();
  size.passed(1000, 1);
  assert.equal(size.bytes, 16 * MIB);
});

test("a part that broke off is followed by smaller ones, which grow again", () => {
  const size = new PartSize();
  size.broke(16 * MIB);
  assert.equal(size.bytes, 8 * MIB);
  size.broke(1);
  assert.equal(size.bytes, 64 * KIB);
  size.passed(64 * KIB, 10);
  assert.equal(size.bytes, 128 * KIB);
});

test("what was refused for its size is never tried again", () => {
  const size = new PartSize();
  assert.equal(size.refused(16 * MIB), true);
  assert.equal(size.bytes, 8 * MIB);
  size.passed(8 * MIB, 1);
  assert.equal(size.bytes, 8 * MIB);
  assert.equal(size.refused(100 * KIB), true);
  assert.equal(size.bytes, 64 * KIB);
  assert.equal(size.refused(64 * KIB), false);
});

test("the server's limits hold", () => {
  const size = new PartSize();
  size.limit({ max: 5 * MIB, min: MIB });
  assert.equal(size.bytes, 5 * MIB);
  size.broke(1);
  assert.equal(size.bytes, MIB);
  // and where a proxy lets none of that size through, there is no way
  assert.equal(size.refused(MIB), false);
});

test("parts that must be held in memory do not grow", () => {
  const size = new PartSize({ first: 8 * MIB, most: 8 * MIB });
  size.passed(8 * MIB, 1);
  assert.equal(size.bytes, 8 * MIB);
});
