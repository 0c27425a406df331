import type { BlobIdentity } from "../blob-stat.ts";
import type { Digest } from "../digest.ts";
import { FixityError } from "../errors.ts";

/** What is known about the damage of a blob. */
export interface Damage {
  /** The copy that was seen damaged; `null` if the store has no identities. */
  readonly identity: BlobIdentity | null;
  /** The digest of the bytes that were found; `null` if they could not all be read. */
  readonly found: Digest | null;
  /** Bytes found. */
  readonly size: number;
}

/** What was found instead of a blob's bytes, after its digest. */
export function describeDamage({ found, size }: Damage): string {
  if (found === null) return `cannot be read to its end (${size} bytes)`;
  return `has ${size} bytes with the digest ${found.toString()}`;
}

/** The error for a read of a damaged blob. @param damage `null` if the blob is suspect so far */
export function blobDamaged(damage: Damage | null): FixityError {
  return new FixityError(
    "blob-damaged",
    "The stored file is damaged: its bytes are not those that were uploaded. Upload the file again to repair it.",
    damage === null ? {} : { cause: new Error(describeDamage(damage)) },
  );
}

/** The error for a blob whose reads differ again and again from the stored bytes, which are right. */
export function changesInTransit(): FixityError {
  return new FixityError(
    "store-unavailable",
    "The file was received from the store with wrong bytes several times, although it is stored intact.",
  );
}
