import { delay } from "../../../base/abort-race.ts";
import type { BlobStat } from "../../../core/blob-stat.ts";
import type { Digest } from "../../../core/digest.ts";
import { FixityError } from "../../../core/errors.ts";
import type { CommitOptions, StoredVerdict } from "../../../core/staged-blob.ts";
import { uploadDamaged } from "../../../core/uploads/upload-record.ts";
import type { S3Client } from "../api/client.ts";
import { listParts } from "../api/listing.ts";
import type { MultipartId, Part } from "../api/multipart.ts";
import { type CopySource, deleteObject, headObject, type ObjectHead, putObject } from "../api/objects.ts";
import { failedWith, S3Error } from "../api/s3-error.ts";
import type { Payload } from "../api/signer.ts";
import { type Conditions, mayRefuseCondition } from "../conditions.ts";
import type { Layout } from "../layout.ts";
import type { Log } from "../options.ts";
import { type MultipartUpload, protect, type SentParts } from "../send/multipart-upload.ts";
import { isCopyOf } from "../send/uncertain-request.ts";
import { openObject } from "../s3-reader.ts";
import { withStoreErrors } from "../store-error.ts";
import type { Copy, ServerCopier, StageCopyOptions, StagedCopy } from "./server-copy.ts";

/** Milliseconds for which a blob that was not found is taken for absent without another look. */
export const ABSENCE_TRUSTED_MS = 60_000;

/**
 * Milliseconds before each further look for an object that seems to be lost: some servers show
 * objects late.
 */
export const LOOK_AGAIN_AFTER_MS = [250, 1_000, 2_000] as const;

const NO_SUCH_UPLOAD = "NoSuchUpload";

/**
 * Codes of refusals that concern the parts of an upload ("CompleteMultipartUpload" in the S3 API
 * reference).
 */
const ABOUT_PARTS: ReadonlySet<string | null> = new Set(["InvalidPart", "InvalidPartOrder", "EntityTooSmall"]);

/** A multipart upload that is to become a blob. */
export interface Publication {
  readonly multipart: MultipartUpload;
  readonly digest: Digest;
  /** Bytes in all. */
  readonly size: number;
  readonly contentType: string;
  /** The blob was not found within {@link ABSENCE_TRUSTED_MS}. A hint that saves a request. */
  readonly isKnownAbsent: boolean;
  readonly judge: CommitOptions["judge"];
  /** Ends the work, unless the completion has been sent. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Sends the bytes that are still held. For a resumable upload, also saves that the completion
   * begins.
   */
  readonly sendLast: () => Promise<void>;
  /** Present if the upload is resumable. */
  readonly resumable?: ResumablePublication;
}

/** A complete object at a staging key that is to become a blob. */
export interface StagedPublication
  extends Pick<Publication, "digest" | "size" | "contentType" | "judge" | "signal">, Pick<Copy, "isDoubtful"> {
  readonly key: string;
}

/**
 * A publication that a later holder repeats if this one fails: what it needs for that stays in
 * place until the blob exists, and nothing is aborted.
 */
export interface ResumablePublication {
  /** An earlier holder began the completion and may have done any of its steps. */
  readonly isRepeated: boolean;
  /** Sends the last part again, as large as a part with others behind it must be. */
  readonly resendLast: () => Promise<SentParts | null>;
}

/** An object that was found at the key of a blob that is committed. */
interface StoredObject {
  readonly object: ObjectHead;
  readonly verdict: StoredVerdict;
}

/**
 * Makes blobs of complete content. Every path ends with an object at the blob's own key:
 *
 * - content that fits a part: one conditional PUT ({@link putWhole});
 * - larger, digest known before the first part: a multipart upload at that key, completed only if
 *   the digest holds ({@link publish});
 * - larger, digest unknown: a multipart upload at a staging key, completed, copied by the server
 *   and removed ({@link publish});
 * - an object of another bucket: the server copies it to a staging key, and from there
 *   ({@link publishStaged});
 * - resumable uploads: the first two of more than a part, repeatable from any point.
 *
 * What is stored already is judged by {@link CommitOptions.judge} and replaced by the same requests,
 * without the condition. Then seeing an object of the right size proves nothing: it must be another
 * copy than the one that was judged.
 *
 * docs/decisions/0005 and 0007 give the reasons.
 */
