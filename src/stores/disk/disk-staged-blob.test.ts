import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import type { BlobStore } from "../../core/store.ts";
import { diskStore } from "../../disk.ts";
import { assertKept, content, digestOf, keep, writeAll } from "../contract/tools.ts";

const KIB = 1024;

let root: string;
let store: BlobStore;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "fixity-test-"));
  store = diskStore({ root });
});

afterEach(async () => {
  await store[Symbol.asyncDispose]();
  await rm(root, { recursive: true });
});

/** How many bytes a staged blob takes without backpressure, in chunks of this size. */
async function takenAtOnce(chunk: number): Promise<number> {
  await using staged = await store.stage();
  let taken = 0;
  for (;;) {
    const full = staged.write(new Uint8Array(chunk));
    taken += chunk;
    if (full !== undefined) {
      await full;
      return taken;
    }
    assert(taken < 2048 * KIB, "the writer meets backpressure");
  }
}

test("a writer that does not wait meets backpressure after half a megabyte", async () => {
  const taken = await takenAtOnce(64 * KIB);
  assert(taken <= 640 * KIB, `${taken} bytes`);
});

test("a writer of single bytes meets backpressure much earlier, because each chunk costs memory", async () => {
  const taken = await takenAtOnce(1);
  assert(taken <= 4 * KIB, `${taken} bytes`);
});

test("a small file is held in memory until it is committed", async () => {
  await using staged = await store.stage();
  await writeAll(staged, content(200 * KIB));
  assert.deepEqual(await readdir(root), []);
  await staged.commit(digestOf(content(200 * KIB)));
  await assertKept(store, content(200 * KIB));
});

test("small content that is already stored is written nowhere", async () => {
  await keep(store, content(1000));
  await using other = diskStore({ root });
  const before = await readdir(join(root, "staging"));
  assert.deepEqual(await keep(other, content(1000)), { existed: true });
  assert.deepEqual(await readdir(join(root, "staging")), before);
});

test("a staged blob that was committed or aborted refuses further calls", async () => {
  for (const end of ["commit", "abort"] as const) {
    const staged = await store.stage();
    await staged.write(content(10));
    await staged[end](digestOf(content(10)));
    assert.throws(() => staged.write(content(10)), { code: "internal-error" });
    await assert.rejects(staged.commit(digestOf(content(10))), { code: "internal-error" });
  }
});

test("an abort during a commit waits for it", async () => {
  const bytes = content(3000 * KIB);
  const staged = await store.stage();
  await writeAll(staged, bytes);
  const [committed] = await Promise.all([staged.commit(digestOf(bytes)), staged.abort()]);
  assert.deepEqual(committed, { existed: false });
  await assertKept(store, bytes);
});

test("an abort while bytes are being written leaves nothing", async () => {
  const staged = await store.stage();
  void staged.write(content(5000 * KIB));
  await staged.abort();
  const [instance = ""] = await readdir(join(root, "staging"));
  assert.deepEqual(await readdir(join(root, "staging", instance)), []);
});
