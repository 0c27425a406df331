import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { abortRace, delay, timeLimit } from "./abort-race.ts";

test("abortRace settles as the work does, and leaves no listener", async () => {
  const { signal } = new AbortController();
  assert.equal(await abortRace(Promise.resolve(1), undefined), 1);
  assert.equal(await abortRace(Promise.resolve(1), signal), 1);
  await assert.rejects(abortRace(Promise.reject(new Error("failed")), signal), /failed/);
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("abortRace rejects with the signal's own reason, and a later failure of the work is dropped", async () => {
  for (const when of ["before", "after"] as const) {
    const stop = new AbortController();
    const reason = new Error("stopped");
    const work = Promise.withResolvers<never>();
    if (when === "before") stop.abort(reason);
    const race = abortRace(work.promise, stop.signal);
    stop.abort(reason);
    await assert.rejects(race, (error) => error === reason);
    work.reject(new Error("dropped"));
    await new Promise(setImmediate);
  }
});

test("delay waits, and ends early with the signal's reason", async () => {
  const stop = new AbortController();
  await delay(1, stop.signal);
  assert.equal(getEventListeners(stop.signal, "abort").length, 0);
  const waiting = delay(60_000, stop.signal);
  const reason = new Error("stopped");
  stop.abort(reason);
  await assert.rejects(waiting, (error) => error === reason);
  await assert.rejects(delay(1, stop.signal), (error) => error === reason);
});

test("a time limit ends the wait with null, and passes on results, failures and the signal's reason", async () => {
  const never = new Promise<never>(() => {});
  assert.equal(await timeLimit(never, 1), null);
  assert.equal(await timeLimit(Promise.resolve(7), 60_000), 7);
  const failure = new Error("failed");
  await assert.rejects(timeLimit(Promise.reject(failure), 60_000), (error) => error === failure);
  const stop = new AbortController();
  const waiting = timeLimit(never, 60_000, stop.signal);
  stop.abort(failure);
  await assert.rejects(waiting, (error) => error === failure);
});
