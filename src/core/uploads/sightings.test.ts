import assert from "node:assert/strict";
import { test } from "node:test";
import { ANONYMOUS } from "../../access/principal.ts";
import { memoryStore } from "../../memory.ts";
import { createFixity } from "../fixity.ts";
import type { BlobStore } from "../store.ts";
import { UploadId } from "../upload-id.ts";
import { NO_TERMS } from "../upload-terms.ts";
import type { AppendOptions } from "./upload-options.ts";
import type { Uploads } from "./uploads.ts";

const ALICE = { kind: "app", name: "alice" } as const;
const ALICES = { ...NO_TERMS, owner: ALICE };

function uploadsOver(store: BlobStore): Uploads {
  return createFixity({ store }).uploads ?? assert.fail("no uploads are kept");
}

/** A memory store that counts the reads of records. */
function countingStore(): { readonly store: BlobStore; readonly count: { reads: number } } {
  const store = memoryStore();
  const uploads = store.uploads ?? assert.fail("no uploads are kept");
  const count = { reads: 0 };
  const read = uploads.read.bind(uploads);
  uploads.read = (...args) => {
    count.reads += 1;
    return read(...args);
  };
  return { store, count };
}

function sent(offset: number, text: string, more: Partial<AppendOptions> = {}): AppendOptions {
  return { offset, source: [Buffer.from(text)], completes: false, ...more };
}

test("a look shows whose upload it is and what it is of, without taking it", async () => {
  const { store } = countingStore();
  const uploads = uploadsOver(store);
  const { id, owner } = await uploads.create({ filename: "a.txt", length: 5, terms: ALICES });
  assert.deepEqual(owner, ALICE);
  await uploads.append(id, sent(0, "hel"));
  const seen = await uploadsOver(store).look(id);
  assert.deepEqual(
    [seen.id, seen.owner, seen.name, seen.extension, seen.length, seen.offset],
    [id, ALICE, "a.txt", "txt", 5, 3],
  );
  const anonymous = await uploads.create({});
  assert.deepEqual((await uploads.look(anonymous.id)).owner, ANONYMOUS);
  await uploads.append(id, sent(3, "lo", { completes: true }));
  const ended = await uploads.look(id);
  assert.deepEqual([ended.owner, ended.length, ended.offset], [ALICE, 5, 5]);
});

test("an upload that does not exist cannot be seen", async () => {
  const { store } = countingStore();
  await assert.rejects(uploadsOver(store).look(UploadId.random()), { code: "upload-not-found" });
});

test("an upload whose bytes are damaged still belongs to its creator", async () => {
  const { store } = countingStore();
  const kept = store.uploads ?? assert.fail("no uploads are kept");
  const read = kept.read.bind(kept);
  kept.read = async (...args) => {
    const found = await read(...args);
    return found && { ...found, isDamaged: true };
  };
  const { id } = await uploadsOver(store).create({ terms: ALICES });
  assert.deepEqual((await uploadsOver(store).look(id)).owner, ALICE);
});

test("what was seen saves the read of the request that follows", async () => {
  const { store, count } = countingStore();
  const uploads = uploadsOver(store);
  const { id } = await uploads.create({});
  const seen = await uploads.look(id);
  assert.equal(count.reads, 1);
  await uploads.find(id, { seen });
  await uploads.append(id, sent(0, "hello", { seen }));
  assert.equal(count.reads, 1);
  await uploads.cancel(id, { seen: await uploads.look(id) });
  assert.equal(count.reads, 2);
  await assert.rejects(uploads.find(id), { code: "upload-not-found" });
});

test("an append to an upload that has grown since it was seen is refused", async () => {
  const { store } = countingStore();
  const uploads = uploadsOver(store);
  const { id } = await uploads.create({});
  const seen = await uploads.look(id);
  await uploadsOver(store).append(id, sent(0, "hel"));
  await assert.rejects(uploads.append(id, sent(0, "hel", { seen })), { code: "offset-mismatch" });
  assert.equal((await uploads.append(id, sent(3, "lo", { seen }))).offset, 5);
});

test("an upload that has ended since it was seen returns its outcome", async () => {
  const { store } = countingStore();
  const uploads = uploadsOver(store);
  const { id } = await uploads.create({});
  await uploads.append(id, sent(0, "hello"));
  const seen = await uploads.look(id);
  await uploadsOver(store).append(id, sent(5, "", { completes: true }));
  const { outcome } = await uploads.append(id, sent(5, "", { seen }));
  assert.ok(outcome !== null && "digest" in outcome);
});

test("an upload that was cancelled since it was seen is not found", async () => {
  const { store } = countingStore();
  const uploads = uploadsOver(store);
  const { id } = await uploads.create({});
  const seen = await uploads.look(id);
  await uploadsOver(store).cancel(id);
  await assert.rejects(uploads.append(id, sent(0, "hello", { seen })), { code: "upload-not-found" });
  await assert.rejects(uploads.cancel(id, { seen }), { code: "upload-not-found" });
});

test("an upload of which a blob is being made here is seen without a read", async () => {
  const { store, count } = countingStore();
  const kept = store.uploads ?? assert.fail("no uploads are kept");
  const { promise: mayCommit, resolve: letCommit } = Promise.withResolvers<void>();
  const { promise: isCommitting, resolve: commits } = Promise.withResolvers<void>();
  const hold = kept.hold.bind(kept);
  kept.hold = async (...args) => {
    const held = await hold(...args);
    if (held?.status !== "held") return held;
    const commit = held.commit.bind(held);
    held.commit = async (...rest) => {
      commits();
      await mayCommit;
      return commit(...rest);
    };
    return held;
  };
  const uploads = uploadsOver(store);
  const { id } = await uploads.create({ terms: ALICES });
  const append = uploads.append(id, sent(0, "hello", { completes: true }));
  await isCommitting;
  const before = count.reads;
  const seen = await uploads.look(id);
  assert.deepEqual([seen.owner, seen.offset, count.reads], [ALICE, 5, before]);
  const finding = uploads.find(id, { seen });
  letCommit();
  for (const { outcome } of [await append, await finding]) assert.ok(outcome !== null && "digest" in outcome);
  assert.equal(count.reads, before);
});
