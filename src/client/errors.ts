import type { ErrorCode } from "../core/errors.ts";

/** Failures that no server tells of. */
export type ClientErrorCode =
  /** The upload or download was stopped by who began it. */
  | "aborted"
  /** The connection failed, or the server did not answer. */
  | "network-error"
  /** What is to be uploaded is nothing that can be, or cannot be read. */
  | "invalid-source"
  /** The file has changed, or gone, since it was given. */
  | "source-changed"
  /** An option has a wrong value. */
  | "invalid-option"
  /** The answer is not one of this service: a proxy's, or another server's. */
  | "unexpected-answer"
  /** This version of Node is too old. */
  | "unsupported-runtime"
  /** Bytes cannot be verified here: there is no worker to hash them. */
  | "cannot-verify";

/** What a {@link FixityClientError} is made of, besides its code and its text. */
export interface FixityClientErrorOptions {
  /** @default null */
  readonly status?: number | null;
  /** @default false */
  readonly retryable?: boolean;
  /** @default false */
  readonly final?: boolean;
  readonly facts?: Readonly<Record<string, unknown>>;
  /** Milliseconds that the server asks to wait. @default null */
  readonly retryAfter?: number | null;
  readonly cause?: unknown;
}

/** The content of a source cannot be read any more, or is not what it was. `cause` itself if it already says so. */
export function sourceChanged(cause?: unknown): FixityClientError {
  if (cause instanceof FixityClientError) return cause;
  const detail = "The file cannot be read any more: it has changed, or gone, since it was chosen.";
  return new FixityClientError("source-changed", detail, { cause });
}

/** The only error that the client throws. */
export class FixityClientError extends Error {
  override readonly name = "FixityClientError";
  /** A code of the server's problem (docs/errors.md), or one of the client's own. Programs decide by it. */
  readonly code: ErrorCode | ClientErrorCode;
  /** Of the answer; `null` where there was none. */
  readonly status: number | null;
  /** The problem's text for people. */
  readonly detail: string;
  /** Whether the same may succeed another time. */
  readonly retryable: boolean;
  /**
   * The server has given its last word on this upload (`Upload-Complete: ?1`): the client neither resumes it nor tries again by
   * itself. Another upload of the file may still succeed where `retryable` says so.
   */
  readonly final: boolean;
  /** Further members of the problem, as `limit`. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** Milliseconds that the server asks to wait before the next attempt, or `null`. */
  readonly retryAfter: number | null;

  constructor(code: ErrorCode | ClientErrorCode, detail: string, options: FixityClientErrorOptions = {}) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.detail = detail;
    this.status = options.status ?? null;
    this.retryable = options.retryable ?? false;
    this.final = options.final ?? false;
    this.facts = options.facts ?? {};
    this.retryAfter = options.retryAfter ?? null;
  }
}
