import assert from "node:assert/strict";
import { test } from "node:test";
import { Pacer } from "./pacer.ts";

/** A clock that advances only by waiting, and records each wait. */
function scriptedClock() {
  const clock = { time: 1000, waits: [] as number[] };
  return Object.assign(clock, {
    now: () => clock.time,
    delay: async (ms: number, signal?: AbortSignal): Promise<void> => {
      signal?.throwIfAborted();
      clock.waits.push(ms);
    },
  });
}

test("concurrent transfers share the rate: each waits for what all have transferred", async () => {
  const clock = scriptedClock();
  const pacer = new Pacer(1000, clock);
  // The first 100 ms are those that may be made up.
  await pacer.pass(100);
  await Promise.all([pacer.pass(200), pacer.pass(300)]);
  assert.deepEqual(clock.waits, [200, 500]);
  clock.time += 500;
  await pacer.pass(1000);
  assert.deepEqual(clock.waits, [200, 500, 1000]);
});

test("a pause is not saved up, but for the delay of timers", async () => {
  const clock = scriptedClock();
  const pacer = new Pacer(1000, clock);
  await pacer.pass(100);
  clock.time += 60_000;
  await pacer.pass(1100);
  assert.deepEqual(clock.waits, [1000]);
});

test("waits too short for a timer are added up", async () => {
  const clock = scriptedClock();
  const pacer = new Pacer(1000 * 1024, clock);
  await pacer.pass(100 * 1024);
  for (let count = 0; count < 4; count += 1) await pacer.pass(512);
  assert.deepEqual(clock.waits, [1.5, 2]);
});

test("without a bound nothing waits, and an aborted signal ends a wait with its reason", async () => {
  const clock = scriptedClock();
  await new Pacer(Infinity, clock).pass(Number.MAX_SAFE_INTEGER);
  assert.deepEqual(clock.waits, []);
  const reason = new Error("stop");
  await assert.rejects(new Pacer(1, clock).pass(1000, AbortSignal.abort(reason)), reason);
  const controller = new AbortController();
  const waiting = new Pacer(1).pass(3600, controller.signal);
  controller.abort(reason);
  await assert.rejects(waiting, reason);
});
