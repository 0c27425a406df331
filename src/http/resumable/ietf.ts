/**
 * Resumable uploads of the IETF draft (draft-ietf-httpbis-resumable-upload; names in quotation
 * marks are its sections). A client creates an upload by any upload request with `Upload-Complete`,
 * asks for its offset with `HEAD`, and continues with `PATCH`. The request that completes the
 * upload gets the response that the plain upload would have got.
 */
import { formatExactSize } from "../../base/format-size.ts";
import { asFixityError, type ErrorCode, FixityError } from "../../core/errors.ts";
import type { UploadId } from "../../core/upload-id.ts";
import type { AppendOptions } from "../../core/uploads/upload-options.ts";
import { type EndedUpload, hasEnded, type UploadState } from "../../core/uploads/upload-record.ts";
import { type Answer, type Exchange, withFields } from "../exchange.ts";
import { parseContentType } from "../fields/content-type.ts";
import { formatBoolean, parseBooleanField, parseIntegerField } from "../fields/upload-fields.ts";
import { problemAnswer } from "../problem.ts";
import type { AdmittedRequest, AuthorizedRequest } from "../request.ts";
import { announcedLength } from "../request-content.ts";
import { announcedDigests, DIGEST_FIELDS, DigestedContent, trailerDigests } from "../request-digests.ts";
import { type FileToStore, receiptAnswer } from "../routes/upload.ts";
import { type Interop, interopOf, sendInterim, uploadLimit } from "./interop.ts";
import { noteOf, uploadFailureAnswer, uploadsOf } from "./upload-answers.ts";

/** The media type of appended content. */
export const PARTIAL_UPLOAD = "application/partial-upload";

type ResponseFields = Readonly<Record<string, string>>;

/** Whether a request asks for a resumable upload ("Upload Creation"). */
export function wantsResumable({ fixity, exchange }: AdmittedRequest): boolean {
  return fixity.uploads !== null && parseBooleanField(exchange.fields.get("upload-complete")) !== null;
}

/** "Upload Creation": an upload request like any other, made resumable by its `Upload-Complete`. */
export async function createUpload(request: AuthorizedRequest, file: FileToStore): Promise<Answer> {
  const { fixity, exchange, client, terms } = request;
  const uploads = uploadsOf(request);
  const interop = interopOf(exchange.fields);
  const head = appendHead(exchange, 0);
  const content = appendContent(exchange, head);
  if (content.digest !== undefined && file.digest?.equals(content.digest) === false) {
    throw new FixityError("digest-mismatch", "The link and the digest field name different bytes.");
  }
  const { filename, type, extension } = file;
  const creation = {
    filename,
    type,
    extension,
    length: agreedLength(head.lengths),
    digest: file.digest ?? content.digest,
    sha512: content.sha512,
    client,
    terms,
    first: head,
    keepsComplete: false,
  };
  const announceUpload = (created: UploadState): ResponseFields => {
    const location = { Location: fixity.urlOfUpload(created.id) };
    const fields = { ...location, "Upload-Limit": uploadLimit(uploads, interop, created.expires) };
    sendInterim(request, interop, fields);
    return fields;
  };
  const hasContent = exchange.hasContent && (head.announced !== 0 || content.whole === true);
  if (!hasContent && !head.completes) {
    const created = await uploads.create(creation);
    return hasEnded(created) ? endedAnswer(request, created) : openAnswer(created, 201, announceUpload(created));
  }
  return answerAppend(request, interop, {
    head,
    content,
    status: 201,
    run: (options, onCreated) =>
      uploads.createAndAppend(creation, options, (created) => onCreated(announceUpload(created))),
    fields: null,
  });
}

/** "Upload Append". */
export async function appendToUpload(request: AuthorizedRequest, id: UploadId): Promise<Answer> {
  const { fields } = request.exchange;
  const interop = interopOf(fields);
  if (interop.requiresPartialType && parseContentType(fields.get("content-type"))?.essence !== PARTIAL_UPLOAD) {
    const error = new FixityError("unsupported-media-type", `Appended content must have the type ${PARTIAL_UPLOAD}.`);
    // The accepted type (RFC 5789, section 2.2).
    return failureAnswer(request, error, { "Accept-Patch": PARTIAL_UPLOAD });
  }
  const offset = parseIntegerField(fields.get("upload-offset"));
  if (offset === null) throw new FixityError("invalid-field", "Upload-Offset must state where the content begins.");
  if (parseBooleanField(fields.get("upload-complete")) === null) {
    throw new FixityError(
      "invalid-field",
      "Upload-Complete must state whether this is the end of the upload: ?1 or ?0.",
    );
  }
  const head = appendHead(request.exchange, offset);
  return answerAppend(request, interop, {
    head,
    content: appendContent(request.exchange, head),
    status: interop.appendStatus,
    run: (options) => uploadsOf(request).append(id, { ...options, seen: request.seen }),
    fields: {},
  });
}

