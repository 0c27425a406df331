import { Digest } from "../../core/digest.ts";
import { FixityError } from "../../core/errors.ts";
import { HashedSource, sizeLimitExceeded } from "../../core/intake.ts";
import type { UploadId } from "../../core/upload-id.ts";
import type { UploadState } from "../../core/uploads/upload-state.ts";
import type { Uploads } from "../../core/uploads/uploads.ts";
import { announcedLength } from "../request-content.ts";
import type { Answer, Exchange, Fields } from "../exchange.ts";
import { parseContentType } from "../fields/content-type.ts";
import { assertChecksum, CHECKSUM_ALGORITHMS, parseUploadChecksum } from "../fields/tus-fields.ts";
import { etagOf } from "../fields/etag.ts";
import { parseUploadMetadata, textIn } from "../fields/upload-metadata.ts";
import type { RouteContext } from "../handler.ts";
import { problemAnswer } from "../problem.ts";
import { failureAnswer, noteOf, uploadsOf, withFields } from "./upload-state-answers.ts";

/** The version of tus that is spoken, https://tus.io/protocols/resumable-upload. */
const VERSION = "1.0.0";

const EXTENSIONS = [
  "creation",
  "creation-with-upload",
  "creation-defer-length",
  "expiration",
  "termination",
  "checksum",
  "checksum-trailer",
].join(",");

/** Media type of what is appended. */
export const OFFSET_OCTET_STREAM = "application/offset+octet-stream";

/** "The Tus-Resumable header MUST be included in every request and response except for OPTIONS requests." */
export const RESUMABLE: Readonly<Record<string, string>> = { "Tus-Resumable": VERSION };

/** Whether a request speaks tus. */
export function speaksTus({ fields }: Exchange): boolean {
  return fields.get("tus-resumable") !== undefined;
}

/**
 * The method that a request means. "The actual method of the request MUST be ignored" where `X-HTTP-Method-Override` names
 * another, in requests of tus and for its `OPTIONS`, which needs no `Tus-Resumable`.
 */
export function effectiveMethod(exchange: Exchange): string {
  const { method, fields } = exchange;
  const override = fields.get("x-http-method-override")?.trim().toUpperCase();
  return override !== undefined && (speaksTus(exchange) || override === "OPTIONS") ? override : method;
}

/** Answers a tus request by the route for it. Every answer, also one of failure, says which version it speaks. */
export async function answerTus(exchange: Exchange, route: () => Promise<Answer>): Promise<Answer> {
  if (exchange.fields.get("tus-resumable")?.trim() !== VERSION) {
    const error = new FixityError("unsupported-version", `Tus-Resumable must be ${VERSION}.`);
    return withFields(problemAnswer(error), { ...RESUMABLE, "Tus-Version": VERSION });
  }
  try {
    return withFields(await route(), RESUMABLE);
  } catch (error) {
    return failureAnswer(exchange, error, RESUMABLE);
  }
}

/** `POST` to the collection ("Creation", "Creation With Upload"). */
export async function createTusUpload({ fixity, exchange, admission, client }: RouteContext): Promise<Answer> {
  const { fields } = exchange;
  const uploads = uploadsOf(fixity);
  if (fields.get("upload-concat") !== undefined) {
    throw new FixityError("invalid-field", "Upload-Concat is not understood here: send the file as one upload.");
  }
  const announced = await lengthOfFirst(exchange);
  const first = { ...appendOf(exchange, 0), announced };
  // where no byte comes, nothing is appended that would be checked
  if (announced === 0) first.check();
  const length = lengthOf(fields);
  if (length !== undefined) refuseTooLarge(length, uploads);
  const metadata = parseUploadMetadata(fields.get("upload-metadata"));
  const sha256 = textIn(metadata, "sha256");
  const told = {
    filename: textIn(metadata, "filename", "name"),
    type: textIn(metadata, "filetype", "type"),
    length,
    digest: sha256 === null ? undefined : Digest.parse(sha256.toLowerCase()),
    metadata: fields.get("upload-metadata")?.trim(),
    client,
    first,
  };
  const locationOf = (created: UploadState) => ({ Location: fixity.urlOfUpload(created.id) });
  if (announced === 0 && told.length !== 0) {
    const created = await uploads.create(told);
    return stateAnswer(created, 201, locationOf(created));
  }
  let location = {};
  try {
    const state = await uploads.createAndAppend(told, { ...first, admission }, (created) => {
      location = locationOf(created);
    });
    return stateAnswer(state, 201, locationOf(state));
  } catch (error) {
    return failureAnswer(exchange, error, location);
  }
}

/** `HEAD`. */
export async function tellTusUpload({ fixity, exchange }: RouteContext, id: UploadId): Promise<Answer> {
  const state = await uploadsOf(fixity).find(id, exchange.signal);
  return stateAnswer(state, 200, {
    "Cache-Control": "no-store",
    ...(state.length === null ? { "Upload-Defer-Length": "1" } : { "Upload-Length": String(state.length) }),
    ...(state.metadata !== null && { "Upload-Metadata": state.metadata }),
  });
}