export class Publisher {
  readonly #client: S3Client;
  readonly #layout: Layout;
  readonly #conditions: Conditions;
  readonly #copier: ServerCopier;
  readonly #log: Log;

  constructor(
    client: S3Client,
    layout: Layout,
    { conditions, copier, log }: { readonly conditions: Conditions; readonly copier: ServerCopier; readonly log: Log },
  ) {
    this.#client = client;
    this.#layout = layout;
    this.#conditions = conditions;
    this.#copier = copier;
    this.#log = log;
  }

  /**
   * Stores a blob by one conditional PUT. The condition saves work and leaves a stored blob as it
   * is, but proves nothing: the payload's digest, which S3 checks, proves that the bytes are right,
   * and only a HEAD with the right size that the blob existed.
   *
   * @param options once `signal` is aborted, no further attempt is made
   * @returns whether the blob existed, and was not damaged
   */
  async putWhole(
    digest: Digest,
    payload: Payload,
    options: Pick<Publication, "contentType" | "judge"> & { readonly signal: AbortSignal | undefined },
  ): Promise<boolean> {
    const { contentType, judge, signal: retrySignal } = options;
    const key = this.#layout.blob(digest);
    const conditions = this.#conditions;
    let refusal: S3Error | null = null;
    if (conditions.usesIfAbsent) {
      try {
        await putObject(this.#client, key, payload, { contentType, ifAbsent: true, retrySignal });
        conditions.noteIfAbsentMet();
        return false;
      } catch (error) {
        // The blob exists, or the server refuses for another reason.
        if (!mayRefuseCondition(error)) throw error;
        refusal = error;
      }
    }
    const stored = await this.#examine({ digest, size: payload.length, judge, signal: retrySignal });
    if (stored?.verdict === "keep") return true;
    await putObject(this.#client, key, payload, { contentType, ifAbsent: false, retrySignal });
    if (stored === null && refusal !== null) conditions.noteIfAbsentRefused(refusal);
    return stored?.verdict === "replace";
  }

  /**
   * @returns whether the blob existed, and was not damaged. If it was kept, the upload still has to
   *   be aborted
   */
  async publish(publication: Publication): Promise<boolean> {
    const { multipart, digest, isKnownAbsent, signal, sendLast, resumable } = publication;
    const key = this.#layout.blob(digest);
    const isStaged = this.#layout.isStaging(multipart.key);
    if (multipart.key !== key && !isStaged) {
      throw new FixityError("internal-error", "Another digest was announced than the one committed.");
    }
    const isRepeated = resumable?.isRepeated === true;
    // Looks before the last part is sent: a stored blob need not be uploaded to its end.
    const needsLook = isStaged || isRepeated || !isKnownAbsent;
    const stored = needsLook ? await this.#examine(publication) : null;
    // A repeated publication has most likely made the object itself, and could not make it again.
    if (stored?.verdict === "keep" || (isRepeated && stored?.verdict === "replace")) {
      if (isRepeated && isStaged) await this.discard(multipart.key);
      return true;
    }
    const replaced = stored?.object ?? null;
    await sendLast();
    await multipart.flush(signal);
    signal?.throwIfAborted();
    // From here on nothing is cut off: the result would be unknown.
    if (isStaged) await this.#completeAndMove(publication, key, replaced);
    else await this.#complete(publication, replaced);
    return stored?.verdict === "replace";
  }

  /**
   * Has the server copy an object of another bucket to a staging key, and opens the copy. The caller
   * publishes or discards it.
   *
   * @returns `null` if the server reports success, but has made no such copy
   */
  async stageCopy(from: CopySource, options: StageCopyOptions): Promise<StagedCopy | null> {
    const { size, contentType, signal } = options;
    const key = this.#layout.newStaging();
    const unprotect = protect(key);
    let isStaged = false;
    try {
      const { isInferred } = await this.#copier.copy({ from, to: key, size, contentType, isDoubtful: false });
      const bytes = await withStoreErrors(() => openObject(this.#client, key, { signal }));
      isStaged = bytes?.size === size;
      if (bytes !== null && isStaged) return { key, bytes, isDoubtful: isInferred, unprotect };
      await bytes?.[Symbol.asyncDispose]();
      return null;
    } finally {
      if (!isStaged) {
        await this.discard(key);
        unprotect();
      }
    }
  }

  /**
   * Makes a blob of a complete object at a staging key, and removes that object, unless a copy
   * without an answer may still be reading it.
   *
   * @returns whether the blob existed, and was not damaged
   */
  async publishStaged(publication: StagedPublication): Promise<boolean> {
    const { key, digest, size, contentType, isDoubtful, signal } = publication;
    const unprotect = protect(key);
    let isUnused = true;
    try {
      const stored = await this.#examine(publication);
      if (stored?.verdict === "keep") return true;
      signal?.throwIfAborted();
      isUnused = false;
      const replaced = stored?.object ?? null;
      const copy = { from: { key }, to: this.#layout.blob(digest), size, contentType, isDoubtful, replaced };
      isUnused = !(await this.#copier.copy(copy)).isInferred;
      return stored?.verdict === "replace";
    } catch (error) {
      isUnused ||= error instanceof S3Error && error.isRefusal;
      throw error;
    } finally {
      if (isUnused) await this.discard(key);
      unprotect();
    }
  }

  async #completeAndMove(publication: Publication, key: string, replaced: ObjectHead | null): Promise<void> {
    const { multipart, size, contentType, resumable } = publication;
    const from = multipart.key;
    const unprotect = protect(from);
    let isCompleted = false;
    try {
      const isDoubtful = await this.#complete(publication, null);
      isCompleted = true;
      const copy = { from: { key: from }, to: key, size, contentType, isDoubtful, replaced };
      const { isInferred } = await this.#copier.copy(copy);
      // A copy that was found before it was confirmed may still be reading. Its source is left to
      // the collector.
      if (!isInferred) await this.discard(from);
    } catch (error) {
      // The staged object stays if a later holder needs it, or if a copy without an answer may
      // still be reading it.
      if (resumable === undefined && error instanceof S3Error && error.isRefusal) await this.discard(from);
      else if (resumable === undefined || isCompleted) {
        if (isCopyOf(size, await headObject(this.#client, key), replaced)) return;
      }
      throw error;
    } finally {
      unprotect();
    }
  }

  /**
   * Completes the upload. For a resumable one it decides which failures are final:
   *
   * | answer to the completion | then |
   * | --- | --- |
   * | 5xx, 408, 429, a transient code, or none | not final: the next request tries again |
   * | 403, 412 and every other refusal | not final: it may be a setting that is corrected |
   * | `InvalidPart`, `InvalidPartOrder`, `EntityTooSmall` | the parts are listed. Another tag than the part was sent with is final. Otherwise the completion is sent once more, and the same refusal is final |
   * | `NoSuchUpload` | the object is looked for, for some seconds. If it is not found, and listing the parts fails in the same way, that is final |
   *
   * @param replaced what is at the upload's key and is to be replaced
   * @returns whether the object is doubtful: its completion was never confirmed, or it has more
   *   bytes
   * @throws FixityError `upload-damaged` if the failure is final
   */
  async #complete({ multipart, size, resumable }: Publication, replaced: ObjectHead | null): Promise<boolean> {
    if (resumable === undefined) return (await multipart.complete({ replaced })).isInferred;
    if (resumable.isRepeated && this.#layout.isStaging(multipart.key)) {
      const found = await headObject(this.#client, multipart.key);
      if (found !== null && found.size >= size) return true;
    }
    try {
      return (await multipart.complete({ replaced })).isInferred;
    } catch (error) {
      if (isAboutParts(error)) await this.#completeAgain(multipart, resumable, replaced);
      else if (failedWith(error, 404) && error.code === NO_SUCH_UPLOAD)
        await this.#findCompleted(multipart, { size, replaced, error });
      else throw error;
      return true;
    }
  }

  /** Sends the completion once more after the server has refused the list of parts. */
  async #completeAgain(
    multipart: MultipartUpload,
    { resendLast }: ResumablePublication,
    replaced: ObjectHead | null,
  ): Promise<void> {
    const sent = await resendLast();
    const strays = sent === null ? [] : await this.#strayParts(sent);
    // At the blob's own key the length was announced, so every possible part is named.
    const parts = sent === null || !this.#layout.isStaging(multipart.key) ? undefined : [...sent.parts, ...strays];
    try {
      await multipart.complete({ parts, replaced });
    } catch (error) {
      throw isAboutParts(error) ? uploadDamaged(error) : error;
    }
  }

  /**
   * Parts behind the last one that the record names, sent by a holder that died before it saved
   * them. AWS leaves out the parts that a completion does not list, Ceph refuses such a list: so
   * they are listed, and left out of the copy.
   */
  async #strayParts(sent: SentParts): Promise<readonly Part[]> {
    const strays: Part[] = [];
    for await (const { items } of listParts(this.#client, sent.id)) {
      for (const part of items) {
        const known = sent.parts[part.number - 1];
        if (known === undefined) strays.push(part);
        else if (known.etag !== part.etag) throw uploadDamaged();
      }
    }
    return strays;
  }

  /** Returns if an upload that S3 no longer knows was completed; throws otherwise. */
  async #findCompleted(
    multipart: MultipartUpload,
    { size, replaced, error }: { readonly size: number; readonly replaced: ObjectHead | null; readonly error: S3Error },
  ): Promise<void> {
    for (const pause of LOOK_AGAIN_AFTER_MS) {
      await delay(pause);
      const found = await headObject(this.#client, multipart.key);
      if (found !== null && found.size >= size && isCopyOf(found.size, found, replaced)) return;
    }
    const { id } = await multipart.sent();
    throw (await this.isGone(id)) ? uploadDamaged(error) : error;
  }

  /** Whether S3 reports that it does not know a multipart upload. */
  async isGone(id: MultipartId): Promise<boolean> {
    try {
      for await (const _ of listParts(this.#client, id)) return false;
      return false;
    } catch (error) {
      if (failedWith(error, 404) && error.code === NO_SUCH_UPLOAD) return true;
      throw error;
    }
  }

  /** What is to be done with the object that is stored; `null` if there is none. Logs damage. */
  async #examine({
    digest,
    size,
    judge,
    signal,
  }: Pick<Publication, "digest" | "size" | "judge" | "signal">): Promise<StoredObject | null> {
    const key = this.#layout.blob(digest);
    // Once the signal is aborted, no further attempt is made.
    const object = await headObject(this.#client, key, { retrySignal: signal });
    if (object === null) return null;
    const isWhole = object.size === size;
    const verdict = isWhole ? ((await judge?.(statOf(digest, object))) ?? "keep") : "damaged";
    if (verdict === "damaged") {
      const fault = isWhole ? "other bytes than its name says" : `${object.size} bytes, not ${size}`;
      this.#log("a damaged blob is replaced", new Error(`${key} has ${fault}`));
    }
    return { object, verdict };
  }

  /** Removes a staged object. Does not fail: the collector removes what is left over. */
  async discard(key: string): Promise<void> {
    try {
      await deleteObject(this.#client, key, { retryPolicy: "short" });
    } catch (error) {
      this.#log("a staged object could not be removed", error);
    }
  }
}

/** The facts of a blob from those of its object. */
export function statOf(digest: Digest, { size, modified, identity }: ObjectHead): BlobStat {
  return { digest, size, modified, ...(identity !== null && { identity }) };
}

function isAboutParts(error: unknown): boolean {
  return failedWith(error, 400) && ABOUT_PARTS.has(error.code);
}
