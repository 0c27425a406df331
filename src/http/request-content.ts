import { Digest } from "../core/digest.ts";
import { FixityError } from "../core/errors.ts";
import type { HashedSource, ResumableAlgorithm } from "../core/intake.ts";
import type { Exchange, Fields } from "./exchange.ts";
import type { RouteContext } from "./handler.ts";
import type { Action } from "./options.ts";
import { isForm, isTooLongContentType } from "./fields/content-type.ts";
import { type DigestValues, parseDigestField } from "./fields/digest-fields.ts";
import { MAX_MEDIA_FIELD_LENGTH } from "./fields/parameters.ts";

/** Methods whose content is to be stored. */
const STORING: ReadonlySet<string> = new Set(["PATCH", "POST", "PUT"]);

/**
 * Lets a request in before any of its content is read.
 *
 * @throws FixityError as the embedder's `authorize` does; `content-already-read` when a body parser in front has read what
 *   is to be stored; `invalid-field` for a media type that is too long
 */
export async function admit(
  { exchange, options }: Pick<RouteContext, "exchange" | "options">,
  action: Action,
): Promise<void> {
  await options.authorize(exchange, action);
  if (action !== "upload" || !STORING.has(exchange.method)) return;
  if (isTooLongContentType(exchange.fields.get("content-type"))) {
    throw new FixityError("invalid-field", `Content-Type may have ${MAX_MEDIA_FIELD_LENGTH} characters at most.`);
  }
  if (!exchange.isContentUsed) return;
  throw new FixityError(
    "content-already-read",
    "Another middleware has already read the request's content. Register fixity before body parsers.",
  );
}

/**
 * Refuses content whose transfer coding the server has not undone: stored as it comes, it would be other bytes than the
 * sender's file. `chunked` alone is undone by every server. Proxies disagree on `Transfer-Encoding` in HTTP/1.0.
 *
 * @throws FixityError `unsupported-transfer-coding` (RFC 9112, section 6.1), `invalid-request`
 */
export function refuseTransferCoding({ fields, httpVersion }: Exchange): void {
  const coding = fields.get("transfer-encoding");
  if (coding === undefined) return;
  if (coding.trim().toLowerCase() !== "chunked") {
    throw new FixityError("unsupported-transfer-coding", "The only Transfer-Encoding understood here is chunked.");
  }
  if (httpVersion === "1.0") {
    throw new FixityError("invalid-request", "HTTP/1.0 has no Transfer-Encoding: send a Content-Length.");
  }
}

/** Refuses what `curl -d`, `wget --post-file` and forms without `enctype` send: not the bytes of a file. */
export function refuseUrlEncoded({ fields }: Exchange): void {
  if (!/^\s*application\/x-www-form-urlencoded\s*(?:[;,]|$)/i.test(fields.get("content-type") ?? "")) return;
  throw new FixityError(
    "unsupported-media-type",
    "application/x-www-form-urlencoded is what curl -d and forms without an enctype send, and changes a file's bytes. " +
      'Send the file with curl -F upload=@FILE URL, with curl -T FILE URL/, in a form with enctype="multipart/form-data", ' +
      "or as the content with another Content-Type.",
  );
}

/**
 * Refuses a form where its bytes would be stored in place of the file in it.
 *
 * @throws FixityError `unsupported-media-type`
 */
export function refuseForm(contentType: string | undefined): void {
  if (!isForm(contentType)) return;
  throw new FixityError("unsupported-media-type", "Send a form by POST to the collection: curl -F file=@FILE URL.");
}

/** The fields in which a digest may be announced (RFC 9530, sections 2 and 3). */
export const DIGEST_FIELDS = ["repr-digest", "content-digest"] as const;

/** One of them. */
export type DigestField = (typeof DIGEST_FIELDS)[number];

/**
 * What a message's digest fields, in its header or trailer section, demand of its bytes.
 *
 * Without a content coding and without `Content-Range` both fields are about the same bytes, so they are read as one.
 */
export interface Demand {
  readonly sha256: Digest | null;
  readonly sha512: Buffer | null;
}

/**
 * Reads `Repr-Digest` and `Content-Digest`, or one of them.
 *
 * @throws FixityError `invalid-field`; `unsupported-digest` where a field has no algorithm that is checked here, since an
 *   integrity check that was asked for must not be passed over in silence; `digest-mismatch` where the fields disagree
 */
export function demandOf(fields: Fields, names: readonly DigestField[] = DIGEST_FIELDS): Demand {
  let demand: Demand = { sha256: null, sha512: null };
  for (const name of names) {
    const text = fields.get(name);
    if (text === undefined) continue;
    const values = parseDigestField(name, text);
    if (values.sha256 === null && values.sha512 === null) {
      throw new FixityError(
        "unsupported-digest",
        `${name} names no algorithm that is checked here: use sha-256 or sha-512.`,
      );
    }
    demand = merge(demand, values);
  }
  return demand;
}

