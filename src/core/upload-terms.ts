import { ANONYMOUS, type Owner } from "../access/principal.ts";
import type { TypeList } from "../access/type-list.ts";
import type { RequestSource } from "./diagnostics.ts";
import type { Digest } from "./digest.ts";
import { FixityError } from "./errors.ts";
import { sizeLimitExceeded } from "./intake.ts";

/**
 * Who uploads, and what the upload must satisfy besides the limits of the service. Made by a
 * protocol handler from the request's principal and the embedder's decision about it.
 */
export interface UploadTerms {
  readonly owner: Owner;
  /** The largest size, in bytes. */
  readonly maxSize?: number | undefined;
  /** The types of files that are accepted. */
  readonly types?: TypeList | undefined;
  /** The digest that the content must have. */
  readonly digest?: Digest | undefined;
  /** The time, in milliseconds since 1970, by which the last byte must have arrived. */
  readonly expires?: number | undefined;
  /** Unfinished resumable uploads that the owner may have on this instance. */
  readonly maxOpen?: number | undefined;
  /** JSON that the embedder keeps with the upload, for `onStored`; `null` for none. */
  readonly kept: string | null;
  /** What the embedder knows about the request, for its hooks. */
  readonly context: unknown;
  /** Identifies the request; the idempotency key of a plain upload's `onStored`. */
  readonly requestId: string;
  /** How the request came, for diagnostics. @default a call of the program itself */
  readonly source?: RequestSource | undefined;
}

/** The terms of calls without any: those of the program itself. */
export const NO_TERMS: UploadTerms = { owner: ANONYMOUS, kept: null, context: null, requestId: "" };

/**
 * Refuses a file by its link's extension.
 *
 * @param types all that apply; `null` and `undefined` allow everything
 * @throws FixityError `type-not-allowed`
 */
export function assertType(extension: string | null, ...types: readonly (TypeList | null | undefined)[]): void {
  const refusing = types.find((list) => list?.allows(extension) === false);
  if (refusing === undefined || refusing === null) return;
  const given = extension === null ? "A file without an extension" : `A file with the extension .${extension}`;
  throw new FixityError("type-not-allowed", `${given} is not accepted here. Accepted are ${refusing.toString()}.`);
}

/**
 * Refuses a file by its announced length.
 *
 * @throws FixityError `size-limit-exceeded`
 */
export function assertLength({ maxSize = Infinity }: Pick<UploadTerms, "maxSize">, length: number | undefined): void {
  if (length !== undefined && length > maxSize) throw sizeLimitExceeded(maxSize);
}

/**
 * The digest that the content must have, as it was announced or as the terms demand.
 *
 * @throws FixityError `digest-mismatch` if the two differ
 */
export function agreedDigest(
  { digest }: Pick<UploadTerms, "digest">,
  announced: Digest | undefined,
): Digest | undefined {
  if (digest === undefined || announced === undefined || announced.equals(digest)) return announced ?? digest;
  throw new FixityError("digest-mismatch", "This permission is for content with another digest.");
}

/**
 * Refuses what arrives too late. Called at the last byte.
 *
 * @throws FixityError `access-expired`
 */
export function assertInTime({ expires }: Pick<UploadTerms, "expires">): void {
  if (expires === undefined || Date.now() < expires) return;
  throw new FixityError("access-expired", "The permission for this upload expired before its last byte arrived.");
}
