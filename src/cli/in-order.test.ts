import assert from "node:assert/strict";
import { test } from "node:test";
import { inOrder } from "./in-order.ts";

const ITEMS = Array.from({ length: 20 }, (_, index) => index);

test("results come in the order of the items, however the work ends, and no more is begun than was asked for", async () => {
  const taken: number[] = [];
  let running = 0;
  let most = 0;
  await inOrder(ITEMS, {
    atOnce: 3,
    signal: new AbortController().signal,
    work: async (item) => {
      most = Math.max(most, ++running);
      for (let turns = item % 3 === 0 ? 20 : 1; turns > 0; turns--) await new Promise(setImmediate);
      running--;
      return item;
    },
    take: (result) => taken.push(result),
  });
  assert.deepEqual(taken, ITEMS);
  assert.equal(most, 3);
});

test("after an abort nothing more is begun, and what was begun is handed over", async () => {
  const controller = new AbortController();
  const taken: number[] = [];
  const begun: number[] = [];
  await inOrder(ITEMS, {
    atOnce: 2,
    signal: controller.signal,
    work: async (item) => {
      begun.push(item);
      if (item === 5) controller.abort();
      await new Promise(setImmediate);
      return item;
    },
    take: (result) => taken.push(result),
  });
  assert.deepEqual(taken, begun);
  assert.ok(begun.length <= 7);
});
