import { FixityError } from "../../core/errors.ts";

/**
 * The algorithms of `Upload-Checksum` that fixity checks. "The Server MUST support at least the
 * SHA1 checksum algorithm".
 */
export const CHECKSUM_ALGORITHMS = ["sha256", "sha1", "crc32"] as const;

export type ChecksumAlgorithm = (typeof CHECKSUM_ALGORITHMS)[number];

/** The value of `Upload-Checksum`: the checksum of one request's content. */
export interface UploadChecksum {
  readonly algorithm: ChecksumAlgorithm;
  readonly value: Buffer;
}

/**
 * Parses `Upload-Checksum`: an algorithm, a space and a base64 value.
 *
 * @throws FixityError `invalid-field`, `unsupported-digest`
 */
export function parseUploadChecksum(text: string): UploadChecksum {
  const [, name, value] = /^([a-z0-9-]+) ([A-Za-z0-9+/]+={0,2})$/.exec(text.trim()) ?? [];
  if (name === undefined || value === undefined) {
    throw new FixityError("invalid-field", "Upload-Checksum must be an algorithm, a space and a base64 value.");
  }
  const algorithm = CHECKSUM_ALGORITHMS.find((known) => known === name);
  if (algorithm !== undefined) return { algorithm, value: Buffer.from(value, "base64") };
  throw new FixityError(
    "unsupported-digest",
    `The algorithm of Upload-Checksum must be one of ${CHECKSUM_ALGORITHMS.join(", ")}.`,
  );
}

const MAX_METADATA_LENGTH = 8 * 1024;

/**
 * Parses `Upload-Metadata` ("Creation"): comma-separated pairs of a key and, after a space, a
 * base64 value.
 *
 * @returns the decoded values by key, usually UTF-8
 * @throws FixityError `invalid-field`
 */
export function parseUploadMetadata(text: string | undefined): ReadonlyMap<string, Buffer> {
  const metadata = new Map<string, Buffer>();
  if (text === undefined || text.trim() === "") return metadata;
  if (text.length > MAX_METADATA_LENGTH) throw invalidMetadata(`has more than ${MAX_METADATA_LENGTH} characters`);
  for (const pair of text.split(",")) {
    const [, key = "", value = ""] = /^ *([\x21-\x2b\x2d-\x7e]+)(?: ([A-Za-z0-9+/]*={0,2}))? *$/.exec(pair) ?? [];
    // "The key MUST NOT contain spaces and commas and MUST NOT be empty […] the value MUST be
    // Base64 encoded."
    if (key === "") throw invalidMetadata("must be comma-separated pairs of a key, a space and a base64 value");
    if (metadata.has(key)) throw invalidMetadata("repeats a key");
    metadata.set(key, Buffer.from(value, "base64"));
  }
  return metadata;
}

/** The value of the first of these keys that has a non-empty one, as text; `null` if none has. */
export function metadataText(metadata: ReadonlyMap<string, Buffer>, ...keys: readonly string[]): string | null {
  for (const key of keys) {
    const value = metadata.get(key);
    if (value !== undefined && value.length > 0) return value.toString("utf8");
  }
  return null;
}

/**
 * A number of bytes in a field of tus: "a non-negative integer" with any number of digits, without
 * the bounds of a structured field. `null` if the field is absent or anything else; `Infinity` for
 * more than any file can have.
 */
export function parseByteCount(text: string | undefined): number | null {
  const digits = text?.trim() ?? "";
  if (!/^\d+$/.test(digits)) return null;
  const value = Number(digits);
  return Number.isSafeInteger(value) ? value : Infinity;
}

function invalidMetadata(what: string): FixityError {
  return new FixityError("invalid-field", `Upload-Metadata ${what}.`);
}
