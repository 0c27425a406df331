import { mapConcurrent } from "../../../base/map-concurrent.ts";
import { FixityError } from "../../../core/errors.ts";
import type { BlobReader } from "../../../core/store.ts";
import type { S3Client } from "../api/client.ts";
import { MIN_PART_BYTES } from "../api/multipart.ts";
import { copyObject, type CopySource, headObject, type ObjectHead } from "../api/objects.ts";
import { failedWith, S3Error } from "../api/s3-error.ts";
import type { ResolvedS3Options } from "../options.ts";
import { MultipartUpload } from "../send/multipart-upload.ts";
import { answeredOrFound, type Completion, isCopyOf } from "../send/uncertain-request.ts";
import { TOO_LARGE_TO_COPY } from "../store-error.ts";

/**
 * Statuses by which servers refuse to copy parts (Google Cloud Storage, others behind gateways).
 */
const NO_PART_COPIES = [400, 405, 501] as const;

/**
 * Milliseconds that one CopyObject may take, at the best rate of the server, for an object that
 * could also be copied in parts. Part copies move every byte even where the server could share
 * them: on Ceph 512 MiB take 3 s of processor time that way.
 */
const WHOLE_COPY_MAX_MS = 2_000;

export interface Copy {
  readonly from: CopySource;
  readonly to: string;
  /** Bytes. */
  readonly size: number;
  /** Of the source, unless that is in another bucket: its metadata are replaced. */
  readonly contentType: string;
  /**
   * The completion of the source was never confirmed. Some servers (Ceph) let a whole copy share
   * the bytes of its source, and lose them should that upload be aborted after all. Part
   * copies always copy the bytes.
   */
  readonly isDoubtful: boolean;
  /** What is at the new key and is to be replaced. */
  readonly replaced?: ObjectHead | null;
}

/** What is copied to a staging key. */
export interface StageCopyOptions extends Pick<Copy, "size" | "contentType"> {
  readonly signal: AbortSignal;
}

/** A copy at a staging key that the server has made. */
export interface StagedCopy extends Pick<Copy, "isDoubtful"> {
  readonly key: string;
  readonly bytes: BlobReader;
  /** Must be called once the object was published or discarded: until then it is in use. */
  readonly unprotect: () => void;
}

/**
 * Copies objects inside the bucket, and from others into it, whole or in parallel parts, whichever is faster on the server.
 */
export class ServerCopier {
  readonly #client: S3Client;
  readonly #options: ResolvedS3Options;
  readonly #rate: CopyRate;

  constructor(client: S3Client, options: ResolvedS3Options, rate: CopyRate = new CopyRate()) {
    this.#client = client;
    this.#options = options;
    this.#rate = rate;
  }

  /**
   * When it returns, the copy exists; when it throws, perhaps. There must have been no object of
   * this size at the new key, except `replaced`.
   */
  async copy(copy: Copy): Promise<Completion> {
    const { copyLimits } = this.#options;
    if (copy.size <= this.#wholeCopyMaxBytes && !copy.isDoubtful) return await this.#copyWhole(copy);
    try {
      return await this.#copyInParts(copy, copyLimits.partSize);
    } catch (error) {
      const isUnsupported = failedWith(error, ...NO_PART_COPIES) && error.operation === "UploadPartCopy";
      if (!isUnsupported || copy.isDoubtful) throw error;
      if (copy.size <= copyLimits.wholeAtMost) return await this.#copyWhole(copy);
      throw new S3Error({ operation: "CopyObject", status: error.status, code: TOO_LARGE_TO_COPY, cause: error });
    }
  }

  /**
   * Replaces an object by a copy of itself with another number of parts. Readers see no difference
   * but the entity tag, which proves that the object no longer shares the bytes of the upload that
   * it was made of.
   *
   * @param count parts that the object was made of
   * @throws FixityError `store-unavailable` if the object has not been replaced
   */
  async remake(key: string, object: ObjectHead, count: number): Promise<void> {
    const { size, contentType, etag } = object;
    const partSize = otherPartSize(this.#options.copyLimits.partSize, size, count);
    await this.#copyInParts({ from: { key }, to: key, size, contentType, isDoubtful: true }, partSize);
    const replaced = await headObject(this.#client, key);
    if (replaced === null || replaced.size !== size || replaced.etag === null || replaced.etag === etag) {
      throw new FixityError("store-unavailable", "The store did not replace the object by a copy of itself.");
    }
  }

  /** Bytes of the largest object that is copied whole although it could be copied in parts. */
  get #wholeCopyMaxBytes(): number {
    const { wholeUpTo, wholeUntried, wholeAtMost } = this.#options.copyLimits;
    const quick = this.#rate.bytesWithin(WHOLE_COPY_MAX_MS) ?? wholeUntried;
    return Math.max(wholeUpTo, Math.min(quick, wholeAtMost));
  }

  async #copyWhole({ from, to, size, contentType, replaced = null }: Copy): Promise<Completion> {
    const client = this.#client;
    const metadata = from.bucket === undefined ? {} : { contentType };
    const start = performance.now();
    const completion = await answeredOrFound({
      send: (signal) => copyObject(client, from, { to, ...metadata, signal }),
      find: async (signal) => isCopyOf(size, await headObject(client, to, { signal, retryPolicy: "check" }), replaced),
      intervalMs: client.lookIntervalMs,
    });
    this.#rate.add(size, performance.now() - start);
    return completion;
  }

  async #copyInParts({ from, to, size, contentType, replaced = null }: Copy, minPartSize: number): Promise<Completion> {
    const { maxParts, concurrency } = this.#options.copyLimits;
    const partSize = Math.max(minPartSize, Math.ceil(size / maxParts));
    const starts = Array.from({ length: Math.ceil(size / partSize) }, (_, index) => index * partSize);
    const upload = new MultipartUpload(this.#client, { ...this.#options, key: to, contentType });
    const stop = new AbortController();
    try {
      const parts = await mapConcurrent(starts, concurrency, async (first, index) => {
        try {
          const last = Math.min(first + partSize, size) - 1;
          return await upload.copy(index + 1, { from, first, last, signal: stop.signal });
        } catch (error) {
          stop.abort(error);
          throw error;
        }
      });
      return await upload.complete({ parts, replaced });
    } catch (error) {
      await upload.abort(error);
      throw error;
    }
  }
}

/** A part size that yields more, or fewer, than `count` parts. */
function otherPartSize(partSize: number, size: number, count: number): number {
  if (Math.ceil(size / partSize) !== count) return partSize;
  return count === 1 ? Math.max(MIN_PART_BYTES, Math.ceil(size / 2)) : partSize * 2;
}

/**
 * How fast a server copies whole objects. Some only note that two objects share their bytes (Ceph:
 * 320 MiB in 67 ms), others copy them one after another (AWS). The best rate seen counts: a slower
 * copy had to wait for something else.
 */
export class CopyRate {
  /** Bytes per millisecond. */
  #best: number | null = null;

  add(bytes: number, milliseconds: number): void {
    this.#best = Math.max(this.#best ?? 0, bytes / Math.max(milliseconds, 1));
  }

  /** Bytes that are copied within a time; `null` before the first copy. */
  bytesWithin(milliseconds: number): number | null {
    return this.#best === null ? null : this.#best * milliseconds;
  }
}
