/**
 * Whether a retry helps after a failure, and which one:
 *
 * - `never`: the same request fails again. Something about it, the file or the service has to
 *   change first.
 * - `later`: the same request may succeed later.
 * - `resend`: the content was incomplete or damaged in transit. Send it again.
 * - `resume`: ask the upload for its offset and continue from there.
 * - `resize`: send the same bytes in requests of another size.
 * - `restart`: this upload is over. Create another one and send the content from the start.
 */
export type RetryAdvice = "never" | "later" | "resend" | "resume" | "resize" | "restart";

/** What holds for every failure of one code. */
export interface ErrorRow {
  /** The HTTP status. */
  readonly status: number;
  /**
   * The `title` of the problem document (RFC 9457): the same text for every failure of this code.
   */
  readonly title: string;
  readonly retry: RetryAdvice;
  /** The `Retry-After` of the response. */
  readonly retryAfterSeconds?: number;
  /** The `type` of the problem document. @default "about:blank" */
  readonly type?: string;
}

/**
 * The error catalogue: one row for every failure that fixity reports, by its stable lower-case
 * code. The HTTP responses and the command line read it; tests compare `docs/errors.md` and the
 * client's retry rules with it, in both directions.
 */
const CATALOGUE = {
  // Mistakes of the caller.

  /** A digest is not `sha256:<64 lower-case hex digits>`. */
  "invalid-digest": { status: 400, title: "Invalid digest", retry: "never" },
  /** A link is not `<64 lower-case hex digits>[.<extension>]`. */
  "invalid-link": { status: 400, title: "Invalid link", retry: "never" },
  /** An option or setting has an invalid value. */
  "invalid-option": { status: 500, title: "Invalid option", retry: "never" },
  /** No blob has this digest. */
  "blob-not-found": { status: 404, title: "No such file", retry: "never" },
  /** The operator has blocked this digest: it is neither read nor uploaded (RFC 7725). */
  "blob-blocked": { status: 451, title: "File blocked", retry: "never" },
  /** The range lies outside the blob. */
  "range-not-satisfiable": { status: 416, title: "Range not satisfiable", retry: "never" },
  /** The received bytes do not have the announced digest. */
  "digest-mismatch": { status: 422, title: "Digest mismatch", retry: "resend" },
  /** More or fewer bytes arrived than were announced. */
  "length-mismatch": { status: 400, title: "Length mismatch", retry: "never" },
  /** The file is larger than the limit. */
  "size-limit-exceeded": { status: 413, title: "File too large", retry: "never" },
  /** The sender disconnected before the last byte. */
  "upload-aborted": { status: 400, title: "Upload aborted", retry: "resend" },
  /** The sender sent nothing for too long, or too slowly. */
  "upload-stalled": { status: 408, title: "Upload too slow", retry: "resend" },
  /** No upload has this id: it never existed, has expired, or was cancelled. */
  "upload-not-found": { status: 404, title: "No such upload", retry: "restart" },
  /** Another request has taken the upload over. */
  "upload-superseded": { status: 409, title: "Upload taken over", retry: "resume" },
  /** The bytes of an append do not begin at the upload's offset. */
  "offset-mismatch": {
    status: 409,
    title: "Mismatching Upload Offset",
    retry: "resume",
    // IANA's registry of problem types (draft-ietf-httpbis-resumable-upload)
    type: "https://iana.org/assignments/http-problem-types#mismatching-upload-offset",
  },
  /** Two lengths were stated for one upload, or its bytes do not add up to its length. */
  "inconsistent-length": {
    status: 400,
    title: "Inconsistent Upload Length Values",
    retry: "never",
    type: "https://iana.org/assignments/http-problem-types#inconsistent-upload-length",
  },
  /** One append has more bytes than allowed. */
  "append-limit-exceeded": { status: 413, title: "Content too large", retry: "resize" },
  /** One append has fewer bytes than required, and is not the last. */
  "append-too-small": { status: 400, title: "Content too small", retry: "resize" },
  /**
   * The content does not have the checksum that `Upload-Checksum` states. 460 is tus's own status.
   */
  "checksum-mismatch": { status: 460, title: "Checksum mismatch", retry: "resend" },
  /**
   * Saved bytes of an upload are lost or damaged: it can never be completed. 410 is used for
   * nothing else: clients recognise this failure by it in responses to HEAD, which have no content.
   */
  "upload-damaged": { status: 410, title: "Upload damaged", retry: "restart" },
  /** The limit on unfinished uploads is reached. */
  "too-many-uploads": { status: 503, title: "Too many uploads", retry: "later", retryAfterSeconds: 60 },
  /** The server is busy, and the client already has its share of the running requests. */
  "too-many-requests": { status: 429, title: "Too many requests", retry: "later", retryAfterSeconds: 5 },

  // Failures of the store.

  /** The store has no room left. */
  "store-full": { status: 507, title: "No room left", retry: "later" },
  /** The store does not answer, or failed. */
  "store-unavailable": { status: 503, title: "Storage unavailable", retry: "later", retryAfterSeconds: 5 },
  /** The store cannot be used as it is configured. */
  "store-misconfigured": { status: 500, title: "Storage misconfigured", retry: "never" },
  /** The store's queue is full. */
  "store-busy": { status: 503, title: "Storage busy", retry: "later", retryAfterSeconds: 2 },
  /** Stored bytes do not have the digest of their blob. */
  "blob-damaged": { status: 500, title: "Stored file damaged", retry: "never" },

  // Mistakes in a request.

  /** No such path. */
  "not-found": { status: 404, title: "Not found", retry: "never" },
  /** The path does not support this method. */
  "method-not-allowed": { status: 405, title: "Method not allowed", retry: "never" },
  /** The request violates HTTP itself. */
  "invalid-request": { status: 400, title: "Invalid request", retry: "never" },
  /** A header field cannot be parsed. */
  "invalid-field": { status: 400, title: "Invalid header field", retry: "never" },
  /** The header section is larger than the limit. */
  "headers-too-large": { status: 431, title: "Header fields too large", retry: "never" },
  /** The content has a content coding. */
  "unsupported-content-encoding": { status: 415, title: "Content encoding not supported", retry: "never" },
  /** The content has a transfer coding other than `chunked`. */
  "unsupported-transfer-coding": { status: 501, title: "Transfer coding not supported", retry: "never" },
  /** The content has a media type that is not accepted here. */
  "unsupported-media-type": { status: 415, title: "Content type not supported", retry: "never" },
  /** The request uses an unknown version of a protocol. */
  "unsupported-version": { status: 412, title: "Protocol version not supported", retry: "never" },
  /** A digest field has no algorithm that fixity can check. */
  "unsupported-digest": { status: 400, title: "Digest algorithm not supported", retry: "never" },
  /** An `Expect` other than `100-continue`. */
  "unsupported-expectation": { status: 417, title: "Expectation failed", retry: "never" },
  /** The multipart/form-data cannot be parsed, or is truncated. */
  "malformed-form": { status: 400, title: "Malformed form", retry: "never" },
  /** The form has too many fields, or too large ones. */
  "form-limit-exceeded": { status: 400, title: "Form too large", retry: "never" },
  /** The form has no file in the expected field. */
  "missing-file": { status: 400, title: "No file sent", retry: "never" },
  /** The form has a second file, or one in an unexpected field. */
  "unexpected-file": { status: 400, title: "Unexpected file in the form", retry: "never" },
  /** A precondition of the request does not hold. */
  "precondition-failed": { status: 412, title: "Precondition failed", retry: "never" },
  /** The request needs a token, and has none or a wrong one. */
  unauthorized: { status: 401, title: "Sign in or send a token", retry: "never" },
  /** The permission to upload ended before the last byte arrived. */
  "access-expired": { status: 403, title: "Permission expired", retry: "never" },
  /** A signed link was valid, and has expired. */
  "link-expired": { status: 403, title: "Link expired", retry: "never" },
  /** A permit for one upload has been used. */
  "permit-used": { status: 403, title: "Permit used", retry: "never" },
  /** A limit of the principal is reached: running requests, open uploads, or bytes per day. */
  "principal-limit-exceeded": { status: 429, title: "Your limit is reached", retry: "later", retryAfterSeconds: 60 },
  /** Files of this type are not accepted. */
  "type-not-allowed": { status: 415, title: "Type not accepted", retry: "never" },
  /** The service's own inspection of the file refused it. */
  "content-refused": { status: 422, title: "File refused", retry: "never" },
  /** Refused, whatever the credentials. */
  forbidden: { status: 403, title: "Not allowed", retry: "never" },
  /** A page of an untrusted site made a browser send the request. */
  "cross-site-request": { status: 403, title: "Cross-site request refused", retry: "never" },
  /** The request names a host that is not one of the server's. */
  "unknown-host": { status: 421, title: "Unknown host", retry: "never" },

  // Failures of the service.

  /** The server is stopping and accepts no new work. */
  "shutting-down": { status: 503, title: "Shutting down", retry: "later", retryAfterSeconds: 5 },
  /** Middleware in front of fixity has consumed the content to be stored. */
  "content-already-read": { status: 500, title: "Content already read", retry: "never" },
  /** The receiver of an event has not accepted it. Only in logs. */
  "event-rejected": { status: 502, title: "Event rejected", retry: "later" },
  /** This version of Node is too old. Thrown when an entry of the package is imported. */
  "unsupported-runtime": { status: 500, title: "Runtime not supported", retry: "never" },
  /** A bug in fixity. */
  "internal-error": { status: 500, title: "Internal error", retry: "later" },
} as const;

