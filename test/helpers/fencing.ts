/**
 * Shared by the fencing tests of all stores: the successor that takes an upload over, and the codes
 * with which its predecessor may fail.
 */
import assert from "node:assert/strict";
import { type BlobStore, createFixity, FixityError, type UploadId } from "../../src/index.ts";
import { sha256 } from "./service.ts";

/** The successor's action on the upload. */
export type Successor = "completes it" | "keeps it" | "removes it";

export type Uploads = NonNullable<ReturnType<typeof createFixity>["uploads"]>;

export function uploadsOver(store: BlobStore): Uploads {
  return createFixity({ store }).uploads ?? assert.fail("the store has no uploads");
}

/** Asserts that the successor's work is still stored; `null` if it came too late to do any. */
export type Proof = (() => Promise<void>) | null;

/** An upload that is taken over. */
export interface TakeoverOptions {
  readonly successor: Successor;
  readonly id: UploadId;
  /** The saved bytes of the upload. */
  readonly saved: number;
  /** The content that the successor completes: the saved bytes and more. */
  readonly content: Buffer;
}

/** Takes an upload over from whoever holds it, through a store of the successor's own. */
export async function takeOver(store: BlobStore, options: TakeoverOptions): Promise<Proof> {
  const { successor, id, saved, content } = options;
  const uploads = uploadsOver(store);
  if (successor === "removes it") {
    await uploads.cancel(id);
    return async () => assert.equal(await store.uploads?.read(id), null);
  }
  const state = await uploads.find(id);
  if (state.outcome !== null || state.offset > saved) return null;
  const completes = successor === "completes it";
  await uploads.append(id, { offset: saved, source: [content.subarray(saved)], completes });
  return async () => {
    const { outcome } = completes
      ? await uploads.find(id)
      : await uploads.append(id, { offset: content.length, source: [], completes: true });
    assert.ok(outcome !== null && "digest" in outcome);
    assert.equal(outcome.digest.hex, sha256(content));
  };
}

/** Codes of a request whose upload another one has taken over. */
const FENCED_CODES: ReadonlySet<string> = new Set(["upload-superseded", "offset-mismatch", "inconsistent-length"]);

/**
 * The code that the fenced request failed with; `null` if it succeeded. Any other failure is thrown.
 *
 * @param at where the request was stopped
 */
export function fencedCode(result: PromiseSettledResult<unknown>, successor: Successor, at: string): string | null {
  if (result.status === "fulfilled") return null;
  assert.ok(result.reason instanceof FixityError, `${at}: ${String(result.reason)}`);
  const { code } = result.reason;
  const isGone = code === "upload-not-found" && successor === "removes it";
  if (!FENCED_CODES.has(code) && !isGone) throw new Error(at, { cause: result.reason });
  return code;
}
