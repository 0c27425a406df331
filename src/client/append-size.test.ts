import assert from "node:assert/strict";
import { test } from "node:test";
import { AppendSize } from "./append-size.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

test("appends grow to what ten seconds carry, at most fourfold, up to a limit", () => {
  const fast = new AppendSize();
  const sizes = [];
  for (let i = 0; i < 4; i += 1) {
    sizes.push(fast.bytes / MIB);
    fast.succeeded(fast.bytes, 100);
  }
  assert.deepEqual(sizes, [16, 64, 256, 1024]);
  const slow = new AppendSize();
  slow.succeeded(16 * MIB, 5000);
  assert.equal(slow.bytes, 32 * MIB);
});

test("appends shrink when the network slows down", () => {
  const size = new AppendSize();
  size.succeeded(16 * MIB, 40_000);
  assert.equal(size.bytes, 4 * MIB);
  size.succeeded(4 * MIB, 3_600_000);
  assert.equal(size.bytes, 64 * KIB);
});

test("a short last append says nothing about longer ones", () => {
  const size = new AppendSize();
  size.succeeded(1000, 1);
  assert.equal(size.bytes, 16 * MIB);
});

test("after a broken connection appends are smaller, and then grow again", () => {
  const size = new AppendSize();
  size.broke(16 * MIB);
  assert.equal(size.bytes, 8 * MIB);
  size.broke(1);
  assert.equal(size.bytes, 64 * KIB);
  size.succeeded(64 * KIB, 10);
  assert.equal(size.bytes, 128 * KIB);
});

test("a size that was refused is never tried again", () => {
  const size = new AppendSize();
  assert.equal(size.refused(16 * MIB), true);
  assert.equal(size.bytes, 8 * MIB);
  size.succeeded(8 * MIB, 1);
  assert.equal(size.bytes, 8 * MIB);
  assert.equal(size.refused(100 * KIB), true);
  assert.equal(size.bytes, 64 * KIB);
  assert.equal(size.refused(64 * KIB), false);
});

test("the server's limits are kept", () => {
  const size = new AppendSize();
  size.limit({ max: 5 * MIB, min: MIB });
  assert.equal(size.bytes, 5 * MIB);
  size.broke(1);
  assert.equal(size.bytes, MIB);
  // a proxy that lets none of that size through leaves no way
  assert.equal(size.refused(MIB), false);
});

test("appends that must fit into memory do not grow", () => {
  const size = new AppendSize({ first: 8 * MIB, max: 8 * MIB });
  size.succeeded(8 * MIB, 1);
  assert.equal(size.bytes, 8 * MIB);
});
