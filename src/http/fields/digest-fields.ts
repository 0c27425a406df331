import { type Dictionary, parseDictionary } from "structured-headers";
import type { Digest } from "../../core/digest.ts";
import { FixityError } from "../../core/errors.ts";

/** What a digest field announces (RFC 9530). */
export interface DigestValues {
  /** 32 bytes, or `null` if the field has no `sha-256`. */
  readonly sha256: Buffer | null;
  /** 64 bytes, or `null` if the field has no `sha-512`. */
  readonly sha512: Buffer | null;
  /** The names of the other algorithms in the field. Their values are not parsed. */
  readonly others: readonly string[];
}

/**
 * Parses `Repr-Digest` or `Content-Digest`: a dictionary of byte sequences (RFC 9651),
 * `sha-256=:<base64>:`.
 *
 * @param name the field's name, for the error
 * @throws FixityError `invalid-field`
 */
export function parseDigestField(name: string, text: string): DigestValues {
  const values = parseField(name, text);
  return {
    sha256: digestIn(values, "sha-256", { name, length: 32 }),
    sha512: digestIn(values, "sha-512", { name, length: 64 }),
    others: [...values.keys()].filter((algorithm) => algorithm !== "sha-256" && algorithm !== "sha-512"),
  };
}

/** The value of `Repr-Digest` for a blob. */
export function formatReprDigest(digest: Digest): string {
  return `sha-256=:${digest.base64}:`;
}

function parseField(name: string, text: string): Dictionary {
  let values: Dictionary;
  try {
    values = parseDictionary(text);
  } catch (cause) {
    throw new FixityError("invalid-field", `${name} is malformed: send sha-256=:<base64>:.`, { cause });
  }
  if (values.size === 0) throw new FixityError("invalid-field", `${name} is empty.`);
  return values;
}

function digestIn(
  values: Dictionary,
  algorithm: string,
  { name, length }: { readonly name: string; readonly length: number },
): Buffer | null {
  const value = values.get(algorithm)?.[0];
  if (value === undefined) return null;
  if (value instanceof ArrayBuffer && value.byteLength === length) return Buffer.from(value);
  throw new FixityError("invalid-field", `${name} has a ${algorithm} that is not ${length} bytes in base64.`);
}
