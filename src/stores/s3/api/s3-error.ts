/** A code of our own: there are no keys to sign with. */
export const NO_CREDENTIALS = "NoCredentials";

/** What is known of a request that failed. */
export interface S3Failure {
  /** As S3 calls it: `PutObject`. */
  readonly operation: string;
  /** The answer's status; `null` where none came. */
  readonly status: number | null;
  /** The provider's code, such as `NoSuchBucket`; `null` where it gave none. */
  readonly code?: string | null;
  /** The provider's own words, without anything secret. */
  readonly detail?: string | null;
  /** What the provider's support asks for. */
  readonly requestId?: string | null;
  /** The region that the provider says is the right one. */
  readonly region?: string | null;
  /** Milliseconds to wait before the next attempt, as the provider asks. */
  readonly retryAfter?: number | null;
  readonly cause?: unknown;
}

/** Statuses below 500 that say "not now" (RFC 9110, section 15.5.9; 429 is RFC 6585). */
const TRANSIENT_STATUS: ReadonlySet<number> = new Set([408, 429]);

/**
 * Statuses from 500 on that say no for good. All others say nothing of what was done, those too that no RFC knows: with
 * Cloudflare's 524 or the 504 of a load balancer the server behind it may still be at work.
 */
const REFUSING_STATUS: ReadonlySet<number> = new Set([501, 505, 507]);

/** Codes that say "not now" under other statuses, also under 200 ("Error responses" in the S3 API reference). */
const TRANSIENT_CODE: ReadonlySet<string> = new Set([
  "InternalError",
  "OperationAborted",
  "ConditionalRequestConflict",
  "RequestTimeout",
  "ServiceUnavailable",
  "SlowDown",
  "ThrottlingException",
]);

/** Most characters of a provider's own words that are kept. */
const MAX_DETAIL = 300;

/**
 * A request to S3 that failed. Stays inside the store: at its edge it becomes the cause of a `FixityError`. Holds no
 * credential and no signature, so it may be logged as it is.
 */
export class S3Error extends Error {
  override readonly name = "S3Error";
  readonly operation: string;
  readonly status: number | null;
  readonly code: string | null;
  readonly requestId: string | null;
  readonly region: string | null;
  readonly retryAfter: number | null;

  constructor(failure: S3Failure) {
    super(describe(failure), failure.cause === undefined ? undefined : { cause: failure.cause });
    this.operation = failure.operation;
    this.status = failure.status;
    this.code = word(failure.code);
    this.requestId = word(failure.requestId);
    this.region = word(failure.region);
    this.retryAfter = failure.retryAfter ?? null;
  }

  /** The same request may do better next time. */
  get isTransient(): boolean {
    if (this.code !== null && TRANSIENT_CODE.has(this.code)) return true;
    const { status } = this;
    if (status === null || status < 300 || TRANSIENT_STATUS.has(status)) return true;
    return status >= 500 && !REFUSING_STATUS.has(status);
  }

  /** S3 has said no, so that nothing was done. Otherwise the request may have been carried out, or may yet be. */
  get isRefusal(): boolean {
    return !this.isTransient;
  }
}

/** Whether a request to S3 failed, and with one of these statuses. */
export function failedWith(thrown: unknown, ...statuses: readonly number[]): thrown is S3Error {
  return thrown instanceof S3Error && thrown.status !== null && statuses.includes(thrown.status);
}

function describe({ operation, status, detail, ...failure }: S3Failure): string {
  const [code, requestId] = [word(failure.code), word(failure.requestId)];
  const what = [status, code].filter((fact) => fact !== null).join(" ") || "no answer";
  const said = detail ? `: ${oneLine(detail)}` : "";
  return `${operation} failed: ${what}${said}${requestId === null ? "" : ` (request ${requestId})`}`;
}

/** A code, an id or a name as they are made everywhere; anything else a provider may say in their place is left out. */
function word(text: string | null | undefined): string | null {
  return text !== null && text !== undefined && /^[\w.:+/=-]{1,128}$/.test(text) ? text : null;
}

/** Fit for a log: of bounded length, and without line breaks and other control characters. */
function oneLine(text: string): string {
  return text.slice(0, MAX_DETAIL).replace(/\p{Cc}+/gu, " ");
}
