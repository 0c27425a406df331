/**
 * Resumable uploads of tus 1.0 (https://tus.io/protocols/resumable-upload; names in quotation marks
 * are its sections). A client creates an upload with `POST`, asks for its offset with `HEAD`, and
 * continues with `PATCH`.
 */
import { Digest } from "../../core/digest.ts";
import { FixityError } from "../../core/errors.ts";
import { type HashAlgorithm, HashedSource, sizeLimitExceeded } from "../../core/intake.ts";
import type { UploadId } from "../../core/upload-id.ts";
import type { UploadState } from "../../core/uploads/upload-record.ts";
import { type Answer, type Exchange, type Fields, withFields } from "../exchange.ts";
import { parseContentType } from "../fields/content-type.ts";
import { etagOf } from "../fields/etag.ts";
import {
  CHECKSUM_ALGORITHMS,
  metadataText,
  parseByteCount,
  parseUploadChecksum,
  parseUploadMetadata,
  type UploadChecksum,
} from "../fields/tus-fields.ts";
import { problemAnswer } from "../problem.ts";
import type { AdmittedRequest, AuthorizedRequest } from "../request.ts";
import { announcedLength } from "../request-content.ts";
import { noteOf, uploadFailureAnswer, uploadsOf } from "./upload-answers.ts";

const TUS_VERSION = "1.0.0";

const TUS_EXTENSIONS = [
  "creation",
  "creation-with-upload",
  "creation-defer-length",
  "expiration",
  "termination",
  "checksum",
  "checksum-trailer",
].join(",");

/** The media type of appended content. */
export const OFFSET_OCTET_STREAM = "application/offset+octet-stream";

/**
 * "The Tus-Resumable header MUST be included in every request and response except for OPTIONS
 * requests."
 */
export const TUS_RESUMABLE: Readonly<Record<string, string>> = { "Tus-Resumable": TUS_VERSION };

/** The refusal of a tus request of another version, or `null`. */
export function versionRefusal({ fields }: Exchange): Answer | null {
  if (fields.get("tus-resumable")?.trim() === TUS_VERSION) return null;
  const error = new FixityError("unsupported-version", `Tus-Resumable must be ${TUS_VERSION}.`);
  return withFields(problemAnswer(error), { "Tus-Version": TUS_VERSION });
}

/** `POST` to the collection ("Creation", "Creation With Upload"). */
export async function createTusUpload(request: AuthorizedRequest): Promise<Answer> {
  const { fixity, exchange, admission, client, terms } = request;
  const { fields } = exchange;
  const uploads = uploadsOf(request);
  if (fields.get("upload-concat") !== undefined) {
    throw new FixityError("invalid-field", "Upload-Concat is not supported: send the file as one upload.");
  }
  const announced = await firstLength(exchange);
  const first = { ...appendContent(exchange, 0), announced };
  // An append would run the check, but without content there is none.
  if (announced === 0) first.check();
  const length = uploadLength(fields);
  if (length !== undefined) refuseTooLarge(length, Math.min(uploads.limits.maxSize, terms.maxSize ?? Infinity));
  const metadata = parseUploadMetadata(fields.get("upload-metadata"));
  const sha256 = metadataText(metadata, "sha256");
  const creation = {
    filename: metadataText(metadata, "filename", "name"),
    type: metadataText(metadata, "filetype", "type"),
    length,
    digest: sha256 === null ? undefined : Digest.parse(sha256.toLowerCase()),
    metadata: fields.get("upload-metadata")?.trim(),
    client,
    terms,
    first,
  };
  const locationOf = (created: UploadState) => ({ Location: fixity.urlOfUpload(created.id) });
  if (announced === 0 && creation.length !== 0) {
    const created = await uploads.create(creation);
    return stateAnswer(created, 201, locationOf(created));
  }
  let location = {};
  try {
    const state = await uploads.createAndAppend(creation, { ...first, admission, terms }, (created) => {
      location = locationOf(created);
    });
    return stateAnswer(state, 201, locationOf(state));
  } catch (error) {
    return uploadFailureAnswer(exchange, error, location);
  }
}

/** `HEAD`. */
export async function tusUploadState(request: AuthorizedRequest, id: UploadId): Promise<Answer> {
  const { seen, terms, exchange } = request;
  // A client of tus takes the full offset for success, so this request completes what is left.
  const state = await uploadsOf(request).find(id, { seen, terms, retriesHook: true, signal: exchange.signal });
  return stateAnswer(state, 200, {
    "Cache-Control": "no-store",
    ...(state.length === null ? { "Upload-Defer-Length": "1" } : { "Upload-Length": String(state.length) }),
    ...(state.metadata !== null && { "Upload-Metadata": state.metadata }),
  });
}

/** `PATCH`. */
export async function appendToTusUpload(request: AuthorizedRequest, id: UploadId): Promise<Answer> {
  const { exchange, admission, seen, terms } = request;
  const { fields } = exchange;
  if (!hasUploadType(fields)) throw wrongType();
  const uploads = uploadsOf(request);
  const offset = parseByteCount(fields.get("upload-offset"));
  if (offset === null) throw new FixityError("invalid-field", "Upload-Offset must state where the content begins.");
  const length = parseByteCount(fields.get("upload-length"));
  if (length === null && fields.get("upload-length") !== undefined) {
    throw new FixityError("invalid-field", "Upload-Length is not a number of bytes.");
  }
  if (length !== null) refuseTooLarge(length, Math.min(uploads.limits.maxSize, terms.maxSize ?? Infinity));
  const state = await uploads.append(id, {
    // All offsets beyond the size of any file are equally wrong.
    ...appendContent(exchange, Math.min(offset, Number.MAX_SAFE_INTEGER)),
    admission,
    seen,
    terms,
    announced: announcedLength(exchange),
    lengths: length === null ? [] : [length],
  });
  return stateAnswer(state, 204, {});
}

