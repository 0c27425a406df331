import type { ErrorCode } from "../core/errors.ts";

/**
 * Codes of failures that the client itself detects. All others come from the server
 * (docs/errors.md).
 */
export type ClientErrorCode =
  /** The caller stopped the upload or download, or closed the client. */
  | "aborted"
  /** The connection failed, or no response arrived. */
  | "network-error"
  /** The source is nothing that can be uploaded, or cannot be opened or read. */
  | "invalid-source"
  /** The file changed or disappeared after it was passed to the client. */
  | "source-changed"
  /** An option has an invalid value. */
  | "invalid-option"
  /** The `headers` function threw. */
  | "headers-failed"
  /** The `prepare` function threw, or returned something other than a file. */
  | "prepare-failed"
  /** A file may keep metadata that was to be removed: it is damaged, or of another format. */
  | "metadata-not-removed"
  /** The response does not come from fixity, but from a proxy or another kind of server. */
  | "unexpected-answer"
  /** This version of Node is too old. */
  | "unsupported-runtime"
  /** The bytes cannot be verified, because there is no worker to hash them. */
  | "cannot-verify";

/** The optional properties of a {@link FixityClientError}. */
export interface FixityClientErrorOptions {
  /** The status of the response. @default null */
  readonly status?: number | null;
  /** Whether the same call may succeed later. @default false */
  readonly retryable?: boolean;
  /** Whether the server has sent its final response to the upload. @default false */
  readonly final?: boolean;
  /** The problem's other members. @default none */
  readonly facts?: Readonly<Record<string, unknown>>;
  /** Milliseconds that the server asks the client to wait. @default null */
  readonly retryAfter?: number | null;
  /** What led to this error. */
  readonly cause?: unknown;
}

/** The only error that the client throws. */
export class FixityClientError extends Error {
  override readonly name = "FixityClientError";
  /**
   * The code of the server's problem (docs/errors.md), or one of the client's own. For programs.
   */
  readonly code: ErrorCode | ClientErrorCode;
  /** The status of the response; `null` if there was none. */
  readonly status: number | null;
  /** What happened, in a sentence for people. */
  readonly detail: string;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
  /**
   * The server has sent its final response to this upload (`Upload-Complete: ?1`), so the client
   * has neither resumed nor retried it. Another upload of the file may still succeed if `retryable`
   * is set.
   */
  readonly final: boolean;
  /** The problem's other members, such as `limit`. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** Milliseconds that the server asks the client to wait before the next attempt, or `null`. */
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

/** `error` itself if it is the client's own, or else a failure of the network. */
export function asClientError(error: unknown): FixityClientError {
  if (error instanceof FixityClientError) return error;
  return new FixityClientError("network-error", "The connection to the server failed.", {
    cause: error,
    retryable: true,
  });
}

/** The error of an upload or download whose signal was aborted. */
export function abortError({ reason }: AbortSignal): FixityClientError {
  if (reason instanceof FixityClientError) return reason;
  return new FixityClientError("aborted", "The transfer was stopped before it was complete.", { cause: reason });
}

/** The error of a source whose bytes can no longer be read, or are no longer the same. */
export function sourceChanged(cause?: unknown): FixityClientError {
  if (cause instanceof FixityClientError) return cause;
  const detail = "The file has changed or disappeared since it was chosen.";
  return new FixityClientError("source-changed", detail, { cause });
}
