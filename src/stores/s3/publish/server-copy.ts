import { mapConcurrent } from "../../../base/map-concurrent.ts";
import { answeredOrFound } from "./answered-or-found.ts";
import type { CopyPace } from "./copy-pace.ts";
import { TOO_LARGE_TO_COPY } from "../faults.ts";
import { type Completion, MultipartUpload, type UploadContext } from "../send/multipart-upload.ts";
import type { Part } from "../api/multipart.ts";
import { copyObject, headObject } from "../api/objects.ts";
import { failedWith, S3Error } from "../api/s3-error.ts";

/** Statuses by which servers say that they cannot make parts by copying (Google Cloud Storage, others behind gateways). */
const NO_PART_COPIES = [400, 405, 501] as const;

/**
 * Milliseconds that one CopyObject may take for an object that could be copied in parts, at the best pace of the server. In
 * parts every byte is copied, also where the server could share them: on Ceph 512 MiB take 3 s of its processors that way.
 */
const PATIENCE = 2_000;

/** How objects are copied inside the bucket. */
export interface CopyLimits {
  /** Up to so many bytes by one CopyObject in any case. */
  readonly wholeUpTo: number;
  /** The same while nothing is known of the server's pace: a copy that tells it. */
  readonly wholeUntried: number;
  /** Bytes of the largest object that one CopyObject takes. */
  readonly wholeAtMost: number;
  /** Bytes of a part, at least. */
  readonly partSize: number;
  readonly maxParts: number;
  /** Parts at once. */
  readonly concurrency: number;
}

/** What is copied where. */
export interface CopyJob {
  readonly from: string;
  readonly to: string;
  /** Bytes. */
  readonly size: number;
  readonly contentType: string;
  /**
   * The source was found to be there after a completion that was never confirmed. Some servers (Ceph) let a whole copy share
   * the bytes of its source, and forget them should the doubtful upload ever be aborted; parts are copied in earnest.
   */
  readonly isDoubtful: boolean;
}

/**
 * Copies an object without its bytes coming here. When it returns, the copy is there; where it throws, perhaps. There must
 * have been no object of this size under the new key.
 */
export async function copyInside(context: UploadContext, limits: CopyLimits, job: CopyJob): Promise<Completion> {
  if (job.size <= mostWhole(context.copyPace, limits) && !job.isDoubtful) return await copyWhole(context, job);
  try {
    return await copyInParts(context, limits, job);
  } catch (error) {
    if (!(failedWith(error, ...NO_PART_COPIES) && error.operation === "UploadPartCopy") || job.isDoubtful) throw error;
    if (job.size <= limits.wholeAtMost) return await copyWhole(context, job);
    throw new S3Error({ operation: "CopyObject", status: error.status, code: TOO_LARGE_TO_COPY, cause: error });
  }
}

/** Bytes of the largest object that is copied whole where parts can be had as well. */
function mostWhole(pace: CopyPace, { wholeUpTo, wholeUntried, wholeAtMost }: CopyLimits): number {
  const quick = pace.bytesWithin(PATIENCE) ?? wholeUntried;
  return Math.max(wholeUpTo, Math.min(quick, wholeAtMost));
}

async function copyWhole({ client, copyPace }: UploadContext, { from, to, size }: CopyJob): Promise<Completion> {
  const begun = performance.now();
  const outcome = await answeredOrFound({
    send: (signal) => copyObject(client, from, { to, signal }),
    look: async (signal) => (await headObject(client, to, { signal, patience: "quick" }))?.size === size,
    every: client.lookEvery,
  });
  copyPace.note(size, performance.now() - begun);
  return { isInferred: outcome === null };
}

async function copyInParts(context: UploadContext, limits: CopyLimits, job: CopyJob): Promise<Completion> {
  const upload = await MultipartUpload.begin(context, job.to, { contentType: job.contentType });
  try {
    return await upload.complete(await copyParts(upload, limits, job), job.size);
  } catch (error) {
    await upload.abort();
    throw error;
  }
}

async function copyParts(upload: MultipartUpload, limits: CopyLimits, { from, size }: CopyJob): Promise<Part[]> {
  const partSize = Math.max(limits.partSize, Math.ceil(size / limits.maxParts));
  const count = Math.ceil(size / partSize);
  const failed = new AbortController();
  // No part is being copied any more when this settles: only then may the upload be aborted.
  return await mapConcurrent(partNumbers(count), limits.concurrency, async (number) => {
    const first = (number - 1) * partSize;
    const last = Math.min(first + partSize, size) - 1;
    try {
      return await upload.copy(number, { key: from, first, last, signal: failed.signal });
    } catch (error) {
      failed.abort(error);
      throw error;
    }
  });
}

function* partNumbers(count: number): Generator<number> {
  for (let number = 1; number <= count; number += 1) yield number;
}
