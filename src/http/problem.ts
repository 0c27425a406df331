import { asFixityError, ERRORS, FixityError } from "../core/errors.ts";
import { type Answer, type Exchange, jsonContent } from "./exchange.ts";

/**
 * On every response whose content is not a file: a browser runs nothing of it, frames it nowhere,
 * and sends no referrer.
 */
export const SAFETY = {
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
} as const;

/**
 * On pages, in addition to {@link SAFETY}: an opener gets no handle on the window, and old browsers
 * do not frame the page.
 */
export const PAGE_SAFETY = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "X-Frame-Options": "DENY",
} as const;

/** A 401 with its `WWW-Authenticate`, which every 401 must have (RFC 9110, section 15.5.2). */
export class Unauthorized extends FixityError {
  /** How the client can authenticate: the value of `WWW-Authenticate`. */
  readonly challenge: string;

  constructor(message: string, challenge: string, cause?: unknown) {
    super("unauthorized", message, { cause });
    this.challenge = challenge;
  }
}

/** A 405 with its `Allow`, which every 405 must have (RFC 9110, section 15.5.6). */
export class MethodNotAllowed extends FixityError {
  /** The methods that the resource supports: the value of `Allow`. */
  readonly allowed: string;

  constructor(message: string, allowed: string) {
    super("method-not-allowed", message);
    this.allowed = allowed;
  }
}

export const OF_THE_FILE: ReadonlySet<string> = new Set(["blob-damaged", "blob-blocked"]);

/**
 * The answer for a failure: `application/problem+json` (RFC 9457) with the stable `code`, the
 * message, and the failure's facts as members. Anything but a `FixityError` is an `internal-error`
 * to the client; its own text goes to the log only.
 */
export function problemAnswer(thrown: unknown): Answer {
  const error = asFixityError(thrown);
  const { status, title, type = "about:blank" } = ERRORS[error.code];
  const { retryAfterSeconds } = error;
  const body = jsonContent({
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
      // The failures of a HEAD that are about the file and not the request: its response has no
      // content that could say so.
      ...(OF_THE_FILE.has(error.code) && { "Problem-Code": error.code }),
      ...(retryAfterSeconds !== undefined && { "Retry-After": String(retryAfterSeconds) }),
      ...(error instanceof Unauthorized && { "WWW-Authenticate": error.challenge }),
      ...(error instanceof MethodNotAllowed && { Allow: error.allowed }),
      ...(error.code === "range-not-satisfiable" && { "Content-Range": `bytes */${error.facts["size"] ?? "*"}` }),
    },
    body,
    note: { error },
  };
}

/**
 * The failure to report for what an exchange threw. A disconnect is not a server fault, and only
 * the log sees the answer.
 */
export function failureOf({ signal }: Exchange, thrown: unknown): FixityError {
  if (thrown instanceof FixityError || !signal.aborted) return asFixityError(thrown);
  return new FixityError("upload-aborted", "The client disconnected before it was answered.", { cause: thrown });
}
