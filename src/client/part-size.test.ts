import assert from "node:assert/strict";
import { test } from "node:test";
import { PartSize } from "./part-size.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

test("parts grow while they take little time, up to a limit", () => {
  const size = new PartSize();
  const sizes = [];
  for (let i = 0; i < 5; i += 1) {
    sizes.push(size.bytes / MIB);
    size.passed(size.bytes, 100);
  }
  assert.deepEqual(sizes, [16, 32, 64, 128, 128]);
  size.passed(size.bytes, 60_000);
  assert.equal(size.bytes, 128 * MIB);
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
});

test("parts that must be held in memory do not grow", () => {
  const size = new PartSize({ first: 8 * MIB, most: 8 * MIB });
  size.passed(8 * MIB, 1);
  assert.equal(size.bytes, 8 * MIB);
});
