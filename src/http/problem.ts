import { asFixityError, type ErrorCode } from "../core/errors.ts";
import type { Answer } from "./exchange.ts";

/** The one table from a failure's code to its HTTP status and title. */
export const PROBLEMS: Readonly<Record<ErrorCode, readonly [status: number, title: string]>> = {
  "invalid-digest": [400, "Invalid digest"],
  "invalid-link": [400, "Invalid link"],
  "invalid-option": [500, "Invalid option"],
  "blob-not-found": [404, "No such file"],
  "range-not-satisfiable": [416, "Range not satisfiable"],
  "digest-mismatch": [422, "Digest mismatch"],
  "length-mismatch": [400, "Length mismatch"],
  "size-limit-exceeded": [413, "File too large"],
  "upload-aborted": [400, "Upload aborted"],
  "upload-stalled": [408, "Upload too slow"],
  "upload-not-found": [404, "No such upload"],
  // 410 is used for nothing else here: clients know it in answers to HEAD, which have no content
  "upload-damaged": [410, "Upload damaged"],
  "upload-superseded": [409, "Upload taken over"],
  "offset-mismatch": [409, "Mismatching Upload Offset"],
  "inconsistent-length": [400, "Inconsistent Upload Length Values"],
  "append-limit-exceeded": [413, "Content too large"],
  "append-too-small": [400, "Content too small"],
  // tus's own status
  "checksum-mismatch": [460, "Checksum mismatch"],
  "too-many-requests": [429, "Too many requests"],
  "too-many-uploads": [503, "Too many uploads"],
  "store-full": [507, "No room left"],
  "store-unavailable": [503, "Storage unavailable"],
  "store-misconfigured": [500, "Storage misconfigured"],
  "store-busy": [503, "Storage busy"],
  "blob-damaged": [500, "Stored file damaged"],
  "not-found": [404, "Not found"],
  "method-not-allowed": [405, "Method not allowed"],
  "invalid-request": [400, "Invalid request"],
  "invalid-field": [400, "Invalid header field"],
  "headers-too-large": [431, "Header fields too large"],
  "unsupported-content-encoding": [415, "Content encoding not supported"],
  "unsupported-transfer-coding": [501, "Transfer coding not supported"],
  "unsupported-media-type": [415, "Content type not supported"],
  "unsupported-version": [412, "Protocol version not supported"],
  "unsupported-digest": [400, "Digest algorithm not supported"],
  "unsupported-expectation": [417, "Expectation failed"],
  "malformed-form": [400, "Malformed form"],
  "form-limit-exceeded": [400, "Form too large"],
  "missing-file": [400, "No file sent"],
  "unexpected-file": [400, "Unexpected file in the form"],
  "precondition-failed": [412, "Precondition failed"],
  unauthorized: [401, "Token needed"],
  forbidden: [403, "Not allowed"],
  "cross-site-request": [403, "Cross-site request refused"],
  "unknown-host": [421, "Unknown host"],
  "shutting-down": [503, "Shutting down"],
  "content-already-read": [500, "Content already read"],
  "unsupported-runtime": [500, "Runtime not supported"],
  "internal-error": [500, "Internal error"],
};

/** Problems that have a type of their own, in IANA's registry of them (draft-ietf-httpbis-resumable-upload). */
const TYPES: Partial<Record<ErrorCode, string>> = {
  "offset-mismatch": "https://iana.org/assignments/http-problem-types#mismatching-upload-offset",
  "inconsistent-length": "https://iana.org/assignments/http-problem-types#inconsistent-upload-length",
};

/** Seconds after which to try again, where that is worth saying (RFC 9110, section 10.2.3). */
const RETRY_AFTER: Partial<Record<ErrorCode, string>> = {
  "store-unavailable": "5",
  "store-busy": "2",
  "too-many-requests": "5",
  "too-many-uploads": "60",
  "shutting-down": "5",
};

/** On every answer with content that is no file: nothing of it is to be run, shown in a frame, or told to other sites. */
export const SAFETY = {
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
} as const;

/**
 * On pages, besides {@link SAFETY}: a page that opens one gets no handle on its window, and old browsers show it in no frame
 * either.
 */
export const PAGE_SAFETY = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "X-Frame-Options": "DENY",
} as const;

/**
 * The answer that tells of a failure: `application/problem+json` (RFC 9457) with the stable `code`, the message, and the
 * failure's facts as members. Whatever is not a `FixityError` is an `internal-error` to the client; its own text stays in
 * the log.
 */
export function problemAnswer(thrown: unknown): Answer {
  const error = asFixityError(thrown);
  const [status, title] = PROBLEMS[error.code];
  const retryAfter = RETRY_AFTER[error.code];
  const body = JSON.stringify({
    type: TYPES[error.code] ?? "about:blank",
    title,
    status,
    code: error.code,
    detail: error.message,
    ...error.facts,
  });
  return {
    status,
    fields: {
      ...SAFETY,
      "Content-Type": "application/problem+json",
      "Cache-Control": "no-store",
      ...(retryAfter !== undefined && { "Retry-After": retryAfter }),
      ...(error.code === "unauthorized" && { "WWW-Authenticate": "Bearer" }),
      ...(error.code === "range-not-satisfiable" && { "Content-Range": `bytes */${error.facts["size"] ?? "*"}` }),
    },
    body,
    note: { error },
  };
}
