import { asFixityError, ERRORS } from "../core/errors.ts";
import type { Answer } from "./exchange.ts";

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
  const { status, title, type = "about:blank", retryAfterSeconds } = ERRORS[error.code];
  const body = JSON.stringify({
    type,
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
      ...(retryAfterSeconds !== undefined && { "Retry-After": String(retryAfterSeconds) }),
      ...(error.code === "unauthorized" && { "WWW-Authenticate": "Bearer" }),
      ...(error.code === "range-not-satisfiable" && { "Content-Range": `bytes */${error.facts["size"] ?? "*"}` }),
    },
    body,
    note: { error },
  };
}
