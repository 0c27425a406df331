import type { ErrorCode } from "../core/errors.ts";
import { FixityClientError } from "./errors.ts";
import { parseRetryAfter } from "../base/retry-delay.ts";
import { isComplete } from "./formats.ts";
import type { WireAnswer } from "./platform.ts";

/** Bytes of an answer that is no file: problems and receipts are far smaller. More of it is not read into memory. */
export const ANSWER_MAX_BYTES: number = 1024 * 1024;

/** The error for an answer beyond {@link ANSWER_MAX_BYTES}. */
export function tooLong(status: number): FixityClientError {
  return new FixityClientError("unexpected-answer", "The answer is longer than 1 MiB: it is not one of fixity.", {
    status,
  });
}

// Which failures a retry may help against. The catalogue itself (core/errors.ts) is too large for a page to load;
// test/client/retry-advice.test.ts compares these sets with it.

/** Statuses after which a retry may help. */
const RETRYABLE = new Set([408, 409, 423, 425, 429, 500, 502, 503, 504, 507, 520, 521, 522, 523, 524]);

/** Codes with such a status after which it does not. */
const FINAL: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "invalid-option",
  "unsupported-runtime",
  "store-misconfigured",
  "blob-damaged",
  "content-already-read",
]);

/** Codes with another status after which it does. */
const PASSING: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "append-limit-exceeded",
  "append-too-small",
  "digest-mismatch",
  "checksum-mismatch",
  "upload-aborted",
]);

/** What a status says where there is no problem, as in answers to `HEAD`. */
const CODES: Readonly<Record<number, ErrorCode>> = {
  401: "unauthorized",
  403: "forbidden",
  404: "not-found",
  405: "method-not-allowed",
  410: "upload-damaged",
  416: "range-not-satisfiable",
};

/** The error that an answer tells of: by its problem (RFC 9457), or else by its status. */
export function errorIn(answer: WireAnswer): FixityClientError {
  const { status, field, text } = answer;
  const final = isComplete(answer);
  const problem = problemIn(text);
  const retryAfter = parseRetryAfter(field("retry-after"), Date.now());
  if (problem === null) {
    const code = CODES[status] ?? "unexpected-answer";
    return new FixityClientError(code, `The server answered with the status ${status}.`, {
      status,
      retryAfter,
      final,
      retryable: RETRYABLE.has(status),
    });
  }
  const { code, detail, type: _type, title: _title, status: _status, ...facts } = problem;
  return new FixityClientError(code, detail, {
    status,
    facts,
    retryAfter,
    final,
    retryable: PASSING.has(code) || (RETRYABLE.has(status) && !FINAL.has(code)),
  });
}

interface Problem extends Readonly<Record<string, unknown>> {
  /** Codes of a newer server are passed on as they are. */
  readonly code: ErrorCode;
  readonly detail: string;
}

function problemIn(text: string): Problem | null {
  const value = objectIn(text);
  if (typeof value?.["code"] !== "string" || typeof value["detail"] !== "string") return null;
  return value as Problem;
}

/** The members of an object in JSON, or `null` for any other text. */
export function objectIn(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
