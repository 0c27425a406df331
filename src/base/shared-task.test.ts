import assert from "node:assert/strict";
import { test } from "node:test";
import { SharedTask } from "./shared-task.ts";

const GONE = new Error("the caller is gone");

test("the work runs once and all callers receive its result", async () => {
  let runs = 0;
  const task = new SharedTask(async () => {
    runs += 1;
    return "done";
  });
  assert.equal(runs, 0, "it has not begun when the constructor returns");
  assert.deepEqual(await Promise.all([task.wait(), task.wait()]), ["done", "done"]);
  assert.equal(runs, 1);
});

test("a failure reaches all callers", async () => {
  const failure = new Error("broken");
  const task = new SharedTask(() => Promise.reject(failure));
  const results = await Promise.allSettled([task.wait(), task.wait()]);
  for (const result of results) assert.equal(result.status === "rejected" && result.reason, failure);
});

test("a synchronous failure of the work is one of the task", async () => {
  const task = new SharedTask(() => {
    throw GONE;
  });
  await assert.rejects(task.wait(), GONE);
});

test("a caller that is aborted leaves, and the others receive the result", async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  let stopped: AbortSignal | null = null;
  const task = new SharedTask((signal) => {
    stopped = signal;
    return promise;
  });
  const caller = new AbortController();
  const leaving = task.wait(caller.signal);
  const staying = task.wait();
  caller.abort(GONE);
  await assert.rejects(leaving, GONE);
  assert.equal(task.isAbandoned, false);
  resolve("done");
  assert.equal(await staying, "done");
  assert.equal((stopped as AbortSignal | null)?.aborted, false);
});

test("the work is stopped when the last caller has left", async () => {
  const task = new SharedTask<never>(
    (signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error))),
  );
  const caller = new AbortController();
  const waiting = task.wait(caller.signal);
  caller.abort(GONE);
  await assert.rejects(waiting, GONE);
  assert.equal(task.isAbandoned, true);
});

test("a result is reported as unused after the last caller has used it", async () => {
  const events: string[] = [];
  const task = new SharedTask(
    async () => "result",
    () => events.push("unused"),
  );
  await Promise.all([task.use(() => events.push("first")), task.use(() => events.push("second"))]);
  assert.deepEqual(events, ["first", "second", "unused"]);
});

test("a result that arrives after all callers have left is reported as unused", async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  const unused = Promise.withResolvers<string>();
  const task = new SharedTask(() => promise, unused.resolve);
  const caller = new AbortController();
  const waiting = task.wait(caller.signal);
  caller.abort(GONE);
  await assert.rejects(waiting, GONE);
  resolve("late");
  assert.equal(await unused.promise, "late");
});
