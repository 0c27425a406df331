import { FixityError } from "../../../core/errors.ts";
import type { UploadContext } from "../send/multipart-upload.ts";
import { headObject, type ObjectHead } from "../api/objects.ts";
import { type CopyLimits, copyInside } from "./server-copy.ts";

const MIB = 1024 * 1024;

/** What S3 takes as a part that is not the last one, at least ("Amazon S3 multipart upload limits"). */
const SMALLEST_PART = 5 * MIB;

/** An object, and of how many parts it is made now. */
export interface RemakeJob {
  readonly key: string;
  readonly object: ObjectHead;
  readonly count: number;
}

/**
 * Makes an object anew, of copies of its own bytes and of another number of parts. Nobody sees a difference but in the entity
 * tag: that tells afterwards that the object no longer lives on the parts that it was made of.
 *
 * @throws FixityError `store-unavailable` where the object is what it was
 */
export async function remake(context: UploadContext, limits: CopyLimits, job: RemakeJob): Promise<void> {
  const { key, object, count } = job;
  const { size, contentType, etag } = object;
  // a doubtful source is never copied whole
  const copy = { from: key, to: key, size, contentType, isDoubtful: true };
  await copyInside(context, { ...limits, partSize: otherPartSize(limits.partSize, size, count) }, copy);
  const now = await headObject(context.client, key);
  if (now === null || now.size !== size || now.etag === null || now.etag === etag) {
    throw new FixityError("store-unavailable", "The store did not make the object anew.");
  }
}

/** A size of parts of which the object has more, or fewer, than `count`. */
function otherPartSize(partSize: number, size: number, count: number): number {
  if (Math.ceil(size / partSize) !== count) return partSize;
  return count === 1 ? Math.max(SMALLEST_PART, Math.ceil(size / 2)) : partSize * 2;
}
