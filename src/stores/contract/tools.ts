import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Digest } from "../../core/digest.ts";
import { FixityError } from "../../core/errors.ts";
import type { Committed, StagedBlob } from "../../core/staged-blob.ts";
import type { BlobStat } from "../../core/blob-stat.ts";
import type { BlobReader, BlobStore } from "../../core/store.ts";

/** What {@link content} made last: rules ask for the same again and again, and it takes longer than most stores do. */
const made = new Map<string, Buffer>();
const MADE_MAX_BYTES = 32 * 1024 ** 2;

/** Bytes that look random and are the same for the same seed. */
export function content(size: number, seed = 1): Buffer {
  const key = `${size} ${seed}`;
  const known = made.get(key);
  // A copy: rules change what they get.
  if (known !== undefined) return Buffer.from(known);
  const bytes = makeContent(size, seed);
  let kept = size;
  for (const { length } of made.values()) kept += length;
  if (kept > MADE_MAX_BYTES) made.clear();
  made.set(key, Buffer.from(bytes));
  return bytes;
}

function makeContent(size: number, seed: number): Buffer {
  const bytes = Buffer.alloc(size);
  let state = seed * 2_654_435_761 + 1;
  for (let index = 0; index < size; index += 1) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) | 0;
    bytes[index] = state >>> 16;
  }
  return bytes;
}

/** The digest of bytes. */
export function digestOf(bytes: Uint8Array): Digest {
  const digest = Digest.fromBytes(createHash("sha256").update(bytes).digest());
  assert(digest !== null);
  return digest;
}

/** Writes bytes like a request: in pieces, and no faster than the store takes them. */
export async function writeAll(staged: StagedBlob, bytes: Uint8Array, piece = 65_536): Promise<void> {
  for (let start = 0; start < bytes.length; start += piece) {
    // Each piece is a copy: written bytes belong to the store.
    await staged.write(new Uint8Array(bytes.subarray(start, start + piece)));
  }
}

/** Stages and commits bytes. */
export async function keep(store: BlobStore, bytes: Uint8Array, piece?: number): Promise<Committed> {
  await using staged = await store.stage();
  await writeAll(staged, bytes, piece);
  return staged.commit(digestOf(bytes));
}

/** All bytes of a reader. */
export async function readAll(reader: BlobReader): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of reader) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Opens a blob that must exist. */
export async function openExisting(store: BlobStore, digest: Digest): Promise<BlobReader> {
  const reader = await store.open(digest);
  assert(reader !== null, "the blob can be opened");
  return reader;
}

/** Asserts that a blob can be read, listed and confirmed, and has exactly these bytes. */
export async function assertKept(store: BlobStore, bytes: Uint8Array): Promise<void> {
  const digest = digestOf(bytes);
  await using reader = await openExisting(store, digest);
  assert.equal(reader.size, bytes.length);
  assert.deepEqual(reader.span, { start: 0, end: bytes.length });
  assert((await readAll(reader)).equals(bytes), "the bytes read are those that were written");
  assert.equal((await store.stat(digest))?.size, bytes.length);
  assert.equal((await store.confirm(digest))?.size, bytes.length);
  assert.equal((await listed(store)).filter((stat) => stat.digest.equals(digest)).length, 1, "listed once");
}

/** Asserts that no method sees a blob. */
export async function assertAbsent(store: BlobStore, digest: Digest): Promise<void> {
  assert.equal(await store.stat(digest), null);
  assert.equal(await store.confirm(digest), null);
  assert.equal(await store.open(digest), null);
  assert(!(await listed(store)).some((stat) => stat.digest.equals(digest)), "not listed");
}

/** Everything that `list` yields. */
export async function listed(store: BlobStore): Promise<BlobStat[]> {
  const stats: BlobStat[] = [];
  for await (const stat of store.list()) stats.push(stat);
  return stats;
}

/** For `assert.rejects`: a `FixityError` with a code that stores use. */
export function isStoreFailure(error: unknown): boolean {
  return error instanceof FixityError && (error.code.startsWith("store-") || error.code === "blob-damaged");
}
