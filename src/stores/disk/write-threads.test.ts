import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { content } from "../contract/tools.ts";
import { FileSystem } from "./file-system.ts";
import type { DurabilityLevel } from "./options.ts";
import { type BlobBytes, WriteThreads } from "./write-threads.ts";
import type { BlobPaths } from "./write-worker.ts";

let root: string;
/** Threads that flush, and threads that do not. */
let threads: Readonly<Record<"full" | "none", WriteThreads>>;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "fixity-test-"));
  await mkdir(join(root, "staging"));
  await mkdir(join(root, "blobs"));
  const log = (message: string): void => assert.fail(message);
  threads = {
    full: new WriteThreads(new FileSystem("full", log)),
    none: new WriteThreads(new FileSystem("none", log)),
  };
});

afterEach(async () => {
  for (const each of Object.values(threads)) await each[Symbol.asyncDispose]();
  await rm(root, { recursive: true });
});

async function started(level: DurabilityLevel): Promise<void> {
  threads[level].start();
  while (!threads[level].isReady) await sleep(1);
}

const pathsOf = (seed: number): BlobPaths => ({
  staged: join(root, "staging", String(seed)),
  place: join(root, "blobs", String(seed)),
  mode: 0o444,
  gid: null,
});

/** `size` bytes in two chunks. */
function bytesOf(seed: number, size: number): BlobBytes {
  const bytes = content(size, seed);
  const half = size >> 1;
  return { chunks: [bytes.subarray(0, half), bytes.subarray(half)], size };
}

/** Whether the blob is published. */
async function write(level: DurabilityLevel, seed: number, size: number): Promise<boolean> {
  return (await threads[level].run(pathsOf(seed), bytesOf(seed, size))).is === "published";
}

for (const level of ["none", "full"] as const) {
  test(`more blobs than fit into threads and batches are all written, each with its bytes, with durability ${level}`, async () => {
    await started(level);
    const sizes = Array.from({ length: 200 }, (_, seed) => (seed % 7 === 0 ? 64 * 1024 : seed * 11));
    const published = await Promise.all(sizes.map((size, seed) => write(level, seed, size)));
    assert.deepEqual(new Set(published), new Set([true]));
    for (const [seed, size] of sizes.entries()) {
      assert((await readFile(join(root, "blobs", String(seed)))).equals(content(size, seed)), `blob ${seed}`);
    }
    assert.deepEqual(await readdir(join(root, "staging")), []);
  });

  test(`of a batch, blobs that are stored or have no folder are declined and leave nothing, with durability ${level}`, async () => {
    await started(level);
    assert.equal(await write(level, 1, 100), true);
    const lost = { ...pathsOf(2), place: join(root, "missing", "2") };
    const outcomes = await Promise.all([
      threads[level].run(pathsOf(1), bytesOf(1, 100)),
      threads[level].run(lost, bytesOf(2, 100)),
      threads[level].run(pathsOf(3), bytesOf(3, 100)),
      threads[level].run({ ...pathsOf(3), staged: join(root, "staging", "again") }, bytesOf(3, 100)),
    ]);
    const published = outcomes.map(({ is }) => is);
    assert.deepEqual(published.slice(0, 2), ["declined", "declined"]);
    // Of two of the same content one is published, whichever is first.
    assert.deepEqual(published.slice(2).sort(), ["declined", "published"]);
    assert.deepEqual((await readdir(join(root, "blobs"))).sort(), ["1", "3"]);
    assert.deepEqual(await readdir(join(root, "staging")), []);
  });

  test(`nothing is published while no thread runs, with durability ${level}`, async () => {
    assert.equal(threads[level].isReady, false);
    assert.equal(await write(level, 1, 100), false);
    assert.deepEqual(await readdir(join(root, "blobs")), []);
  });

  test(`jobs of a terminated thread are declined, and no thread starts afterwards, with durability ${level}`, async () => {
    await started(level);
    const writes = Array.from({ length: 100 }, (_, seed) => write(level, seed, 1000));
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    await threads[level][Symbol.asyncDispose]();
    const published = (await Promise.all(writes)).filter((each) => each).length;
    const there = (await readdir(join(root, "blobs"))).length;
    assert(published <= there && published < writes.length);
    threads[level].start();
    assert.equal(threads[level].isReady, false);
  });
}
