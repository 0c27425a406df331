import { Digest } from "../core/digest.ts";
import { FixityError } from "../core/errors.ts";
import { type HashAlgorithm, HashedSource } from "../core/intake.ts";
import type { Exchange, Fields } from "./exchange.ts";
import { type DigestValues, parseDigestField } from "./fields/digest-fields.ts";

/** The fields that may announce a digest (RFC 9530, sections 2 and 3). */
export const DIGEST_FIELDS = ["repr-digest", "content-digest"] as const;

/** One of them. */
export type DigestField = (typeof DIGEST_FIELDS)[number];

/**
 * The digests that a message's header or trailer section announces for its bytes. Without a content
 * coding and without `Content-Range`, both fields are about the same bytes, so they are combined.
 */
export interface AnnouncedDigests {
  readonly sha256: Digest | null;
  readonly sha512: Buffer | null;
}

/**
 * Parses `Repr-Digest` and `Content-Digest`, or one of them.
 *
 * @throws FixityError `invalid-field`; `unsupported-digest` if a field has no algorithm that fixity
 *   checks, because ignoring it would silently skip an integrity check that the client asked for;
 *   `digest-mismatch` if the fields disagree
 */
export function announcedDigests(fields: Fields, names: readonly DigestField[] = DIGEST_FIELDS): AnnouncedDigests {
  let announced: AnnouncedDigests = { sha256: null, sha512: null };
  for (const name of names) {
    const text = fields.get(name);
    if (text === undefined) continue;
    const values = parseDigestField(name, text);
    if (values.sha256 === null && values.sha512 === null) {
      throw new FixityError("unsupported-digest", `${name} has no supported algorithm: use sha-256 or sha-512.`);
    }
    announced = merge(announced, values);
  }
  return announced;
}

function merge(announced: AnnouncedDigests, values: DigestValues): AnnouncedDigests {
  const sha256 = values.sha256 === null ? null : Digest.fromBytes(values.sha256);
  if (announced.sha256 !== null && sha256?.equals(announced.sha256) === false) throw disagreement();
  if (announced.sha512 !== null && values.sha512?.equals(announced.sha512) === false) throw disagreement();
  return { sha256: announced.sha256 ?? sha256, sha512: announced.sha512 ?? values.sha512 };
}

function disagreement(): FixityError {
  return new FixityError("digest-mismatch", "The request announces two different digests of the same bytes.");
}

/**
 * The digests in the trailer section, once the content has ended.
 *
 * @param isHashed whether the content was hashed as it arrived, as it is if `Trailer` announces a
 *   digest
 * @throws FixityError `unsupported-digest` for a digest that cannot be checked because `Trailer`
 *   did not announce it, and for an announced one that did not arrive (or that the server does not
 *   pass on); as {@link announcedDigests} does
 */
export function trailerDigests(
  { fields, trailers }: Exchange,
  isHashed: boolean,
  names: readonly DigestField[] = DIGEST_FIELDS,
): AnnouncedDigests {
  const digests = announcedDigests(trailers, names);
  const isPresent = digests.sha256 !== null || digests.sha512 !== null;
  if (isPresent && !isHashed) {
    throw new FixityError(
      "unsupported-digest",
      `A digest that follows the content must be announced: Trailer: ${names.join(", ")}.`,
    );
  }
  if (!isPresent && expectsTrailerDigest(fields, names)) {
    throw new FixityError("unsupported-digest", "Trailer announced a digest that did not arrive.");
  }
  return digests;
}

/** Whether `Trailer` announces digest fields after the content (RFC 9110, section 6.6.2). */
export function expectsTrailerDigest(fields: Fields, names: readonly DigestField[] = DIGEST_FIELDS): boolean {
  return names.some((name) => (fields.get("trailer") ?? "").toLowerCase().includes(name));
}

/**
 * A request's content that is compared with the digests in its header and trailer sections. It is
 * hashed only if they announce any. Stored bytes are hashed anyway; this is for other bytes, such
 * as a form around the file.
 */
export class DigestedContent {
  readonly source: AsyncIterable<Uint8Array>;
  readonly #exchange: Exchange;
  readonly #fields: readonly DigestField[];
  readonly #announced: AnnouncedDigests;
  readonly #hashed: HashedSource | null;

  /** @param fields the digest fields that are about this content */
  constructor(exchange: Exchange, fields: readonly DigestField[] = DIGEST_FIELDS) {
    this.#exchange = exchange;
    this.#fields = fields;
    this.#announced = announcedDigests(exchange.fields, fields);
    const hasTrailer = expectsTrailerDigest(exchange.fields, fields);
    const algorithms: HashAlgorithm[] = [];
    if (hasTrailer || this.#announced.sha256 !== null) algorithms.push("sha256");
    if (hasTrailer || this.#announced.sha512 !== null) algorithms.push("sha512");
    this.#hashed = algorithms.length === 0 ? null : new HashedSource(exchange.body, algorithms);
    this.source = this.#hashed ?? exchange.body;
  }

  /** Whether the content has a digest to be compared with. */
  get isHashed(): boolean {
    return this.#hashed !== null;
  }

  /**
   * Compares the content with its digests. Call it once the content has ended.
   *
   * @throws FixityError `digest-mismatch`
   */
  check(): void {
    const trailer = trailerDigests(this.#exchange, this.isHashed, this.#fields);
    if (this.#hashed !== null) assertDigests(this.#hashed, this.#announced, trailer);
  }
}

/**
 * Compares content that has been read with announced digests, as far as it was hashed.
 *
 * @throws FixityError `digest-mismatch`
 */
export function assertDigests(content: HashedSource, ...announced: readonly AnnouncedDigests[]): void {
  const received256 = content.digest("sha256");
  const received512 = content.digest("sha512");
  for (const { sha256, sha512 } of announced) {
    if (sha256 !== null && received256?.equals(sha256.toBytes()) === false) throw mismatch("sha-256");
    if (sha512 !== null && received512?.equals(sha512) === false) throw mismatch("sha-512");
  }
}

function mismatch(algorithm: string): FixityError {
  return new FixityError("digest-mismatch", `The received content does not have the announced ${algorithm} digest.`);
}
