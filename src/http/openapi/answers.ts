import type { ErrorCode } from "../../core/errors.ts";
import type { FieldName, Schema } from "./fields.ts";
import { schemaNamed } from "./schemas.ts";

/** One kind of answer to a request that succeeds. */
export interface AnswerDescription {
  readonly status: number;
  readonly description: string;
  /** Fields that every such answer has. */
  readonly fields: readonly FieldName[];
  /** Fields that some such answers have. */
  readonly optional?: readonly FieldName[];
  /** The schema of the content by media type, `null` for bytes of a file; none for no content. */
  readonly content?: Readonly<Record<string, Schema | null>>;
}

const TEXT = { type: "string" };

/** Fields of all content that is not a file. */
export const SAFE: readonly FieldName[] = ["Content-Security-Policy", "Referrer-Policy", "X-Content-Type-Options"];

const RECEIPT: readonly FieldName[] = ["Location", "ETag", "Repr-Digest", "Cache-Control"];
/** Fields that a receipt has if the upload was resumable. */
const RESUMED: readonly FieldName[] = ["Upload-Complete", "Upload-Offset", "Upload-Length", "Upload-Limit"];
const STORED_FILE = {
  "application/json": schemaNamed("StoredFile"),
  "text/plain": { type: "string", description: "The link, and a newline." },
};

/** The answers to an upload that is stored. */
export const STORED: readonly AnswerDescription[] = [
  { status: 201, description: "The content is stored.", fields: [...RECEIPT, ...SAFE], content: STORED_FILE },
  {
    status: 200,
    description: "The content was stored before.",
    fields: [...RECEIPT, ...SAFE],
    optional: RESUMED,
    content: STORED_FILE,
  },
];

/** The answer to a browser that submitted a form. */
export const STORED_BY_BROWSER: AnswerDescription = {
  status: 303,
  description: "The content is stored: a browser is redirected to the link.",
  fields: RECEIPT,
};

/** Fields of the IETF draft that state what an upload is. */
export const UPLOAD_STATE: readonly FieldName[] = ["Upload-Complete", "Upload-Offset", "Upload-Limit", "Cache-Control"];

/** The answers of the IETF draft to a creation or append. */
export const APPENDED: readonly AnswerDescription[] = [
  ...STORED,
  {
    status: 201,
    description: "IETF: the upload is created, and not complete.",
    fields: UPLOAD_STATE,
    optional: ["Location", "Upload-Length"],
  },
];

/** The state of an upload by the IETF draft. */
export const STATE: AnswerDescription = {
  status: 204,
  description: "IETF: the state of the upload. The fields of the file follow once it is complete.",
  fields: UPLOAD_STATE,
  optional: ["Upload-Length", "Content-Location", ...RECEIPT, ...SAFE],
};

/** Fields by which tus states what an upload is: unfinished, or a file. */
const TUS_STATE: readonly FieldName[] = ["Upload-Expires", "Content-Location", "ETag"];

/** The state of an upload of tus. */
export function tusState(status: number, description: string, optional: readonly FieldName[] = []): AnswerDescription {
  return { status, description, fields: ["Upload-Offset", "Tus-Resumable"], optional: [...TUS_STATE, ...optional] };
}

const FILE: readonly FieldName[] = [
  "ETag",
  "Cache-Control",
  "Content-Security-Policy",
  "X-Content-Type-Options",
  "Cross-Origin-Resource-Policy",
];
const WHOLE_FILE: readonly FieldName[] = [...FILE, "Repr-Digest"];

/** The answers to a request for a file. */
export const FILE_ANSWERS: readonly AnswerDescription[] = [
  {
    status: 200,
    description: "The file.",
    fields: WHOLE_FILE,
    optional: ["Accept-Ranges", "Content-Disposition", "X-Accel-Redirect", "X-Blob-Cache-Control"],
    content: { "*/*": null },
  },
  {
    status: 206,
    description: "The requested range, or several as `multipart/byteranges`.",
    fields: WHOLE_FILE,
    optional: ["Accept-Ranges", "Content-Disposition", "Content-Range"],
    content: { "*/*": null },
  },
  { status: 304, description: "The client has the file.", fields: FILE },
];

/** The answer where another server sends the bytes. */
export const REDIRECTED: AnswerDescription = {
  status: 307,
  description: "The bucket sends the file: a URL with a limited lifetime.",
  fields: ["Location", "Cache-Control"],
};

const PAGE: readonly FieldName[] = [
  ...SAFE,
  "Cross-Origin-Opener-Policy",
  "X-Frame-Options",
  "ETag",
  "Cache-Control",
  "X-Robots-Tag",
];

/** The page of a link. */
export const VIEWED: readonly AnswerDescription[] = [
  { status: 200, description: "With `?view`: the page about the file.", fields: PAGE, content: { "text/html": TEXT } },
  { status: 304, description: "With `?view`: the client has the page.", fields: PAGE },
];

/** Failures of any request, before its route is known. */
export const ANY: readonly ErrorCode[] = [
  "headers-too-large",
  "internal-error",
  "invalid-request",
  "shutting-down",
  "too-many-requests",
  "unsupported-transfer-coding",
  "upload-stalled",
];

const ACCESS: readonly ErrorCode[] = ["forbidden", "principal-limit-exceeded", "unauthorized"];
const STORE: readonly ErrorCode[] = ["store-busy", "store-misconfigured", "store-unavailable", "upload-aborted"];

/** Failures of requests for a file. */
export const READING: readonly ErrorCode[] = [
  ...ACCESS,
  ...STORE,
  "blob-blocked",
  "blob-damaged",
  "blob-not-found",
  "link-expired",
  "precondition-failed",
];

/** Failures of requests that change something. */
export const CHANGING: readonly ErrorCode[] = [...ACCESS, ...STORE, "cross-site-request", "invalid-field"];

/** Failures of requests with content to store. */
export const STORING: readonly ErrorCode[] = [
  ...CHANGING,
  "access-expired",
  "blob-blocked",
  "blob-damaged",
  "content-already-read",
  "content-refused",
  "digest-mismatch",
  "length-mismatch",
  "size-limit-exceeded",
  "store-full",
  "type-not-allowed",
  "unsupported-content-encoding",
  "unsupported-digest",
  "unsupported-expectation",
  "unsupported-media-type",
];

/** Failures of requests to an upload. */
export const UPLOAD: readonly ErrorCode[] = [...CHANGING, "upload-damaged", "upload-not-found", "upload-superseded"];

/** Failures of requests that bring bytes for an upload. */
export const APPENDING: readonly ErrorCode[] = [
  ...STORING,
  "append-limit-exceeded",
  "append-too-small",
  "inconsistent-length",
  "offset-mismatch",
  "too-many-uploads",
  "upload-damaged",
  "upload-not-found",
  "upload-superseded",
];
