import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { content } from "../contract/tools.ts";
import { FileSystem } from "./file-system.ts";
import { type BlobBytes, WriteThreads } from "./write-threads.ts";
import type { BlobPaths } from "./write-worker.ts";

let root: string;
let threads: WriteThreads;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "fixity-test-"));
  await mkdir(join(root, "staging"));
  await mkdir(join(root, "blobs"));
  const log = (message: string): void => assert.fail(message);
  threads = new WriteThreads(new FileSystem("full", log));
});

afterEach(async () => {
  await threads[Symbol.asyncDispose]();
  await rm(root, { recursive: true });
});

async function started(): Promise<void> {
  threads.start();
  while (!threads.isReady) await sleep(1);
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

/** The two ways to write a blob. */
const WAYS = {
  "at once": async (seed: number, size: number): Promise<boolean> =>
    (await threads.run("make", pathsOf(seed), bytesOf(seed, size))).is === "published",
  "in two steps": async (seed: number, size: number): Promise<boolean> => {
    const staged = await threads.run("stage", pathsOf(seed), bytesOf(seed, size));
    return staged.is === "staged" && (await threads.publish(pathsOf(seed), staged.fd)).is === "published";
  },
};

for (const [way, write] of Object.entries(WAYS)) {
  test(`more blobs than fit into threads and batches are all written ${way}, each with its bytes`, async () => {
    await started();
    const sizes = Array.from({ length: 200 }, (_, seed) => (seed % 7 === 0 ? 64 * 1024 : seed * 11));
    const published = await Promise.all(sizes.map((size, seed) => write(seed, size)));
    assert.deepEqual(new Set(published), new Set([true]));
    for (const [seed, size] of sizes.entries()) {
      assert((await readFile(join(root, "blobs", String(seed)))).equals(content(size, seed)), `blob ${seed}`);
    }
    assert.deepEqual(await readdir(join(root, "staging")), []);
  });
}

test("nothing is published while no thread runs", async () => {
  assert.equal(threads.isReady, false);
  for (const write of Object.values(WAYS)) assert.equal(await write(1, 100), false);
  assert.deepEqual(await readdir(join(root, "blobs")), []);
});

test("jobs of a terminated thread are declined, and no thread starts afterwards", async () => {
  await started();
  const writes = Array.from({ length: 100 }, (_, seed) => WAYS["at once"](seed, 1000));
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  await threads[Symbol.asyncDispose]();
  const published = (await Promise.all(writes)).filter((each) => each).length;
  const there = (await readdir(join(root, "blobs"))).length;
  assert(published <= there && published < writes.length);
  threads.start();
  assert.equal(threads.isReady, false);
});
