import type { Digest } from "../../../core/digest.ts";
import { FixityError } from "../../../core/errors.ts";
import type { Payload } from "../api/client.ts";
import type { KnownAbsent } from "./known-absent.ts";
import type { LargeUpload } from "../send/large-upload.ts";
import type { Layout } from "../layout.ts";
import type { UploadContext } from "../send/multipart-upload.ts";
import { keepAlive } from "../send/live-uploads.ts";
import { deleteObject, headObject } from "../api/objects.ts";
import { S3Error } from "../api/s3-error.ts";
import { type CopyLimits, copyInside } from "./server-copy.ts";
import type { WholePut } from "../send/whole-put.ts";

/** What a publisher works with. */
export interface PublisherParts {
  readonly context: UploadContext;
  readonly layout: Layout;
  readonly wholePut: WholePut;
  readonly knownAbsent: KnownAbsent;
  readonly copyLimits: CopyLimits;
}

/** The end of a large upload. */
export interface LargeEnd {
  readonly contentType: string;
  /** Bytes in all. */
  readonly size: number;
  readonly signal: AbortSignal | undefined;
  /** Sends the part that is still held. */
  readonly sendLast: () => Promise<void>;
}

/** Makes blobs of bytes that are all there. Each way ends with an object at the blob's own key. */
export class Publisher {
  readonly #parts: PublisherParts;

  constructor(parts: PublisherParts) {
    this.#parts = parts;
  }

  /**
   * @param options `signal` begins no other attempt once it is aborted
   * @returns whether it was there before, whole
   */
  async putWhole(
    digest: Digest,
    payload: Payload,
    options: { readonly contentType: string; readonly signal: AbortSignal | undefined },
  ): Promise<boolean> {
    const { wholePut, layout } = this.#parts;
    this.#parts.knownAbsent.forget(digest);
    return wholePut.put(layout.blob(digest), payload, options);
  }

  /** @returns whether it was there before, whole */
  async publish(large: LargeUpload, digest: Digest, end: LargeEnd): Promise<boolean> {
    const { layout, knownAbsent } = this.#parts;
    const key = layout.blob(digest);
    if (large.key !== key && !layout.isStaging(large.key)) {
      throw new FixityError("internal-error", "Another digest was announced than the one committed.");
    }
    const isKnownAbsent = large.key === key && knownAbsent.has(digest);
    // Before the last part: what is there already need not be sent to its end.
    if (!isKnownAbsent && (await this.isThere(key, end.size, end.signal))) {
      await large.abort(new FixityError("upload-aborted", "The content was there already."));
      return true;
    }
    await end.sendLast();
    await large.flush(end.signal);
    end.signal?.throwIfAborted();
    // From here on nothing is cut off: nobody could tell what had been done.
    knownAbsent.forget(digest);
    if (large.key === key) await large.complete();
    else await this.#completeAndMove(large, key, end);
    return false;
  }

  async #completeAndMove(large: LargeUpload, key: string, { size, contentType }: LargeEnd): Promise<void> {
    const { context, copyLimits } = this.#parts;
    const forget = keepAlive(large.key);
    try {
      const { isInferred: isDoubtful } = await large.complete();
      const copy = await copyInside(context, copyLimits, { from: large.key, to: key, size, contentType, isDoubtful });
      // A copy that was found before it was confirmed may still be reading: its source is left to the collector.
      if (!copy.isInferred) await this.discard(large.key);
    } catch (error) {
      // A copy whose answer is missing may still be under way, and reading: what it reads is left to the collector.
      if (error instanceof S3Error && error.isRefusal) await this.discard(large.key);
      else if (await this.isThere(key, size)) return;
      throw error;
    } finally {
      forget();
    }
  }

  /**
   * Whether there is an object of the right size; a wrong size is logged.
   *
   * @param lastAttempt begins no other attempt once it is aborted
   */
  async isThere(key: string, size: number, lastAttempt?: AbortSignal): Promise<boolean> {
    const found = await headObject(this.#parts.context.client, key, { lastAttempt });
    if (found === null || found.size === size) return found !== null;
    this.#parts.context.log("a damaged blob is replaced", new Error(`${key} has ${found.size} bytes, not ${size}`));
    return false;
  }

  /** Removes a staged object. Does not fail: what is left over is collected in the end. */
  async discard(key: string): Promise<void> {
    try {
      await deleteObject(this.#parts.context.client, key, { patience: "reader" });
    } catch (error) {
      this.#parts.context.log("a staged object could not be removed", error);
    }
  }
}
