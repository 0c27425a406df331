import { FixityError } from "../../core/errors.ts";
import type { HashAlgorithm, HashedSource } from "../../core/intake.ts";

/** The supported algorithms of tus's `Upload-Checksum`. "The Server MUST support at least the SHA1 checksum". */
export const CHECKSUM_ALGORITHMS: readonly HashAlgorithm[] = ["sha256", "sha1", "crc32"];

/** What `Upload-Checksum` says of a request's content. */
export interface UploadChecksum {
  readonly algorithm: HashAlgorithm;
  readonly value: Buffer;
}

/**
 * Reads `Upload-Checksum`: an algorithm and a base64 value, with a space between.
 *
 * @throws FixityError `invalid-field`, `unsupported-digest`
 */
export function parseUploadChecksum(text: string): UploadChecksum {
  const [, name, value] = /^([a-z0-9-]+) ([A-Za-z0-9+/]+={0,2})$/.exec(text.trim()) ?? [];
  if (name === undefined || value === undefined) {
    throw new FixityError("invalid-field", "Upload-Checksum is an algorithm and a base64 value, with a space between.");
  }
  const algorithm = CHECKSUM_ALGORITHMS.find((known) => known === name);
  if (algorithm !== undefined) return { algorithm, value: Buffer.from(value, "base64") };
  throw new FixityError("unsupported-digest", `Upload-Checksum can be by ${CHECKSUM_ALGORITHMS.join(", ")}.`);
}

/** Compares content that has been read with a checksum. @throws FixityError `checksum-mismatch` */
export function assertChecksum(content: HashedSource, { algorithm, value }: UploadChecksum): void {
  if (content.digest(algorithm)?.equals(value) === true) return;
  throw new FixityError("checksum-mismatch", `The content that arrived does not have its ${algorithm} checksum.`);
}
