/**
 * Uploads whose content is the file itself: `POST` to the collection, `PUT` to a link, `PUT` to a
 * name. Each derives what is known about the file from the request, then stores the content, either
 * plainly or as a resumable upload.
 */
import { TextDecoder } from "node:util";
import type { BlobStat } from "../../core/blob-stat.ts";
import type { Digest } from "../../core/digest.ts";
import { FixityError } from "../../core/errors.ts";
import { cleanFileName, type Naming } from "../../core/file-name.ts";
import { type Fixity, UPLOADS_SEGMENT } from "../../core/fixity.ts";
import { HashedSource } from "../../core/intake.ts";
import type { Link, Receipt } from "../../core/link.ts";
import { servedType } from "../active-content.ts";
import { type Answer, type Exchange, jsonContent } from "../exchange.ts";
import { prefersHtml, prefersText } from "../fields/accept.ts";
import { fileNameOf } from "../fields/content-disposition.ts";
import { isForm, mediaTypeIn } from "../fields/content-type.ts";
import { formatReprDigest } from "../fields/digest-fields.ts";
import { etagOf } from "../fields/etag.ts";
import { refuseChunkOfQuery } from "../form/chunk-fields.ts";
import type { ResolvedHandlerOptions } from "../options.ts";
import { checkPreconditions, isConditional } from "../preconditions.ts";
import { SAFETY } from "../problem.ts";
import type { AdmittedRequest, AuthorizedRequest } from "../request.ts";
import { contentLength, refuseForm, refuseUrlEncoded } from "../request-content.ts";
import { announcedDigests, assertDigests, expectsTrailerDigest, trailerDigests } from "../request-digests.ts";

/** What is known about a file before its content arrives. */
export interface FileToStore extends Naming {
  /** The digest in the link, for `PUT` to a link. */
  readonly digest?: Digest;
  /** Whether the store has just been found not to have the blob. */
  readonly isKnownAbsent?: boolean;
}

/** Stores a request's content: {@link storeContent}, or as a resumable upload. */
export type StoreFile = (request: AuthorizedRequest, file: FileToStore) => Promise<Answer>;

/** `POST` to the collection. */
export function postFile(store: StoreFile): (request: AuthorizedRequest) => Promise<Answer> {
  return (request) => {
    const { fields } = request.exchange;
    refuseChunkOfQuery(request.query);
    const filename = fileNameOf(fields.get("content-disposition")) ?? request.query.get("filename");
    return store(request, { filename, type: mediaTypeIn(fields.get("content-type")) });
  };
}

/** `PUT` to a link: the content must have the digest in the link. */
export function putToLink(store: StoreFile): (request: AuthorizedRequest, link: Link) => Promise<Answer> {
  return async (request, { digest, extension }) => {
    const { fixity, exchange } = request;
    contentLength(exchange);
    if (!isConditional(exchange)) return store(request, { digest, extension });
    // Without revealing what is stored, there is no condition on it.
    const stat = fixity.revealsExisting ? await statUnlessDamaged(fixity, digest, exchange.signal) : null;
    checkPreconditions(exchange, stat === "damaged" ? null : stat);
    return store(request, { digest, extension, isKnownAbsent: fixity.revealsExisting && stat === null });
  };
}

/** A damaged file is no obstacle to its upload: `If-None-Match: *` holds for it. */
async function statUnlessDamaged(
  fixity: Fixity,
  digest: Digest,
  signal: AbortSignal,
): Promise<BlobStat | "damaged" | null> {
  try {
    return await fixity.stat(digest, signal);
  } catch (error) {
    if (error instanceof FixityError && error.code === "blob-damaged") return "damaged";
    throw error;
  }
}

/**
 * `PUT` to a name, which `curl -T photo.png …/uploads/` sends. The name gives the link its
 * extension; the target itself never names a resource (docs/decisions/0009). The segment is one for
 * which {@link mayBeName} holds.
 */
export function putToName(store: StoreFile): (request: AuthorizedRequest, segment: string) => Promise<Answer> {
  return (request, segment) => {
    const filename = nameInSegment(segment);
    checkPreconditions(request.exchange, null);
    refuseChunkOfQuery(request.query);
    const type = request.exchange.fields.get("content-type");
    refuseForm(type);
    return store(request, { filename, type: mediaTypeIn(type) });
  };
}

/**
 * Stores a request's content and compares it with its length and its digest fields, in the header
 * and trailer sections.
 *
 * If the digest is known and the blob is already stored with the announced length, the answer is
 * immediate, and precedes the content if the client waits for `100 Continue`. Content without an
 * announced length is read first: a blob of the wrong size must not be acknowledged.
 */
