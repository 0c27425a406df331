import { TOO_LARGE_TO_COPY } from "./faults.ts";
import { MultipartUpload, type UploadContext } from "./multipart-upload.ts";
import type { Part } from "./multipart.ts";
import { copyObject } from "./objects.ts";
import { failedWith, S3Error } from "./s3-error.ts";

/** Statuses by which servers say that they cannot make parts by copying (Google Cloud Storage, others behind gateways). */
const NO_PART_COPIES = [400, 405, 501] as const;

/** How objects are copied inside the bucket. */
export interface CopyLimits {
  /** Up to so many bytes by one CopyObject, beyond by parts in parallel. */
  readonly wholeUpTo: number;
  /** Bytes of the largest object that one CopyObject takes, where parts cannot be had. */
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

/** Copies an object without its bytes coming here. When it returns, the copy is there; where it throws, perhaps. */
export async function copyInside(context: UploadContext, limits: CopyLimits, job: CopyJob): Promise<void> {
  if (job.size <= limits.wholeUpTo && !job.isDoubtful) return copyObject(context.client, job.from, job.to);
  try {
    await copyInParts(context, limits, job);
  } catch (error) {
    if (!(failedWith(error, ...NO_PART_COPIES) && error.operation === "UploadPartCopy") || job.isDoubtful) throw error;
    if (job.size <= limits.wholeAtMost) return copyObject(context.client, job.from, job.to);
    throw new S3Error({ operation: "CopyObject", status: error.status, code: TOO_LARGE_TO_COPY, cause: error });
  }
}

async function copyInParts(context: UploadContext, limits: CopyLimits, job: CopyJob): Promise<void> {
  const upload = await MultipartUpload.begin(context, job.to, job.contentType);
  try {
    await upload.complete(await copyParts(upload, limits, job), job.size);
  } catch (error) {
    await upload.abort();
    throw error;
  }
}

async function copyParts(upload: MultipartUpload, limits: CopyLimits, { from, size }: CopyJob): Promise<Part[]> {
  const partSize = Math.max(limits.partSize, Math.ceil(size / limits.maxParts));
  const count = Math.ceil(size / partSize);
  const parts: Part[] = [];
  const failed = new AbortController();
  let next = 1;
  const work = async () => {
    while (next <= count && !failed.signal.aborted) {
      const number = next;
      next += 1;
      const first = (number - 1) * partSize;
      const last = Math.min(first + partSize, size) - 1;
      parts[number - 1] = await upload.copy(number, { key: from, first, last, signal: failed.signal });
    }
  };
  const workers = Array.from({ length: Math.min(limits.concurrency, count) }, async () => {
    try {
      await work();
    } catch (error) {
      failed.abort(error);
    }
  });
  // All of them have to be at rest before the upload may be aborted.
  await Promise.all(workers);
  failed.signal.throwIfAborted();
  return parts;
}
