/**
 * Reads the server's responses: the receipt of a stored file, or the problem (RFC 9457) of a
 * request that failed.
 */
import { parseRetryAfter } from "../base/retry-delay.ts";
import type { ErrorCode } from "../core/errors.ts";
import { FixityClientError } from "./errors.ts";
import { digestIn, formatIntegrity, isComplete, parseObject } from "./formats.ts";
import type { WireResponse } from "./platform.ts";
import type { UploadResult } from "./types.ts";

/**
 * The limit of a response that is not a file. Problems and receipts are far smaller; more is not
 * read into memory.
 */
export const RESPONSE_MAX_BYTES: number = 1024 * 1024;

// The failures that a retry may resolve. The error catalogue itself (core/errors.ts) is too large
// for a page to load; test/client/retry-advice.test.ts compares these sets with it.

/** Statuses after which the same request may succeed later. */
const RETRYABLE_STATUSES: ReadonlySet<number> = new Set([
  408, 409, 423, 425, 429, 500, 502, 503, 504, 507, 520, 521, 522, 523, 524,
]);

/** Problems that persist in spite of a retryable status. */
const PERSISTENT_CODES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "invalid-option",
  "unsupported-runtime",
  "store-misconfigured",
  "blob-damaged",
  "content-already-read",
]);

/** Problems that may not recur, whatever their status. */
const TRANSIENT_CODES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "append-limit-exceeded",
  "append-too-small",
  "digest-mismatch",
  "checksum-mismatch",
  "upload-aborted",
]);

/** The codes of statuses that come without a problem, as in responses to `HEAD`. */
const CODES_BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  401: "unauthorized",
  403: "forbidden",
  404: "not-found",
  405: "method-not-allowed",
  410: "upload-damaged",
  416: "range-not-satisfiable",
  451: "blob-blocked",
};

/** What the user may have to do about a status that comes without a problem. */
const DETAILS_BY_STATUS: Readonly<Record<number, string>> = {
  401: "The server does not accept the credentials, or needs some: they may have expired.",
  403: "The server does not allow this request.",
  451: "The operator of the server has blocked this file.",
};

interface Problem extends Readonly<Record<string, unknown>> {
  /** A newer server may send codes that this version does not know; they are passed on. */
  readonly code: ErrorCode;
  readonly detail: string;
}

/** The error that a response reports: by its problem, or else by its status. */
export function errorIn(response: WireResponse): FixityClientError {
  const { status, field, text } = response;
  const final = isComplete(response);
  const problem = problemIn(text);
  const retryAfter = parseRetryAfter(field("retry-after"));
  if (problem === null) {
    if (field("problem-code") === "blob-damaged") {
      return new FixityClientError("blob-damaged", "The file on the server is damaged.", { status, final });
    }
    const code = CODES_BY_STATUS[status] ?? "unexpected-answer";
    return new FixityClientError(code, DETAILS_BY_STATUS[status] ?? `The server responded with status ${status}.`, {
      status,
      retryAfter,
      final,
      retryable: RETRYABLE_STATUSES.has(status),
    });
  }
  const { code, detail, type: _type, title: _title, status: _status, ...facts } = problem;
  return new FixityClientError(code, detail, {
    status,
    facts,
    retryAfter,
    final,
    retryable: TRANSIENT_CODES.has(code) || (RETRYABLE_STATUSES.has(status) && !PERSISTENT_CODES.has(code)),
  });
}

function problemIn(text: string): Problem | null {
  const value = parseObject(text);
  if (typeof value?.["code"] !== "string" || typeof value["detail"] !== "string") return null;
  return value as Problem;
}

/** The error of a response that exceeds {@link RESPONSE_MAX_BYTES}. */
export function responseTooLong(status: number): FixityClientError {
  const detail = "The response is longer than 1 MiB, so it does not come from fixity.";
  return new FixityClientError("unexpected-answer", detail, { status });
}

/** The error of a successful response that fixity does not send. */
export function notFromFixity(status: number): FixityClientError {
  return new FixityClientError("unexpected-answer", "The response does not come from fixity.", { status });
}

/** The server's statement about a stored file. */
export type Receipt = Omit<UploadResult, "sent">;

/** The properties of the file that the client sent, which the receipt must confirm. */
export interface ExpectedFile {
  /** In hex; `null` if it was not computed. */
  readonly digest: string | null;
  /** `null` for a stream that has not ended. */
  readonly size: number | null;
}

/**
 * Reads the response that reports a stored file.
 *
 * @throws FixityClientError `digest-mismatch` if the server stored another file, `unexpected-answer`
 */
export function receiptIn({ status, text }: WireResponse, endpoint: string, expected: ExpectedFile): Receipt {
  const { url, digest, size, type, name, integrity } = parseObject(text) ?? {};
  if (
    typeof url !== "string" ||
    typeof digest !== "string" ||
    typeof size !== "number" ||
    typeof type !== "string" ||
    typeof integrity !== "string"
  ) {
    throw notFromFixity(status);
  }
  if ((expected.digest !== null && digest !== `sha256:${expected.digest}`) || size !== (expected.size ?? size)) {
    const detail = "The server stored other bytes than were sent.";
    throw new FixityClientError("digest-mismatch", detail, { status, retryable: true });
  }
  const hex = digest.slice("sha256:".length);
  if (digest !== `sha256:${hex}` || !Number.isSafeInteger(size) || size < 0) throw notFromFixity(status);
  const link = linkIn(url, endpoint, hex);
  if (link === null) throw notFromFixity(status);
  return {
    url: link,
    digest,
    size,
    type,
    name: typeof name === "string" ? name : null,
    integrity: formatIntegrity(hex),
    existed: status === 200,
  };
}

/**
 * The link of a receipt, absolute; `null` if it is not a bare http(s) link to the digest. Links are
 * printed, copied and put into pages, so nothing else may pass. The origin may be another one,
 * which `UPLOAD_PUBLIC_URL` names.
 */
function linkIn(url: string, endpoint: string, hex: string): string | null {
  const link = URL.parse(url, endpoint);
  const isBare = link !== null && `${link.username}${link.password}${link.search}${link.hash}` === "";
  return isBare && /^https?:$/.test(link.protocol) && digestIn(link) === hex ? link.href : null;
}

/**
 * Whether a second upload beside the first is refused: by a permit for one upload, a limit on open
 * uploads, or an app. The first upload was allowed.
 */
export function isSecondUploadRefusal(error: unknown): boolean {
  if (!(error instanceof FixityClientError)) return false;
  return error.status === 403 || error.code === "principal-limit-exceeded";
}