/** "Offset Retrieval". */
export async function uploadState(request: AuthorizedRequest, id: UploadId): Promise<Answer> {
  const { exchange } = request;
  const uploads = uploadsOf(request);
  const interop = interopOf(exchange.fields);
  refuseUploadFields(exchange, interop);
  const state = await uploads.find(id, { seen: request.seen, terms: request.terms, signal: exchange.signal });
  const { outcome } = state;
  if (outcome instanceof Error) return withFields(problemAnswer(outcome), { "Upload-Complete": formatBoolean(true) });
  const answer = openAnswer(state, 204, { "Upload-Limit": uploadLimit(uploads, interop, state.expires) });
  if (outcome === null) return answer;
  // The fields of the response to the last append, which may have been lost.
  return withFields(answer, {
    ...receiptAnswer(request, outcome).fields,
    ...answer.fields,
    "Content-Location": outcome.url,
  });
}

/**
 * "Offset Retrieval" by `GET`, for which the draft defines no content. Once the upload has become a
 * file, a client that asks for JSON gets the response that completed the upload again, and any
 * other is redirected to the file.
 */
export async function fetchUpload(request: AuthorizedRequest, id: UploadId): Promise<Answer> {
  const { exchange } = request;
  const uploads = uploadsOf(request);
  const state = await uploads.find(id, { seen: request.seen, terms: request.terms, signal: exchange.signal });
  const { outcome } = state;
  if (outcome === null || outcome instanceof Error) return uploadState(request, id);
  const limit = uploadLimit(uploads, interopOf(exchange.fields), state.expires);
  const { fields } = openAnswer(state, 200, { "Upload-Limit": limit });
  if (/\bapplication\/json\b/.test(exchange.fields.get("accept") ?? "")) {
    return withFields(receiptAnswer(request, outcome), fields);
  }
  return { status: 303, fields: { ...fields, Location: outcome.url } };
}

/** "Upload Cancellation". */
export async function cancelUpload(request: AuthorizedRequest, id: UploadId): Promise<Answer> {
  refuseUploadFields(request.exchange, interopOf(request.exchange.fields));
  await uploadsOf(request).cancel(id, { seen: request.seen, terms: request.terms });
  return { status: 204, fields: {} };
}

/** Failures that the upload protocol reports, not the resource that the upload is meant for. */
const PROTOCOL_FAILURES: ReadonlySet<ErrorCode> = new Set([
  "append-limit-exceeded",
  "append-too-small",
  "inconsistent-length",
  "offset-mismatch",
  "upload-aborted",
  "upload-stalled",
  "upload-superseded",
]);

/**
 * The answer to a failed creation: no upload exists. `Upload-Complete` tells the client what
 * refused the request ("Completeness"): `?1` the targeted resource, so that sending the rest is
 * useless, `?0` the upload protocol. Server errors are `?0` as well, because `?1` would forbid a
 * retry.
 */
export function creationFailureAnswer(request: AdmittedRequest, error: unknown): Answer {
  const answer = failureAnswer(request, error);
  const isFinal = answer.status < 500 && !PROTOCOL_FAILURES.has(asFixityError(error).code);
  const limit = uploadLimit(uploadsOf(request), interopOf(request.exchange.fields));
  return withFields(answer, { "Upload-Complete": formatBoolean(isFinal), "Upload-Limit": limit });
}

/** Failures that enforce a limit. */
const LIMIT_FAILURES: ReadonlySet<ErrorCode> = new Set([
  "append-limit-exceeded",
  "append-too-small",
  "size-limit-exceeded",
]);

/**
 * The answer to a failed request: `Upload-Complete: ?0`, because the whole upload has not been
 * processed, unless `fields` override it.
 */
export function failureAnswer(request: AdmittedRequest, error: unknown, fields: ResponseFields = {}): Answer {
  const { exchange } = request;
  const answer = uploadFailureAnswer(exchange, error, { "Upload-Complete": formatBoolean(false), ...fields });
  // "When a request is rejected because limits were violated, the response SHOULD include the
  // Upload-Limit" ("Limits")
  if (!LIMIT_FAILURES.has(asFixityError(error).code)) return answer;
  const limit = uploadLimit(uploadsOf(request), interopOf(exchange.fields));
  return { ...answer, fields: { "Upload-Limit": limit, ...answer.fields } };
}

/** The limits on uploads and appends, for `OPTIONS`. */
export function uploadOptions({ fixity, exchange }: Pick<AdmittedRequest, "fixity" | "exchange">): ResponseFields {
  if (fixity.uploads === null) return {};
  return { "Upload-Limit": uploadLimit(fixity.uploads, interopOf(exchange.fields)), "Accept-Patch": PARTIAL_UPLOAD };
}

/** What the header section of a request states about its upload content. */
interface AppendHead {
  readonly offset: number;
  /** Whether the content ends the upload. */
  readonly completes: boolean;
  /** The length of the content; `undefined` if it is not announced. */
  readonly announced: number | undefined;
  /** The upload's length, as stated in up to two ways. */
  readonly lengths: readonly number[];
}