/** The stable code of a failure; `docs/errors.md` explains each. */
export type ErrorCode = keyof typeof CATALOGUE;

/** The error catalogue, by code. */
export const ERRORS: Readonly<Record<ErrorCode, ErrorRow>> = CATALOGUE;

/** What a {@link FixityError} carries besides its message. */
export interface FixityErrorOptions {
  /** The underlying failure. Never shown to a client. */
  readonly cause?: unknown;
  /**
   * JSON values for the client, such as `{ limit: 1024 }`. They become members of the problem
   * document.
   */
  readonly facts?: Readonly<Record<string, string | number>>;
  /** When a retry can help, if it is known better than the catalogue knows it. */
  readonly retryAfterSeconds?: number;
}

/**
 * The only error that fixity throws. The message is written for the client that made the request:
 * it reveals no folder, no system error and no other user's data. Those are in `cause`, for the
 * log.
 */
export class FixityError extends Error {
  override readonly name = "FixityError";
  /** A row of the catalogue: stable, for programs (docs/errors.md). */
  readonly code: ErrorCode;
  /** Further members of the problem in the response, such as `limit` in bytes. */
  readonly facts: Readonly<Record<string, string | number>>;
  /** The `Retry-After` of the response; `undefined` for none. */
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode, message: string, options: FixityErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.facts = options.facts ?? {};
    const { retryAfterSeconds }: ErrorRow = CATALOGUE[code];
    this.retryAfterSeconds = options.retryAfterSeconds ?? retryAfterSeconds;
  }

  /** The HTTP status of the response, by which frameworks answer an error that a route of the app throws. */
  get status(): number {
    return CATALOGUE[this.code].status;
  }
}

/** `error` itself if it is a {@link FixityError}, otherwise an `internal-error` caused by it. */
export function asFixityError(error: unknown): FixityError {
  if (error instanceof FixityError) return error;
  return new FixityError("internal-error", "Something went wrong on our side.", { cause: error });
}
