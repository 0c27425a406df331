import assert from "node:assert/strict";
import { FixityError } from "../../core/errors.ts";
import type { BlobStore } from "../../core/store.ts";
import { UploadId } from "../../core/upload-id.ts";
import type { EndedUpload, HeldUpload, SavedUpload, UploadStore } from "../../core/upload-store.ts";

/** For `assert.rejects` and `assert.throws`: the error of a holder that has been fenced off. */
export const SUPERSEDED = { name: "FixityError", code: "upload-superseded" } as const;

/** The uploads of a store that must have them. */
export function uploadsOf({ uploads }: BlobStore): UploadStore {
  assert(uploads !== undefined, "the store keeps uploads");
  return uploads;
}

/** Creates an upload. */
export async function begin(uploads: UploadStore, record = "begun"): Promise<UploadId> {
  const id = UploadId.random();
  await uploads.create(id, record);
  return id;
}

/** Takes an upload that must exist. */
export async function take(uploads: UploadStore, id: UploadId, signal?: AbortSignal): Promise<HeldUpload> {
  const held = await uploads.hold(id, signal);
  assert(held?.status === "held", "the upload can be held");
  return held;
}

/** Holds an upload that must have ended. */
export async function takeEnded(uploads: UploadStore, id: UploadId): Promise<EndedUpload> {
  const ended = await uploads.hold(id);
  assert(ended?.status === "ended", "the upload is reported as ended");
  return ended;
}

/** Writes bytes like a request: in pieces, and no faster than the store takes them. */
export async function bring(held: HeldUpload, bytes: Uint8Array, piece = 65_536): Promise<void> {
  for (let start = 0; start < bytes.length; start += piece) {
    // Each piece is a copy: written bytes belong to the store.
    await held.write(new Uint8Array(bytes.subarray(start, start + piece)));
  }
}

/** A whole request: takes the upload, writes bytes, saves and releases. */
export async function append(
  uploads: UploadStore,
  id: UploadId,
  {
    bytes,
    record = "appended",
    piece,
  }: { readonly bytes: Uint8Array; readonly record?: string; readonly piece?: number },
): Promise<void> {
  await using held = await take(uploads, id);
  await bring(held, bytes, piece);
  await held.save(record);
}

/** All saved bytes from an offset on; `null` if the store cannot read them back. */
export async function savedBytes(held: HeldUpload, from?: number): Promise<Buffer | null> {
  if (held.read === undefined) return null;
  const chunks: Uint8Array[] = [];
  for await (const chunk of held.read(from)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Asserts what the last save has left, as readers and holders see it. */
export async function assertSaved(
  uploads: UploadStore,
  id: UploadId,
  { bytes, record }: { readonly bytes: Uint8Array; readonly record: string },
): Promise<void> {
  await assertRead(uploads, id, { record, offset: bytes.length });
  await using held = await take(uploads, id);
  assert.deepEqual([held.record, held.offset], [record, bytes.length]);
  const saved = await savedBytes(held);
  assert(saved === null || saved.equals(bytes), "the bytes read back are those that were saved");
}

/** Asserts that an upload has ended with this record, as readers and callers of `hold` see it. */
export async function assertEnded(uploads: UploadStore, id: UploadId, record: string): Promise<void> {
  await assertRead(uploads, id, { record, offset: 0 });
  assert.equal((await takeEnded(uploads, id)).record, record);
}

/** Asserts what the last save has left, as readers see it. */
export async function assertRead(uploads: UploadStore, id: UploadId, expected: SavedUpload): Promise<void> {
  const read = await uploads.read(id);
  assert.deepEqual({ record: read?.record, offset: read?.offset }, expected);
}

/** Asserts that no method sees an upload. */
export async function assertGone(uploads: UploadStore, id: UploadId): Promise<void> {
  assert.equal(await uploads.read(id), null);
  assert.equal(await uploads.hold(id), null);
  assert(!(await idsIn(uploads)).includes(id.hex), "not listed");
}

/** The ids of all uploads, in hex. */
export async function idsIn(uploads: UploadStore): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of uploads.list()) ids.push(id.hex);
  return ids;
}

/**
 * Asserts that every call of a fenced-off holder fails with `upload-superseded`; a write may fail
 * at a later call.
 */
export async function assertFencedOff(held: HeldUpload, bytes: Uint8Array): Promise<void> {
  assert.equal(held.takeover.aborted, true);
  assert.equal(codeOf(held.takeover.reason), SUPERSEDED.code);
  await bring(held, bytes).catch((error: unknown) => assert.equal(codeOf(error), SUPERSEDED.code));
  await assert.rejects(held.save("by a former holder"), SUPERSEDED);
  await assert.rejects(held.renew("by a former holder"), SUPERSEDED);
  await assert.rejects(held.conclude("by a former holder"), SUPERSEDED);
  await assert.rejects(held.remove(), SUPERSEDED);
}

/** The code of a `FixityError`. */
export function codeOf(error: unknown): unknown {
  return error instanceof FixityError ? error.code : error;
}
