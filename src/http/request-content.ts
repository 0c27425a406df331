import { FixityError } from "../core/errors.ts";
import type { Exchange, Fields } from "./exchange.ts";
import { isForm, isTooLongContentType, isUrlEncoded, MAX_MEDIA_FIELD_LENGTH } from "./fields/content-type.ts";

/** Methods whose content is stored. */
const STORING_METHODS: ReadonlySet<string> = new Set(["PATCH", "POST", "PUT"]);

/**
 * Refuses content that cannot be stored, before any of it is read.
 *
 * @throws FixityError `invalid-field` for a media type that is too long; `content-already-read` if
 *   a body parser in front has read what was to be stored
 */
export function refuseUnusableContent({ method, fields, isContentUsed }: Exchange): void {
  if (!STORING_METHODS.has(method)) return;
  if (isTooLongContentType(fields.get("content-type"))) {
    throw new FixityError("invalid-field", `Content-Type may have ${MAX_MEDIA_FIELD_LENGTH} characters at most.`);
  }
  if (!isContentUsed) return;
  throw new FixityError(
    "content-already-read",
    "Another middleware has already read the request's content. Register fixity before body parsers.",
  );
}

/**
 * Refuses content with a transfer coding that the server has not decoded: it would be stored as
 * other bytes than the sender's file. Every server decodes `chunked` alone. Proxies disagree about
 * `Transfer-Encoding` in HTTP/1.0.
 *
 * @throws FixityError `unsupported-transfer-coding` (RFC 9112, section 6.1), `invalid-request`
 */
export function refuseTransferCoding({ fields, httpVersion }: Exchange): void {
  const coding = fields.get("transfer-encoding");
  if (coding === undefined) return;
  if (coding.trim().toLowerCase() !== "chunked") {
    throw new FixityError("unsupported-transfer-coding", "The only supported Transfer-Encoding is chunked.");
  }
  if (httpVersion === "1.0") {
    throw new FixityError("invalid-request", "HTTP/1.0 has no Transfer-Encoding: send a Content-Length.");
  }
}

/**
 * Refuses what `curl -d`, `wget --post-file` and forms without `enctype` send: it does not have the
 * bytes of a file.
 */
export function refuseUrlEncoded({ fields }: Exchange): void {
  if (!isUrlEncoded(fields.get("content-type"))) return;
  throw new FixityError(
    "unsupported-media-type",
    "curl -d and forms without an enctype send application/x-www-form-urlencoded, which changes a file's bytes. " +
      'Send the file with curl -F upload=@FILE URL, with curl -T FILE URL/, in a form with enctype="multipart/form-data", ' +
      "or as the content with another Content-Type.",
  );
}

/**
 * Refuses a form where its bytes would be stored instead of the file in it.
 *
 * @throws FixityError `unsupported-media-type`
 */
export function refuseForm(contentType: string | undefined): void {
  if (!isForm(contentType)) return;
  throw new FixityError("unsupported-media-type", "Send a form by POST to the collection: curl -F file=@FILE URL.");
}

/**
 * The announced length of the content, or `undefined` if it is chunked.
 *
 * @throws FixityError `unsupported-content-encoding` for compressed content,
 *   `unsupported-expectation` for an `Expect` other than `100-continue`, `invalid-field` for a
 *   malformed length and for `Content-Range`: a part of a file must not be stored as the whole (RFC
 *   9110, section 14.5)
 */
export function contentLength({ fields }: { readonly fields: Fields }): number | undefined {
  const coding = fields.get("content-encoding");
  if (coding !== undefined && coding.trim().toLowerCase() !== "identity") {
    throw new FixityError("unsupported-content-encoding", "Send the file uncompressed, without Content-Encoding.");
  }
  if (fields.get("content-range") !== undefined) {
    throw new FixityError(
      "invalid-field",
      "Content-Range is not supported in uploads: send the whole file in one request, or use a resumable upload.",
    );
  }
  const expect = fields.get("expect");
  if (expect !== undefined && expect.toLowerCase() !== "100-continue") {
    throw new FixityError("unsupported-expectation", "The only supported expectation is 100-continue.");
  }
  const length = fields.get("content-length");
  if (length === undefined) return undefined;
  const size = /^\d{1,16}$/.test(length) ? Number(length) : Number.NaN;
  if (!Number.isSafeInteger(size)) throw new FixityError("invalid-field", "Content-Length is not a number of bytes.");
  return size;
}

/**
 * {@link contentLength} of optional content: 0 if there is none.
 *
 * @throws as {@link contentLength} does
 */
export function announcedLength(exchange: Exchange): number | undefined {
  const length = contentLength(exchange);
  return exchange.hasContent ? length : 0;
}
