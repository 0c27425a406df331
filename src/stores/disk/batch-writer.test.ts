import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { BatchBudget, BatchWriter, chunksAfter } from "./batch-writer.ts";

const BATCH = 256 * 1024;

/** A writer whose batches end when `end` is called. */
function slowWriter(budget: BatchBudget = new BatchBudget()): {
  writer: BatchWriter;
  lengths: number[];
  end: () => void;
} {
  budget.enter();
  const lengths: number[] = [];
  let end: () => void = () => undefined;
  const writer = new BatchWriter(budget, (chunks, length) => {
    assert.equal(
      chunks.reduce((sum, chunk) => sum + chunk.length, 0),
      length,
    );
    lengths.push(length);
    return new Promise((resolve) => (end = resolve));
  });
  return { writer, lengths, end: () => end() };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("one batch is written while the next gathers, and no more than two are held", async () => {
  const { writer, lengths, end } = slowWriter();
  assert.equal(writer.write(new Uint8Array(BATCH)), undefined);
  assert.equal(writer.write(new Uint8Array(BATCH / 2)), undefined);
  let isThereRoom = false;
  const room = writer.write(new Uint8Array(BATCH / 2));
  assert.ok(room !== undefined);
  void room.then(() => (isThereRoom = true));
  await turn();
  assert.deepEqual([lengths, isThereRoom], [[BATCH], false]);
  end();
  await room;
  assert.deepEqual(lengths, [BATCH, BATCH]);
  end();
  await writer.settle();
});

test("a caller that waits for room gets it, also if batches have grown because other uploads ended", async () => {
  const budget = new BatchBudget();
  for (let others = 0; others < 99; others += 1) budget.enter();
  const { writer, lengths, end } = slowWriter(budget);
  const full = budget.batchBytes;
  void writer.write(new Uint8Array(full));
  const room = writer.write(new Uint8Array(full));
  assert.ok(room !== undefined);
  for (let others = 0; others < 99; others += 1) budget.leave();
  assert.ok(budget.batchBytes > 2 * full);
  end();
  await room;
  assert.deepEqual(lengths, [full, full]);
  end();
  await writer.settle();
});

test("a flush returns once everything taken before it is written, whatever arrives meanwhile", async () => {
  const { writer, lengths, end } = slowWriter();
  void writer.write(new Uint8Array(BATCH));
  void writer.write(new Uint8Array(10));
  let isFlushed = false;
  const flush = writer.flush().then(() => (isFlushed = true));
  void writer.write(new Uint8Array(5));
  end();
  await turn();
  assert.deepEqual([lengths, isFlushed], [[BATCH, 15], false]);
  void writer.write(new Uint8Array(7));
  end();
  await flush;
  assert.deepEqual(lengths, [BATCH, 15], "later bytes still gather");
});

test("a failed batch fails all later calls", async () => {
  const budget = new BatchBudget();
  budget.enter();
  const failure = new Error("no room");
  const writer = new BatchWriter(budget, () => Promise.reject(failure));
  void writer.write(new Uint8Array(BATCH));
  await assert.rejects(writer.flush(), failure);
  assert.throws(() => writer.write(new Uint8Array(1)), failure);
  await assert.rejects(writer.flush(), failure);
});

test("the more uploads run the less each gathers, down to a minimum", () => {
  const budget = new BatchBudget();
  const sizes: number[] = [];
  for (let uploads = 1; uploads <= 1000; uploads++) {
    budget.enter();
    sizes.push(budget.batchBytes);
  }
  assert.deepEqual([sizes[0], sizes[31], sizes[63], sizes[999]], [262_144, 262_144, 131_072, 65_536]);
  for (let uploads = 999; uploads >= 1; uploads--) budget.leave();
  assert.equal(budget.batchBytes, 262_144);
});

test("the remaining chunks are exactly what a write did not take, wherever it stopped", () => {
  const chunks = fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 8 });
  fc.assert(
    fc.property(chunks, fc.nat(200), (all, stop) => {
      const whole = Buffer.concat(all);
      const taken = Math.min(stop, whole.length);
      assert.deepEqual(Buffer.concat(chunksAfter(all, taken)), whole.subarray(taken));
    }),
  );
});

test("remaining chunks are not copied", () => {
  const [left] = chunksAfter([Uint8Array.of(1, 2), Uint8Array.of(3, 4)], 3);
  assert(left !== undefined);
  assert.deepEqual([left.byteOffset, left.length], [1, 1]);
});