function merge(demand: Demand, values: DigestValues): Demand {
  const sha256 = values.sha256 === null ? null : Digest.fromBytes(values.sha256);
  if (demand.sha256 !== null && sha256 !== null && !sha256.equals(demand.sha256)) throw disagreement();
  if (demand.sha512 !== null && values.sha512 !== null && !values.sha512.equals(demand.sha512)) throw disagreement();
  return { sha256: demand.sha256 ?? sha256, sha512: demand.sha512 ?? values.sha512 };
}

function disagreement(): FixityError {
  return new FixityError("digest-mismatch", "The request announces two digests that cannot both hold.");
}

/**
 * The demands of the trailer section, once the content has ended.
 *
 * @param isHashed whether the content was hashed on its way, as it is where `Trailer` announces a digest
 * @throws FixityError `unsupported-digest` for a digest that cannot be checked because `Trailer` did not announce it, and
 *   for one that was announced and has not arrived (also where the server does not read trailer fields); as
 *   {@link demandOf} does
 */
export function trailerDemandOf(
  { fields, trailers }: Exchange,
  isHashed: boolean,
  names: readonly DigestField[] = DIGEST_FIELDS,
): Demand {
  const demand = demandOf(trailers, names);
  const isThere = demand.sha256 !== null || demand.sha512 !== null;
  if (isThere && !isHashed) {
    throw new FixityError(
      "unsupported-digest",
      `A digest that follows the content has to be announced: Trailer: ${names.join(", ")}.`,
    );
  }
  if (!isThere && announcesTrailerDigest(fields, names)) {
    throw new FixityError("unsupported-digest", "A digest was announced by Trailer, and has not arrived.");
  }
  return demand;
}

/** Whether digest fields are announced to follow the content as trailer fields (RFC 9110, section 6.6.2). */
export function announcesTrailerDigest(fields: Fields, names: readonly DigestField[] = DIGEST_FIELDS): boolean {
  return names.some((name) => (fields.get("trailer") ?? "").toLowerCase().includes(name));
}

/** The algorithms by which content has to be hashed for a demand, and for one that follows as a trailer field. */
export function algorithmsFor({ sha256, sha512 }: Demand, isTrailing: boolean): ResumableAlgorithm[] {
  const algorithms: ResumableAlgorithm[] = [];
  if (isTrailing || sha256 !== null) algorithms.push("sha256");
  if (isTrailing || sha512 !== null) algorithms.push("sha512");
  return algorithms;
}

/**
 * Compares content that has been read with demands, as far as it was hashed for them.
 *
 * @throws FixityError `digest-mismatch`
 */
export function assertDigests(content: HashedSource, ...demands: readonly Demand[]): void {
  const found256 = content.digest("sha256");
  const found512 = content.digest("sha512");
  for (const { sha256, sha512 } of demands) {
    if (sha256 !== null && found256?.equals(sha256.toBytes()) === false) throw mismatch("sha-256");
    if (sha512 !== null && found512?.equals(sha512) === false) throw mismatch("sha-512");
  }
}

function mismatch(algorithm: string): FixityError {
  return new FixityError(
    "digest-mismatch",
    `The content that arrived does not have its announced ${algorithm} digest.`,
  );
}

/**
 * The announced length of the content, or `undefined` where it comes in chunks.
 *
 * @throws FixityError `unsupported-content-encoding` for compressed content, `unsupported-expectation` for an `Expect`
 *   other than `100-continue`, `invalid-field` for a length that is no number and for `Content-Range`: a part of a file must
 *   not be stored as the whole of it (RFC 9110, section 14.5)
 */
export function contentLength(exchange: Exchange): number | undefined {
  const { fields } = exchange;
  const coding = fields.get("content-encoding");
  if (coding !== undefined && coding.trim().toLowerCase() !== "identity") {
    throw new FixityError("unsupported-content-encoding", "Send the file as it is, without Content-Encoding.");
  }
  if (fields.get("content-range") !== undefined) {
    throw new FixityError(
      "invalid-field",
      "Content-Range is not understood here: send the whole file in one request, or use a resumable upload.",
    );
  }
  const expect = fields.get("expect");
  if (expect !== undefined && expect.toLowerCase() !== "100-continue") {
    throw new FixityError("unsupported-expectation", "Only Expect: 100-continue is understood.");
  }
  const length = fields.get("content-length");
  if (length === undefined) return undefined;
  const size = /^\d{1,16}$/.test(length) ? Number(length) : Number.NaN;
  if (!Number.isSafeInteger(size)) throw new FixityError("invalid-field", "Content-Length is not a number of bytes.");
  return size;
}

/** {@link contentLength} of content that need not be there: 0 where it is not. @throws as {@link contentLength} does */
export function announcedLength(exchange: Exchange): number | undefined {
  const length = contentLength(exchange);
  return exchange.hasContent ? length : 0;
}
