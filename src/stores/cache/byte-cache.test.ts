import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import { ByteCache } from "./byte-cache.ts";
import { RecentDigests } from "./recent-digests.ts";

const hex = (n: number): string => createHash("sha256").update(String(n)).digest("hex");

test("a cache never exceeds its budget, and returns the last value of a digest or nothing", () => {
  const step = fc.record({
    kind: fc.constantFrom("get", "set", "set", "delete"),
    key: fc.integer({ min: 0, max: 30 }),
    cost: fc.integer({ min: 0, max: 120 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), fc.integer({ min: 1, max: 500 }), (steps, budget) => {
      const cache = new ByteCache<object>(budget);
      const last = new Map<number, { readonly value: object; readonly cost: number }>();
      for (const { kind, key, cost } of steps) {
        if (kind === "set") {
          const value = {};
          last.set(key, { value, cost });
          cache.set(hex(key), value, cost);
          assert.equal(cache.get(hex(key)), cost <= budget ? value : undefined, "what was just added can be read");
        } else if (kind === "delete") {
          last.delete(key);
          cache.delete(hex(key));
        } else {
          const found = cache.get(hex(key));
          assert(found === undefined || found === last.get(key)?.value);
        }
        const costs = [...last].map(([key, entry]) => (cache.get(hex(key)) === undefined ? 0 : entry.cost));
        assert.equal(
          cache.cost,
          costs.reduce((sum, cost) => sum + cost, 0),
        );
        assert(cache.cost <= budget);
      }
    }),
  );
});

test("what fits the budget is never evicted", () => {
  const cache = new ByteCache<number>(1000);
  for (let n = 0; n < 10; n += 1) cache.set(hex(n), n, 100);
  for (let n = 0; n < 10; n += 1) assert.equal(cache.get(hex(n)), n);
});

for (const reads of [1, 3]) {
  test(`a scan that reads each file ${reads} times evicts nothing that is used`, () => {
    const cache = new ByteCache<number>(1000 * 4096);
    const read = (n: number): boolean => {
      if (cache.get(hex(n)) !== undefined) return true;
      cache.set(hex(n), n, 4096);
      return false;
    };
    for (let round = 0; round < 5; round += 1) for (let n = 0; n < 800; n += 1) read(n);
    let misses = 0;
    for (let cold = 1000; cold < 20_000; cold += 1) {
      for (let round = 0; round < reads; round += 1) read(cold);
      misses += read(cold % 800) ? 0 : 1;
    }
    assert(misses < 100, `${misses} of 19,000 reads of the hot files missed the cache`);
  });
}

test("a value is removed only if it is the one that was named", () => {
  const cache = new ByteCache<object>(100);
  const [old, current] = [{}, {}];
  cache.set(hex(1), old, 10);
  cache.set(hex(1), current, 20);
  cache.delete(hex(1), old);
  assert.equal(cache.get(hex(1)), current);
  assert.equal(cache.cost, 20);
  cache.delete(hex(1), current);
  assert.equal(cache.cost, 0);
});

test("digests are remembered until others take their slots", () => {
  const digests = new RecentDigests(1000);
  for (let n = 0; n < 500; n += 1) digests.add(hex(n));
  let known = 0;
  for (let n = 0; n < 500; n += 1) known += digests.has(hex(n)) ? 1 : 0;
  assert(known > 350, `${known} of 500 are remembered`);
  for (let n = 500; n < 10_000; n += 1) assert.equal(digests.has(hex(n)), false);
  digests.add(hex(1));
  digests.delete(hex(1));
  assert.equal(digests.has(hex(1)), false);
  digests.delete(hex(1));
});