/** `DELETE` ("Termination"): removes the upload, but not the blob that a completed one has stored. */
export async function terminateTusUpload(request: AuthorizedRequest, id: UploadId): Promise<Answer> {
  await uploadsOf(request).cancel(id, { seen: request.seen, terms: request.terms });
  return { status: 204, fields: {} };
}

/** The fields of tus in a response to `OPTIONS`. */
export function tusOptions({ fixity }: Pick<AdmittedRequest, "fixity">): Readonly<Record<string, string>> {
  if (fixity.uploads === null) return {};
  return {
    ...TUS_RESUMABLE,
    "Tus-Version": TUS_VERSION,
    "Tus-Extension": TUS_EXTENSIONS,
    "Tus-Max-Size": String(fixity.maxSize),
    "Tus-Checksum-Algorithm": CHECKSUM_ALGORITHMS.join(","),
  };
}

/**
 * The length of a creation's content; `undefined` if it is not announced. A proxy forwards even an
 * empty creation of an HTTP/2 client in chunks, without the type of an append. So content without a
 * length and type is read up to its first byte before anything is created.
 *
 * @throws FixityError `unsupported-media-type` for content of another type
 */
async function firstLength(exchange: Exchange): Promise<number | undefined> {
  const announced = announcedLength(exchange);
  if (announced === 0 || hasUploadType(exchange.fields)) return announced;
  if (announced === undefined && (await isEmpty(exchange.body))) return 0;
  throw wrongType();
}

/** Reads up to the first byte. */
async function isEmpty(body: AsyncIterable<Uint8Array>): Promise<boolean> {
  for await (const bytes of body) if (bytes.length > 0) return false;
  return true;
}

/** "All PATCH requests MUST use Content-Type: application/offset+octet-stream". */
function hasUploadType(fields: Fields): boolean {
  return parseContentType(fields.get("content-type"))?.essence === OFFSET_OCTET_STREAM;
}

function wrongType(): FixityError {
  return new FixityError("unsupported-media-type", `Upload content must have the type ${OFFSET_OCTET_STREAM}.`);
}

/**
 * "If the length of the upload exceeds the maximum, […] the Server MUST respond with the 413"
 * ("Creation").
 */
function refuseTooLarge(length: number, maxSize: number): void {
  if (length === Infinity) throw sizeLimitExceeded(maxSize);
}

/** The length of a new upload; `undefined` if it is deferred. */
function uploadLength(fields: Fields): number | undefined {
  const deferred = fields.get("upload-defer-length");
  const length = parseByteCount(fields.get("upload-length"));
  if (deferred === undefined && length !== null) return length;
  // "If the Upload-Defer-Length header contains any other value than 1 the server should return a
  // 400"
  if (deferred?.trim() === "1" && fields.get("upload-length") === undefined) return undefined;
  throw new FixityError(
    "invalid-field",
    "Upload-Length must state the number of bytes, or Upload-Defer-Length must be 1.",
  );
}

/** The content of an append, and its checksum from the header or trailer section. */
function appendContent(exchange: Exchange, offset: number) {
  const { fields, trailers, body } = exchange;
  const field = fields.get("upload-checksum");
  const checksum = field === undefined ? null : parseUploadChecksum(field);
  const expectsTrailer = (fields.get("trailer") ?? "").toLowerCase().includes("upload-checksum");
  const algorithms: readonly HashAlgorithm[] = expectsTrailer
    ? CHECKSUM_ALGORITHMS
    : checksum === null
      ? []
      : [checksum.algorithm];
  const hashed = algorithms.length === 0 ? null : new HashedSource(body, algorithms);
  return {
    offset,
    source: hashed ?? body,
    completes: "at-length" as const,
    whole: hashed !== null,
    check: () => {
      if (checksum !== null) compare(hashed, checksum);
      const trailer = trailers.get("upload-checksum");
      if (trailer !== undefined && hashed === null) {
        throw new FixityError(
          "unsupported-digest",
          "A checksum that follows the content must be announced: Trailer: Upload-Checksum.",
        );
      }
      if (trailer !== undefined) compare(hashed, parseUploadChecksum(trailer));
      if (trailer === undefined && expectsTrailer) {
        throw new FixityError("unsupported-digest", "Trailer announced an Upload-Checksum that did not arrive.");
      }
    },
  };
}

/** @throws FixityError `checksum-mismatch` */
function compare(hashed: HashedSource | null, { algorithm, value }: UploadChecksum): void {
  if (hashed?.digest(algorithm)?.equals(value) === true) return;
  throw new FixityError("checksum-mismatch", `The received content does not have the given ${algorithm} checksum.`);
}

function stateAnswer(state: UploadState, status: number, fields: Readonly<Record<string, string>>): Answer {
  const { outcome, offset, expires } = state;
  const note = noteOf(state);
  if (outcome instanceof Error) return withFields({ ...problemAnswer(outcome), note }, fields);
  return {
    status,
    fields: {
      ...fields,
      "Upload-Offset": String(offset),
      ...(outcome === null
        ? { "Upload-Expires": expires.toUTCString() }
        : { "Content-Location": outcome.url, ETag: etagOf(outcome.digest) }),
    },
    note,
  };
}
