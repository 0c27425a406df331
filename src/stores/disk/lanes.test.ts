import assert from "node:assert/strict";
import { test } from "node:test";
import { Lanes } from "./lanes.ts";

test("no more jobs run than there are lanes, and each gets its turn in order", async () => {
  const lanes = new Lanes(2);
  const started: number[] = [];
  let running = 0;
  const job = async (n: number) => {
    started.push(n);
    running += 1;
    assert(running <= 2);
    await new Promise(setImmediate);
    running -= 1;
    return n;
  };
  const results = await Promise.all(Array.from({ length: 7 }, (_, n) => lanes.run(() => job(n))));
  assert.deepEqual(results, [0, 1, 2, 3, 4, 5, 6]);
  assert.deepEqual(started, [0, 1, 2, 3, 4, 5, 6]);
});

test("a job that fails gives its lane back", async () => {
  const lanes = new Lanes(1);
  const failure = new Error("on purpose");
  await assert.rejects(
    lanes.run(() => Promise.reject(failure)),
    failure,
  );
  assert.equal(await lanes.run(async () => "next"), "next");
});