export async function storeContent(request: AuthorizedRequest, file: FileToStore): Promise<Answer> {
  const { fixity, exchange, admission, terms } = request;
  const { signal } = exchange;
  refuseUrlEncoded(exchange);
  if (!exchange.hasContent) {
    throw new FixityError("missing-file", "The request has no content. Send the file as its content.");
  }
  const length = contentLength(exchange);
  const announced = announcedDigests(exchange.fields);
  let { isKnownAbsent = false } = file;
  const isContradiction = announced.sha256 !== null && file.digest?.equals(announced.sha256) === false;
  if (file.digest !== undefined && length !== undefined && !isContradiction) {
    const found = await fixity.lookUp(file.digest, { extension: file.extension, length, admission, signal, terms });
    if (typeof found !== "string") return receiptAnswer(request, found);
    isKnownAbsent = found === "absent";
  }
  if (isContradiction) {
    throw new FixityError("digest-mismatch", "The link and the digest field name different bytes.");
  }
  // Storing computes SHA-256 anyway.
  const needsSha512 = announced.sha512 !== null || expectsTrailerDigest(exchange.fields);
  const hashed = needsSha512 ? new HashedSource(exchange.body, ["sha512"]) : null;
  const receipt = await fixity.put(hashed ?? exchange.body, {
    ...file,
    isKnownAbsent,
    admission,
    terms,
    length,
    digest: file.digest ?? announced.sha256 ?? undefined,
    signal,
    beforeCommit: ({ digest }) => {
      const trailer = trailerDigests(exchange, true);
      if (trailer.sha256 !== null && !trailer.sha256.equals(digest)) {
        throw new FixityError(
          "digest-mismatch",
          "The received content does not have the digest in the trailer section.",
        );
      }
      if (trailer.sha512 !== null && hashed === null) {
        throw new FixityError(
          "unsupported-digest",
          "A sha-512 that follows the content must be announced: Trailer: Repr-Digest.",
        );
      }
      if (hashed !== null) assertDigests(hashed, announced, trailer);
    },
  });
  return receiptAnswer(request, receipt);
}

/**
 * The answer to a stored upload: 201 if the content is new, 200 if it was stored before. The content
 * is JSON, or the link alone for clients that prefer plain text. A browser that submitted a form can
 * display nothing but a page, so it is redirected to the link.
 */
export function receiptAnswer({ exchange, options }: AdmittedRequest, receipt: Receipt): Answer {
  const { digest, size, existed, url } = receipt;
  const fields = {
    Location: url,
    ETag: etagOf(digest),
    "Repr-Digest": formatReprDigest(digest),
    "Cache-Control": "no-store",
  };
  const note = { digest: digest.toString(), size, existed };
  // Java's HttpURLConnection prefers HTML as well, and would follow the redirect to the file.
  const isPageForm = exchange.method === "POST" && isForm(exchange.fields.get("content-type"));
  const accept = exchange.fields.get("accept");
  if (isPageForm && prefersHtml(accept)) return { status: 303, fields, note };
  const status = existed ? 200 : 201;
  if (prefersText(accept)) {
    const type = "text/plain; charset=utf-8";
    const body = `${absoluteUrl(url, exchange, options)}\n`;
    return { status, fields: { ...fields, ...SAFETY, "Content-Type": type }, body, note };
  }
  const { link, name, integrity } = receipt;
  const type = servedType(link, options.scripts);
  const body = jsonContent({ url, digest, size, type, name, integrity });
  return { status, fields: { ...fields, ...SAFETY, "Content-Type": "application/json" }, body, note };
}

/**
 * The URL of a link, with the service's origin if it is known. A service without a public URL does
 * not know its own, and a client can make up any `Host`, unless the server has checked it.
 */
function absoluteUrl(url: string, { authority }: Exchange, { trustsHost }: ResolvedHandlerOptions): string {
  return trustsHost && authority !== undefined && url.startsWith("/") ? `http://${authority}${url}` : url;
}

/** The part of a name before its first dot, if it can only be a mistyped or truncated digest. */
const DIGEST_LOOKALIKE = /^[0-9a-f]{60,68}(?:\.|$)/i;

/**
 * Whether a path segment, not decoded, may be a file's name. There are no folders, so a name has no
 * slash.
 */
export function mayBeName(segment: string): boolean {
  if (segment === "" || segment.includes("/") || /%2f/i.test(segment)) return false;
  const name = decodeSegment(segment);
  return name !== "." && name !== ".." && name !== UPLOADS_SEGMENT;
}

/**
 * The name in a path segment.
 *
 * @throws FixityError `invalid-link`
 */
export function nameInSegment(segment: string): string {
  const decoded = decodeSegment(segment);
  if (decoded === null) throw invalidSegment("is not percent-encoded UTF-8");
  if (/[\u0000-\u001f\u007f-\u009f]/.test(decoded)) throw invalidSegment("has control characters");
  const name = cleanFileName(decoded);
  if (name === null) throw invalidSegment("has no visible character");
  if (DIGEST_LOOKALIKE.test(name) || decoded.includes(":")) {
    throw invalidSegment(
      "looks like a digest but is none. A link is 64 lower-case hex digits, optionally followed by a dot and an extension. " +
        "To store a file under any name, use POST with ?filename=",
    );
  }
  return name;
}

function invalidSegment(what: string): FixityError {
  return new FixityError("invalid-link", `The last segment of the path ${what}.`);
}

/**
 * A segment's text, or `null` if it is not percent-encoded UTF-8. Servers pass raw bytes on as one
 * character each.
 */
function decodeSegment(segment: string): string | null {
  if (/%(?![0-9a-f]{2})|[^\x00-\xff]/i.test(segment)) return null;
  const bytes = segment.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.from(bytes, "latin1"));
  } catch {
    return null;
  }
}
