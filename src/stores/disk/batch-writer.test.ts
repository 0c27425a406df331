import assert from "node:assert/strict";
import { test } from "node:test";
import { BatchWriter } from "./batch-writer.ts";
import { Batches } from "./batches.ts";

const BATCH = 256 * 1024;

/** A writer whose batches end when they are told to. */
function slowWriter(batches: Batches = new Batches()): { writer: BatchWriter; lengths: number[]; end: () => void } {
  batches.enter();
  const lengths: number[] = [];
  let end: () => void = () => undefined;
  const writer = new BatchWriter(batches, (chunks, length) => {
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

test("one batch is written while the next one gathers, and no more than that is held", async () => {
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

test("who waits for room gets it, also where batches have grown meanwhile because other uploads ended", async () => {
  const batches = new Batches();
  for (let others = 0; others < 99; others += 1) batches.enter();
  const { writer, lengths, end } = slowWriter(batches);
  const full = batches.size;
  void writer.write(new Uint8Array(full));
  const room = writer.write(new Uint8Array(full));
  assert.ok(room !== undefined);
  for (let others = 0; others < 99; others += 1) batches.leave();
  assert.ok(batches.size > 2 * full);
  end();
  await room;
  assert.deepEqual(lengths, [full, full]);
  end();
  await writer.settle();
});

test("a flush ends when all is written that was taken before it, whatever comes in meanwhile", async () => {
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
  assert.deepEqual(lengths, [BATCH, 15], "what came in later still gathers");
});

test("a batch that failed fails all that follows", async () => {
  const batches = new Batches();
  batches.enter();
  const failure = new Error("no room");
  const writer = new BatchWriter(batches, () => Promise.reject(failure));
  void writer.write(new Uint8Array(BATCH));
  await assert.rejects(writer.flush(), failure);
  assert.throws(() => writer.write(new Uint8Array(1)), failure);
  await assert.rejects(writer.flush(), failure);
});
