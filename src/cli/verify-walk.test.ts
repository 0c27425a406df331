import assert from "node:assert/strict";
import { test } from "node:test";
import { FixityError } from "../core/errors.ts";
import { createFixity } from "../core/fixity.ts";
import type { BlobStore } from "../core/store.ts";
import { DIGEST_PREFIXES, readPasses } from "../core/verification/verification-passes.ts";
import { memoryStore } from "../memory.ts";
import { planWalk, walkPrefixes, type WalkOptions } from "./verify-walk.ts";

const HOUR_MS = 3_600_000;
const { signal } = new AbortController();

/** A store of 400 small blobs: most prefixes have one or more. */
async function filled() {
  const store = memoryStore();
  const fixity = createFixity({ store });
  for (let index = 0; index < 400; index += 1) await fixity.put(Buffer.from(`blob ${index}`));
  return store;
}

/** Walks over the prefixes and returns the digests, in hex, in the order in which they were read. */
async function walk(store: BlobStore, options: Partial<WalkOptions> = {}): Promise<string[]> {
  const read: string[] = [];
  await walkPrefixes(store, {
    prefixes: DIGEST_PREFIXES,
    concurrency: 4,
    signal,
    verify: async ({ hex }) => read.push(hex) > 0,
    unreadable: new Set(),
    onPrefix: () => undefined,
    warn: (message) => assert.fail(message),
    ...options,
  });
  return read;
}

async function due(store: BlobStore): Promise<readonly string[]> {
  return (await planWalk(store, HOUR_MS, signal)) ?? assert.fail();
}

test("every blob is read once, prefix by prefix, and every prefix is recorded, also those without blobs", async () => {
  await using store = await filled();
  let prefixes = 0;
  const read = await walk(store, { onPrefix: () => (prefixes += 1) });
  assert.equal(new Set(read).size, 400);
  assert.equal(read.length, 400);
  const order = read.map((hex) => hex.slice(0, 2));
  assert.deepEqual(order, order.toSorted());
  assert.equal(prefixes, 256);
  assert.deepEqual(await due(store), []);
});

test("a prefix with a blob that could not be read is not complete, nor is one whose folder is misplaced", async () => {
  await using store = await filled();
  const [{ digest } = assert.fail()] = await Array.fromAsync(store.list());
  const prefix = digest.hex.slice(0, 2);
  const other = DIGEST_PREFIXES.find((one) => one !== prefix) ?? "";
  await walk(store, { verify: async (read) => !read.equals(digest), unreadable: new Set([other]) });
  assert.deepEqual(await due(store), [prefix, other].toSorted());
});

test("what a walk has completed before it fails or is stopped is recorded, and the next one reads the rest", async () => {
  await using store = await filled();
  const controller = new AbortController();
  const first: string[] = [];
  const stopped = walk(store, {
    signal: controller.signal,
    verify: async ({ hex }) => {
      if (first.push(hex) === 200) controller.abort(new Error("stopped"));
      controller.signal.throwIfAborted();
      return true;
    },
  });
  await assert.rejects(stopped, { message: "stopped" });
  const prefixes = await due(store);
  const second = await walk(store, { prefixes });
  assert.equal(new Set([...first, ...second]).size, 400);
  const again = second.filter((hex) => first.includes(hex));
  assert.ok(again.length < 20, `only blobs of the prefixes that were not complete are read again: ${again.length}`);
  assert.ok(second.length < 220);
  assert.deepEqual(await due(store), []);
});

test("passes are recorded during the walk, too, for a process that is killed", async () => {
  await using store = await filled();
  const recorded: number[] = [];
  const passes = async (): Promise<number> => (await readPasses(store.documents ?? assert.fail())).size;
  await walk(store, {
    concurrency: 1,
    recordIntervalMs: 0,
    verify: async () => recorded.push(await passes()) > 0,
  });
  assert.equal(recorded[0], DIGEST_PREFIXES.indexOf((await firstPrefix(store)) ?? ""));
  assert.equal(recorded.at(-1), DIGEST_PREFIXES.indexOf((await lastPrefix(store)) ?? ""));
});

async function sortedPrefixes(store: BlobStore): Promise<string[]> {
  return (await Array.fromAsync(store.list())).map(({ digest }) => digest.hex.slice(0, 2)).toSorted();
}

async function firstPrefix(store: BlobStore): Promise<string | undefined> {
  return (await sortedPrefixes(store))[0];
}

async function lastPrefix(store: BlobStore): Promise<string | undefined> {
  return (await sortedPrefixes(store)).at(-1);
}

test("a store that cannot record passes is read all the same, and says so once", async () => {
  await using store = await filled();
  const documents = store.documents ?? assert.fail();
  documents.write = async () => {
    throw new FixityError("store-full", "The store is full.");
  };
  const warnings: string[] = [];
  const read = await walk(store, { recordIntervalMs: 0, warn: (message) => warnings.push(message) });
  assert.equal(read.length, 400);
  assert.deepEqual(warnings, ["it cannot be recorded what was verified, so --older-than will verify it again"]);
});

test("a store without documents or listings by prefix is walked without --older-than, and refused with it", async () => {
  for (const member of ["documents", "listPrefix"] as const) {
    await using store = Object.assign(await filled(), { [member]: undefined });
    await assert.rejects(planWalk(store, HOUR_MS, signal), {
      code: "invalid-option",
      message: /^--older-than needs .* this store cannot keep that: memory\. Leave the flag out\.$/,
    });
    const prefixes = await planWalk(store, null, signal);
    if (member === "listPrefix") assert.equal(prefixes, null);
    else assert.equal((await walk(store, { prefixes: prefixes ?? [] })).length, 400);
  }
});
