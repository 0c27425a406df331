/**
 * What requests announce about an upload: lengths, digests and sizes, which must agree with each
 * other and with the limits.
 */
import { formatExactSize } from "../../base/format-size.ts";
import { FixityError } from "../errors.ts";
import { sizeLimitExceeded } from "../intake.ts";
import type { UploadTerms } from "../upload-terms.ts";
import type { Announced, AppendLimits, AppendOptions, Expectation } from "./upload-options.ts";
import type { UploadRecord } from "./upload-record.ts";

/**
 * Refuses content by what is announced about it.
 *
 * @throws FixityError `append-limit-exceeded`, `append-too-small`, `inconsistent-length`,
 *   `size-limit-exceeded`
 */
export function assertAnnounced(
  announcement: Announced & { readonly length: number | null },
  limits: AppendLimits,
): void {
  const { announced, completes } = announcement;
  const { maxAppendSize, minAppendSize } = limits;
  if (announced === undefined) return;
  if (announced > maxAppendSize) throw appendLimitExceeded(maxAppendSize);
  if (announced > 0 && announced < minAppendSize && completes === false) {
    throw new FixityError("append-too-small", `One request must have at least ${formatExactSize(minAppendSize)}.`, {
      facts: { limit: minAppendSize },
    });
  }
  const excess = excessOf(announcement, limits);
  if (excess !== null) throw excess;
}

/** The limits of the service, narrowed by those of a request. */
export function limitedBy(limits: AppendLimits, { maxSize = Infinity }: Pick<UploadTerms, "maxSize">): AppendLimits {
  return maxSize >= limits.maxSize ? limits : { ...limits, maxSize };
}

/**
 * The error for content that is announced to end past the upload's length or the largest size;
 * `null` if it does not.
 */
export function excessOf(
  { offset, announced = 0, length }: Announced & { readonly length: number | null },
  { maxSize }: AppendLimits,
): FixityError | null {
  const end = offset + announced;
  if (length !== null && end > length) {
    return inconsistentLength(`The bytes would end at ${end}, past the length ${length}.`);
  }
  return end > maxSize ? sizeLimitExceeded(maxSize) : null;
}

/**
 * The record with what a request announces about the whole file.
 *
 * @throws FixityError if it contradicts the record
 */
export function withExpectations(
  record: UploadRecord,
  announced: Expectation & Pick<AppendOptions, "lengths">,
): UploadRecord {
  const { lengths = [], digest, sha512 } = announced;
  const length = [record.length, ...lengths].reduce(agreedLength, null);
  const hex = digest?.hex ?? record.sha256;
  const base64 = sha512?.toString("base64") ?? record.sha512;
  if (record.sha256 !== null && hex !== record.sha256) throw contradictoryDigest();
  if (record.sha512 !== null && base64 !== record.sha512) throw contradictoryDigest();
  return { ...record, length, sha256: hex, sha512: base64 };
}

/**
 * "If multiple requests include indicators, their indicated values MUST match" (draft, on the
 * length).
 */
export function agreedLength(known: number | null, stated: number | null): number | null {
  if (known === null || stated === null || known === stated) return known ?? stated;
  throw inconsistentLength(
    `The length of the upload was ${formatExactSize(known)}, and is now ${formatExactSize(stated)}.`,
  );
}

export function contradictoryDigest(): FixityError {
  return new FixityError("digest-mismatch", "The upload was announced with another digest.");
}

export function offsetMismatch(expected: number, provided: number): FixityError {
  const message = `The upload is at ${expected}, but the bytes begin at ${provided}.`;
  return new FixityError("offset-mismatch", message, {
    facts: { "expected-offset": expected, "provided-offset": provided },
  });
}

export function inconsistentLength(message: string, facts: FixityError["facts"] = {}): FixityError {
  return new FixityError("inconsistent-length", message, { facts });
}

export function appendLimitExceeded(limit: number): FixityError {
  return new FixityError("append-limit-exceeded", `One request may have at most ${formatExactSize(limit)}.`, {
    facts: { limit },
  });
}
