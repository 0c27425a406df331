import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { content } from "../contract/tools.ts";
import { WriteThreads } from "./write-threads.ts";

let root: string;
let threads: WriteThreads;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "fixity-test-"));
  await mkdir(join(root, "staging"));
  await mkdir(join(root, "blobs"));
  threads = new WriteThreads((message) => assert.fail(message));
});

afterEach(async () => {
  await threads[Symbol.asyncDispose]();
  await rm(root, { recursive: true });
});

async function started(): Promise<void> {
  threads.start();
  while (!threads.ready) await sleep(1);
}

/** Has `size` bytes written, in two chunks. */
function write(seed: number, size: number): Promise<boolean> {
  const bytes = content(size, seed);
  const half = size >> 1;
  return threads.write({
    staged: join(root, "staging", String(seed)),
    place: join(root, "blobs", String(seed)),
    chunks: [bytes.subarray(0, half), bytes.subarray(half)],
    size,
  });
}

test("more blobs than threads and batches hold at a time are all written, each with its bytes", async () => {
  await started();
  const sizes = Array.from({ length: 200 }, (_, seed) => (seed % 7 === 0 ? 64 * 1024 : seed * 11));
  const published = await Promise.all(sizes.map((size, seed) => write(seed, size)));
  assert.deepEqual(new Set(published), new Set([true]));
  for (const [seed, size] of sizes.entries()) {
    assert((await readFile(join(root, "blobs", String(seed)))).equals(content(size, seed)), `blob ${seed}`);
  }
  assert.deepEqual(await readdir(join(root, "staging")), []);
});

test("without running threads nothing is published", async () => {
  assert.equal(threads.ready, false);
  assert.equal(await write(1, 100), false);
  assert.deepEqual(await readdir(join(root, "blobs")), []);
});

test("who waits for a thread that is ended is told, and no thread is started afterwards", async () => {
  await started();
  const writes = Array.from({ length: 100 }, (_, seed) => write(seed, 1000));
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  await threads[Symbol.asyncDispose]();
  const published = (await Promise.all(writes)).filter((each) => each).length;
  const there = (await readdir(join(root, "blobs"))).length;
  assert(published <= there && published < writes.length);
  threads.start();
  assert.equal(threads.ready, false);
});
