import assert from "node:assert/strict";
import { test } from "node:test";
import { inOrder } from "./in-order.ts";

const ITEMS = Array.from({ length: 20 }, (_, index) => index);

test("results arrive in the order of the items, and no more items are in progress than allowed", async () => {
  const taken: number[] = [];
  let running = 0;
  let most = 0;
  await inOrder(ITEMS, {
    concurrency: 3,
    signal: new AbortController().signal,
    work: async (item) => {
      most = Math.max(most, ++running);
      for (let turns = item % 3 === 0 ? 20 : 1; turns > 0; turns--) await new Promise(setImmediate);
      running--;
      return item;
    },
    onResult: (result) => taken.push(result),
  });
  assert.deepEqual(taken, ITEMS);
  assert.equal(most, 3);
});

test("after an abort no item is started, and the results of started items are delivered", async () => {
  const controller = new AbortController();
  const taken: number[] = [];
  const begun: number[] = [];
  await inOrder(ITEMS, {
    concurrency: 2,
    signal: controller.signal,
    work: async (item) => {
      begun.push(item);
      if (item === 5) controller.abort();
      await new Promise(setImmediate);
      return item;
    },
    onResult: (result) => taken.push(result),
  });
  assert.deepEqual(taken, begun);
  assert.ok(begun.length <= 7);
});
