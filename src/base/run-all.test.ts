import assert from "node:assert/strict";
import { test } from "node:test";
import { runAll } from "./run-all.ts";

test("every task runs although one before it fails, and the first failure is thrown", async () => {
  const ran: string[] = [];
  const task = (name: string, failure?: Error) => async () => {
    ran.push(name);
    if (failure !== undefined) throw failure;
    return name;
  };
  assert.deepEqual(await runAll([task("a"), task("b")]), ["a", "b"]);
  ran.length = 0;
  const [first, second] = [new Error("first"), new Error("second")];
  await assert.rejects(runAll([task("a"), task("b", first), task("c", second), task("d")]), first);
  assert.deepEqual(ran, ["a", "b", "c", "d"]);
});

test("no task begins after the signal was aborted, whose reason is thrown", async () => {
  const [stop, reason] = [new AbortController(), new Error("stop")];
  const failing = async () => {
    stop.abort(reason);
    throw new Error("broken");
  };
  await assert.rejects(runAll([failing, () => assert.fail("began")], stop.signal), reason);
});