/** @throws as {@link announcedLength} does */
function appendHead(exchange: Exchange, offset: number): AppendHead {
  const completes = parseBooleanField(exchange.fields.get("upload-complete")) ?? false;
  const announced = announcedLength(exchange);
  const stated = parseIntegerField(exchange.fields.get("upload-length"));
  // "The length is then the sum of the current offset and the Content-Length header field value"
  const lengths = [stated, completes && announced !== undefined ? offset + announced : null];
  return { offset, completes, announced, lengths: lengths.filter((length) => length !== null) };
}

/** @throws FixityError `inconsistent-length` */
function agreedLength([first, second]: readonly number[]): number | undefined {
  if (first === undefined || second === undefined || first === second) return first;
  throw new FixityError(
    "inconsistent-length",
    `The request states two lengths: ${formatExactSize(first)} and ${formatExactSize(second)}.`,
  );
}

type AppendContent = Pick<AppendOptions, "source" | "whole" | "check" | "digest" | "sha512">;

/**
 * The content of an append and its digests: `Content-Digest` is about this content, `Repr-Digest`
 * about the whole upload. If the content is meant to be the whole, both are about the upload, which
 * can then be resumed.
 */
function appendContent(exchange: Exchange, { offset, completes }: AppendHead): AppendContent {
  const isWhole = completes && offset === 0;
  const uploadFields = isWhole ? DIGEST_FIELDS : (["repr-digest"] as const);
  const contentFields = isWhole ? [] : (["content-digest"] as const);
  const { sha256, sha512 } = announcedDigests(exchange.fields, uploadFields);
  const content = new DigestedContent(exchange, contentFields);
  return {
    source: content.source,
    whole: content.isHashed,
    digest: sha256 ?? undefined,
    sha512: sha512 ?? undefined,
    check: () => {
      content.check();
      const trailer = trailerDigests(exchange, true, uploadFields);
      return { digest: trailer.sha256 ?? undefined, sha512: trailer.sha512 ?? undefined };
    },
  };
}

interface Append {
  readonly head: AppendHead;
  readonly content: AppendContent;
  /** The status if the upload stays open. */
  readonly status: 201 | 204;
  readonly run: (options: AppendOptions, onCreated: (fields: ResponseFields) => void) => Promise<UploadState>;
  /** Fields of a response that does not complete the upload; `null` until the upload exists. */
  fields: ResponseFields | null;
}

/** Appends a request's content and answers it. */
async function answerAppend(request: AuthorizedRequest, interop: Interop, append: Append): Promise<Answer> {
  let durableOffset: number | null = null;
  try {
    const options: AppendOptions = {
      ...append.head,
      ...append.content,
      excessEnds: true,
      onFailure: (offset) => (durableOffset = offset),
      admission: request.admission,
      terms: request.terms,
      onProgress: (offset) => sendInterim(request, interop, { "Upload-Offset": String(offset) }),
    };
    const state = await append.run(options, (fields) => (append.fields = fields));
    if (hasEnded(state)) return endedAnswer(request, state);
    const limit = { "Upload-Limit": uploadLimit(uploadsOf(request), interop, state.expires) };
    return withFields(openAnswer(state, append.status, limit), append.fields ?? {});
  } catch (error) {
    if (append.fields === null) throw error;
    // An upload that has become too large has ended: the targeted resource refuses it.
    const isFinal = durableOffset === null && asFixityError(error).code === "size-limit-exceeded";
    return failureAnswer(request, error, {
      ...append.fields,
      ...(isFinal && { "Upload-Complete": formatBoolean(true) }),
      ...(durableOffset !== null && { "Upload-Offset": String(durableOffset) }),
    });
  }
}

/** An answer with the state of an upload. */
function openAnswer(state: UploadState, status: number, { Location: location, ...fields }: ResponseFields): Answer {
  return {
    status,
    fields: {
      ...(location !== undefined && { Location: location }),
      "Upload-Complete": formatBoolean(state.outcome !== null),
      "Upload-Offset": String(state.offset),
      ...(state.length !== null && { "Upload-Length": String(state.length) }),
      ...fields,
      "Cache-Control": "no-store",
    },
    note: noteOf(state),
  };
}

/**
 * The answer of the plain upload; "the response MUST include the Upload-Complete header field with
 * a true value".
 */
function endedAnswer(request: AdmittedRequest, { offset, outcome }: EndedUpload): Answer {
  const answer = outcome instanceof Error ? problemAnswer(outcome) : receiptAnswer(request, outcome);
  return withFields(answer, { "Upload-Complete": formatBoolean(true), "Upload-Offset": String(offset) });
}

/** Refuses fields of upload content in a request without any, in the drafts that require it. */
function refuseUploadFields({ fields }: Exchange, { refusesUploadFields }: Interop): void {
  const unexpected = ["upload-offset", "upload-complete", "upload-length"].find(
    (name) => fields.get(name) !== undefined,
  );
  if (!refusesUploadFields || unexpected === undefined) return;
  throw new FixityError("invalid-field", `${unexpected} is not allowed in a request without upload content.`);
}
