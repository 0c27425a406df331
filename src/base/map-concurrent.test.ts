import assert from "node:assert/strict";
import { test } from "node:test";
import { forEachConcurrent, mapConcurrent } from "./map-concurrent.ts";

const settle = (): Promise<void> => new Promise(setImmediate);

async function* numbers(count: number, onReturn: () => void = () => undefined): AsyncGenerator<number> {
  try {
    for (let n = 0; n < count; n += 1) yield n;
  } finally {
    onReturn();
  }
}

test("at most `concurrency` calls run at a time, and results keep the order of the items", async () => {
  for (const items of [Array.from({ length: 20 }, (_, n) => n), numbers(20)]) {
    let [running, most] = [0, 0];
    const results = await mapConcurrent(items, 4, async (n, index) => {
      assert.equal(index, n);
      running += 1;
      most = Math.max(most, running);
      for (let turns = n % 5; turns >= 0; turns -= 1) await settle();
      running -= 1;
      return n * 2;
    });
    assert.deepEqual(
      results,
      Array.from({ length: 20 }, (_, n) => n * 2),
    );
    assert.equal(most, 4);
  }
});

test("after a failure no call is started, and the promise rejects once no call is running", async () => {
  let [running, started, returned] = [0, 0, 0];
  const source = numbers(100, () => (returned += 1));
  const mapping = forEachConcurrent(source, 4, async (n) => {
    started += 1;
    running += 1;
    for (let turns = 0; turns < (n === 2 ? 1 : 10); turns += 1) await settle();
    running -= 1;
    if (n >= 2) throw new Error(`failed at ${n}`);
  });
  await assert.rejects(mapping, /failed at 2/);
  assert.deepEqual({ running, started, returned }, { running: 0, started: 4, returned: 1 });
});

test("after an abort no call is started, and the promise rejects with the signal's reason once no call is running", async () => {
  const stop = new AbortController();
  let [running, started, returned] = [0, 0, 0];
  const work = async (): Promise<void> => {
    started += 1;
    running += 1;
    if (started === 6) stop.abort(new Error("stopped"));
    await settle();
    running -= 1;
  };
  await assert.rejects(
    forEachConcurrent(
      numbers(100, () => (returned += 1)),
      3,
      work,
      stop.signal,
    ),
    /stopped/,
  );
  assert.equal(running, 0);
  assert.equal(returned, 1);
  assert(started <= 8, String(started));
  await assert.rejects(forEachConcurrent([1], 1, work, stop.signal), /stopped/);
});

test("a source that fails rejects, and an empty one resolves", async () => {
  const failing = async function* (): AsyncGenerator<number> {
    yield 1;
    throw new Error("cannot be listed");
  };
  await assert.rejects(
    mapConcurrent(failing(), 4, async (n) => n),
    /cannot be listed/,
  );
  assert.deepEqual(await mapConcurrent([], 4, async (n) => n), []);
});