/** `PATCH`. */
export async function appendToTusUpload({ fixity, exchange, admission }: RouteContext, id: UploadId): Promise<Answer> {
  const { fields } = exchange;
  if (!hasType(fields)) throw wrongType();
  const uploads = uploadsOf(fixity);
  const offset = integerIn(fields, "upload-offset");
  if (offset === null) throw new FixityError("invalid-field", "Upload-Offset must say where the content begins.");
  const length = integerIn(fields, "upload-length");
  if (length === null && fields.get("upload-length") !== undefined) {
    throw new FixityError("invalid-field", "Upload-Length is not a number of bytes.");
  }
  if (length !== null) refuseTooLarge(length, uploads);
  const state = await uploads.append(id, {
    // beyond what a file can have, any number is as wrong as another
    ...appendOf(exchange, Math.min(offset, Number.MAX_SAFE_INTEGER)),
    admission,
    announced: announcedLength(exchange),
    lengths: length === null ? [] : [length],
  });
  return stateAnswer(state, 204, {});
}

/** `DELETE` ("Termination"): the upload is forgotten; a blob that it has become stays. */
export async function terminateTusUpload({ fixity }: RouteContext, id: UploadId): Promise<Answer> {
  await uploadsOf(fixity).cancel(id);
  return { status: 204, fields: {} };
}

/** What `OPTIONS` tells of tus. */
export function tusOptions({ fixity }: RouteContext): Record<string, string> {
  if (fixity.uploads === null) return {};
  return {
    ...RESUMABLE,
    "Tus-Version": VERSION,
    "Tus-Extension": EXTENSIONS,
    "Tus-Max-Size": String(fixity.maxSize),
    "Tus-Checksum-Algorithm": CHECKSUM_ALGORITHMS.join(","),
  };
}

/**
 * How many bytes a creation brings; `undefined` where that is not announced. An HTTP/2 client behind a proxy sends even an
 * empty creation in chunks, without the type of an append. Whether bytes come is then seen before anything is created.
 *
 * @throws FixityError `unsupported-media-type` for bytes of another type
 */
async function lengthOfFirst(exchange: Exchange): Promise<number | undefined> {
  const announced = announcedLength(exchange);
  if (announced === 0 || hasType(exchange.fields)) return announced;
  if (announced === undefined && (await isEmpty(exchange.body))) return 0;
  throw wrongType();
}

/** Reads up to the first byte. */
async function isEmpty(body: AsyncIterable<Uint8Array>): Promise<boolean> {
  for await (const bytes of body) if (bytes.length > 0) return false;
  return true;
}

/** "All PATCH requests MUST use Content-Type: application/offset+octet-stream". */
function hasType(fields: Fields): boolean {
  return parseContentType(fields.get("content-type"))?.essence === OFFSET_OCTET_STREAM;
}

function wrongType(): FixityError {
  return new FixityError("unsupported-media-type", `Bytes of an upload must have the type ${OFFSET_OCTET_STREAM}.`);
}

/**
 * A number of bytes in a field of tus: "a non-negative integer", of any number of digits and without the bounds of a
 * structured field. `null` where the field is missing or holds anything else. Beyond what a file can have: `Infinity`.
 */
function integerIn(fields: Fields, name: string): number | null {
  const text = fields.get(name)?.trim() ?? "";
  if (!/^\d+$/.test(text)) return null;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : Infinity;
}

/** "If the length of the upload exceeds the maximum, […] the Server MUST respond with the 413" (tus, "Creation"). */
function refuseTooLarge(length: number, { limits: { maxSize } }: Uploads): void {
  if (length === Infinity) throw sizeLimitExceeded(maxSize);
}

/** `undefined` where the length comes later. */
function lengthOf(fields: Fields): number | undefined {
  const deferred = fields.get("upload-defer-length");
  const length = integerIn(fields, "upload-length");
  if (deferred === undefined && length !== null) return length;
  // "If the Upload-Defer-Length header contains any other value than 1 the server should return a 400"
  if (deferred?.trim() === "1" && fields.get("upload-length") === undefined) return undefined;
  throw new FixityError(
    "invalid-field",
    "Upload-Length must say how many bytes there are, or Upload-Defer-Length be 1.",
  );
}

/** The content, and the checksum that stands before or behind it. */
function appendOf(exchange: Exchange, offset: number) {
  const { fields, trailers, body } = exchange;
  const told = fields.get("upload-checksum");
  const checksum = told === undefined ? null : parseUploadChecksum(told);
  const trailing = (fields.get("trailer") ?? "").toLowerCase().includes("upload-checksum");
  const summed =
    checksum === null && !trailing
      ? null
      : new HashedSource(body, trailing ? CHECKSUM_ALGORITHMS : [checksum?.algorithm ?? "sha1"]);
  return {
    offset,
    source: summed ?? body,
    completes: "at-length" as const,
    whole: summed !== null,
    check: () => {
      if (checksum !== null && summed !== null) assertChecksum(summed, checksum);
      const trailer = trailers.get("upload-checksum");
      if (trailer !== undefined && summed === null) {
        throw new FixityError(
          "unsupported-digest",
          "A checksum that follows the content has to be announced: Trailer: Upload-Checksum.",
        );
      }
      if (trailer !== undefined && summed !== null) assertChecksum(summed, parseUploadChecksum(trailer));
      if (trailer === undefined && trailing) {
        throw new FixityError("unsupported-digest", "Upload-Checksum was announced by Trailer, and has not arrived.");
      }
    },
  };
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
