import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import type { BlobStore } from "../../core/store.ts";
import { diskStore } from "../../disk.ts";
import { content, digestOf, keep, openExisting, readAll } from "../contract/tools.ts";

const BYTES = content(3 * 1024 ** 2);
const DIGEST = digestOf(BYTES);

let root: string;
let store: BlobStore;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "fixity-test-"));
  store = diskStore({ root, durability: "none" });
  await keep(store, BYTES);
});

afterEach(async () => {
  await store[Symbol.asyncDispose]();
  await rm(root, { recursive: true });
});

const blob = () => join(root, "blobs", DIGEST.hex.slice(0, 2), DIGEST.hex);

test("a file that is truncated while it is read fails the reader", async () => {
  for (const length of [0, 1, 300_000, BYTES.length - 1]) {
    await store.remove(DIGEST);
    await keep(store, BYTES);
    await using reader = await openExisting(store, DIGEST);
    let read = 0;
    await assert.rejects(
      async () => {
        for await (const chunk of reader) {
          if (read === 0) await truncate(blob(), length);
          read += chunk.length;
        }
      },
      { code: "blob-damaged" },
    );
    assert(read < BYTES.length);
  }
});

test(
  "every way to end a reader closes its descriptor",
  { skip: process.platform !== "linux" && "needs /proc" },
  async () => {
    const descriptors = async () => (await readdir("/proc/self/fd")).length;
    const before = await descriptors();
    const client = new AbortController();
    const ways: (() => Promise<unknown>)[] = [
      async () => readAll(await openExisting(store, DIGEST)),
      async () => (await openExisting(store, DIGEST))[Symbol.asyncDispose](),
      async () => {
        for await (const chunk of await openExisting(store, DIGEST)) if (chunk.length > 0) break;
      },
      async () => {
        const reader = await openExisting(store, DIGEST);
        for await (const chunk of reader) if (chunk.length > 0) await truncate(blob(), 10);
      },
      async () => {
        const reader = await store.open(DIGEST, { signal: client.signal });
        assert(reader !== null);
        const reading = readAll(reader);
        client.abort();
        await reading;
      },
    ];
    for (const way of ways) await way().catch(() => null);
    assert.equal(await descriptors(), before);
  },
);

test(
  "an aborted signal closes the file even if nobody reads on",
  { skip: process.platform !== "linux" && "needs /proc", timeout: 10_000 },
  async () => {
    const client = new AbortController();
    const before = await readdir("/proc/self/fd");
    const reader = await store.open(DIGEST, { signal: client.signal });
    assert.equal(reader?.size, BYTES.length);
    assert.equal((await readdir("/proc/self/fd")).length, before.length + 1);
    client.abort();
    while ((await readdir("/proc/self/fd")).length > before.length) await new Promise(setImmediate);
  },
);

test("memory that is returned to a reader is read into again", async () => {
  await using reader = await openExisting(store, DIGEST);
  const buffers = new Set<ArrayBufferLike>();
  const read: Buffer[] = [];
  for await (const chunk of reader) {
    buffers.add(chunk.buffer);
    read.push(Buffer.from(chunk));
    reader.recycle?.(chunk);
  }
  assert(read.length > 10);
  assert.equal(buffers.size, 1);
  assert(Buffer.concat(read).equals(BYTES));
});
