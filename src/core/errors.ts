/**
 * Every failure that fixity reports, by a stable lower-case code. The HTTP status of a code stands in
 * `http/problem.ts`, its explanation for users in `docs/errors.md`.
 */
export type ErrorCode =
  // what a caller got wrong
  /** A digest is not written as `sha256:<64 hex digits>`. */
  | "invalid-digest"
  /** A link is not `<64 lower-case hex digits>[.<extension>]`. */
  | "invalid-link"
  /** An option or setting has a wrong value. */
  | "invalid-option"
  /** No blob has this digest. */
  | "blob-not-found"
  /** The range lies outside the blob. */
  | "range-not-satisfiable"
  /** The bytes that came in are not those that were announced. */
  | "digest-mismatch"
  /** More or fewer bytes came in than were announced. */
  | "length-mismatch"
  /** The file is larger than the limit. */
  | "size-limit-exceeded"
  /** The sender went away before the last byte. */
  | "upload-aborted"
  /** The sender sent nothing for too long, or too slowly. */
  | "upload-stalled"
  /** No upload has this id. */
  | "upload-not-found"
  /** Another request has taken the upload over. */
  | "upload-superseded"
  /** The bytes that a client sends do not begin where the upload stands. */
  | "offset-mismatch"
  /** A client has told two lengths for one upload. */
  | "inconsistent-length"
  /** One request brings more bytes than it may. */
  | "append-limit-exceeded"
  /** One request brings fewer bytes than it must, and is not the last. */
  | "append-too-small"
  /** The content is not what a protocol's own checksum names. */
  | "checksum-mismatch"
  /** Saved bytes of an upload are lost or damaged: it can never be completed. */
  | "upload-damaged"
  /** As many uploads as the limit allows are under way. */
  | "too-many-uploads"
  /** The server is busy, and a client has its share of the running requests. */
  | "too-many-requests"
  // what a store could not do
  /** No room is left in the store. */
  | "store-full"
  /** The store does not answer or failed; trying again may help. */
  | "store-unavailable"
  /** The store cannot be used as it is set up; trying again does not help. */
  | "store-misconfigured"
  /** The store has more work than it will queue; trying again later helps. */
  | "store-busy"
  /** Stored bytes are not those that their digest names. */
  | "blob-damaged"
  // what a request got wrong
  /** Nothing has this address. */
  | "not-found"
  /** The address does not know this method. */
  | "method-not-allowed"
  /** The request breaks HTTP's own rules. */
  | "invalid-request"
  /** A header field cannot be parsed. */
  | "invalid-field"
  /** The header section is larger than the limit. */
  | "headers-too-large"
  /** The content is compressed on the way; only identity is taken. */
  | "unsupported-content-encoding"
  /** The content has a transfer coding other than `chunked`. */
  | "unsupported-transfer-coding"
  /** The content has a type that is not taken here. */
  | "unsupported-media-type"
  /** The request speaks a version of a protocol that is not known here. */
  | "unsupported-version"
  /** A digest field names no algorithm that fixity can check. */
  | "unsupported-digest"
  /** An `Expect` other than `100-continue`. */
  | "unsupported-expectation"
  /** The multipart/form-data cannot be parsed or ends too early. */
  | "malformed-form"
  /** The form has too many or too large fields. */
  | "form-limit-exceeded"
  /** The form has no file in the field it must be in. */
  | "missing-file"
  /** The form has a second file, or one in another field. */
  | "unexpected-file"
  /** `If-Match` does not name this blob. */
  | "precondition-failed"
  /** A token is needed, and none or a wrong one was sent. */
  | "unauthorized"
  /** This is not allowed here, whoever asks. */
  | "forbidden"
  /** A page of a site that is not trusted made a browser send the request. */
  | "cross-site-request"
  /** The request names a host that the server does not answer to. */
  | "unknown-host"
  /** The server is stopping and takes no new work. */
  | "shutting-down"
  /** A middleware in front of fixity has consumed the content that was to be stored. */
  | "content-already-read"
  /** This version of Node is too old. Thrown when an entry of the package is imported. */
  | "unsupported-runtime"
  /** A fault of fixity's own. */
  | "internal-error";

/** What a {@link FixityError} may carry besides its text. */
export interface FixityErrorOptions {
  /** What went wrong underneath. Never shown to a client. */
  readonly cause?: unknown;
  /** Facts for the client that fit in JSON, such as `{ limit: 1024 }`. They become members of the problem document. */
  readonly facts?: Readonly<Record<string, string | number>>;
}

/**
 * The only error that fixity throws. Its message is written for the person who made the request: it names no folder, no
 * system error and no other user's data; those are in `cause`, for the log.
 */
export class FixityError extends Error {
  override readonly name = "FixityError";
  readonly code: ErrorCode;
  readonly facts: Readonly<Record<string, string | number>>;

  constructor(code: ErrorCode, message: string, options: FixityErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.facts = options.facts ?? {};
  }
}

/** `error` itself where it is a {@link FixityError}, or an `internal-error` with it as the cause. */
export function asFixityError(error: unknown): FixityError {
  if (error instanceof FixityError) return error;
  return new FixityError("internal-error", "Something went wrong on our side.", { cause: error });
}
