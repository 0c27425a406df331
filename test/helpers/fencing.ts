/** What the fencing tests of all stores share: the successor that takes an upload over, and what its predecessor may hear. */
import assert from "node:assert/strict";
import { type BlobStore, createFixity, FixityError, type UploadId } from "../../src/index.ts";
import { sha256 } from "./service.ts";

/** What the successor does with the upload. */
export type Successor = "completes it" | "keeps it" | "removes it";

export type Uploads = NonNullable<ReturnType<typeof createFixity>["uploads"]>;

export function uploadsOver(store: BlobStore): Uploads {
  return createFixity({ store }).uploads ?? assert.fail("the store has no uploads");
}

/** Proves that what the successor did has lasted; `null` where it came too late to do anything. */
export type Proof = (() => Promise<void>) | null;

/** An upload that is taken over. */
export interface TakeoverOptions {
  readonly successor: Successor;
  readonly id: UploadId;
  /** Bytes that the upload has. */
  readonly saved: number;
  /** What the successor makes of it: the saved bytes, and more. */
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

/** Codes that tell a request that another one has taken its upload over. */
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
