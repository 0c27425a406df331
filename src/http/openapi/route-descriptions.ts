import type { ErrorCode } from "../../core/errors.ts";
import type { RouteName } from "../route.ts";
import {
  type AnswerDescription,
  APPENDED,
  APPENDING,
  CHANGING,
  FILE_ANSWERS,
  READING,
  REDIRECTED,
  STATE,
  STORED,
  STORED_BY_BROWSER,
  STORING,
  tusState,
  UPLOAD,
  UPLOAD_STATE,
  VIEWED,
} from "./answers.ts";
import type { FieldName, ParameterName, Schema } from "./fields.ts";

/** What the document says about one row of the route table. */
export interface RouteDescription {
  readonly summary: string;
  readonly parameters?: readonly ParameterName[];
  /** The request's content by media type; the schema is `null` for bytes. */
  readonly content?: Readonly<Record<string, Schema | null>>;
  readonly answers: readonly AnswerDescription[];
  /** Failures, besides those of any request. */
  readonly codes: readonly ErrorCode[];
  /** Fields that some failures have, besides those of all failures. */
  readonly failureFields?: readonly FieldName[];
  /** The part of the service without which the route does not exist. */
  readonly needs?: "uploads" | "view";
}

const BYTES = { "*/*": null };
const NAME: readonly ParameterName[] = ["filename", "ContentDisposition"];
const DIGESTS: readonly ParameterName[] = ["ReprDigest", "ContentDigest"];
const CONDITIONS: readonly ParameterName[] = ["IfMatch", "IfNoneMatch"];
const SERVING: readonly ParameterName[] = ["filename", "download", "inline"];
const RESUMABLE: readonly ParameterName[] = ["UploadComplete", "UploadLength", "UploadDraftInteropVersion"];
const TUS: readonly ParameterName[] = ["TusResumable"];
const TUS_CONTENT: readonly ParameterName[] = [...TUS, "UploadChecksum"];

const OFFSET: readonly FieldName[] = ["Upload-Offset"];
const CREATION_FAILURE: readonly FieldName[] = [...OFFSET, "Upload-Complete", "Upload-Limit", "Location"];
const APPEND_FAILURE: readonly FieldName[] = [...OFFSET, "Upload-Complete", "Upload-Limit", "Accept-Patch"];

const RESUMABLE_CREATION: Pick<RouteDescription, "content" | "answers" | "codes" | "failureFields" | "needs"> = {
  content: BYTES,
  answers: APPENDED,
  codes: APPENDING,
  failureFields: CREATION_FAILURE,
  needs: "uploads",
};

/** Failures of requests for the state of an upload, which may have ended by one. */
const OUTCOMES: readonly ErrorCode[] = [
  ...UPLOAD,
  ...(["content-refused", "digest-mismatch", "inconsistent-length", "size-limit-exceeded"] as const),
  "blob-blocked",
  "type-not-allowed",
];

const PUT_TO_NAME_CODES: readonly ErrorCode[] = ["invalid-link", "malformed-form", "precondition-failed"];
const FETCHED: readonly AnswerDescription[] = [
  STATE,
  ...STORED.map((answer) => ({
    ...answer,
    description: "For clients that accept JSON: the response that completed the upload, again.",
    fields: [...answer.fields, ...UPLOAD_STATE],
    optional: ["Upload-Length"] as const,
  })),
  {
    status: 303,
    description: "The upload is complete: the link of the file.",
    fields: ["Location", ...UPLOAD_STATE],
    optional: ["Upload-Length"],
  },
];

/**
 * What each row of the route table answers. Rows for the same path and method become one operation
 * of the document: OpenAPI has no other way to describe alternatives.
 */
export const ROUTE_DESCRIPTIONS: Readonly<Record<RouteName, RouteDescription>> = {
  "create-tus-upload": {
    summary: "With `Tus-Resumable`: creates an upload of tus 1.0, with or without its first bytes.",
    parameters: [...TUS_CONTENT, "UploadLength", "UploadDeferLength", "UploadMetadata"],
    content: { "application/offset+octet-stream": null },
    answers: [tusState(201, "tus: the upload is created.", ["Location"])],
    codes: [...APPENDING, "checksum-mismatch", "invalid-digest", "unsupported-version"],
    failureFields: [...OFFSET, "Location", "Tus-Version"],
    needs: "uploads",
  },
  "upload-form": {
    summary: "A form: stores its one file.",
    parameters: DIGESTS,
    content: { "multipart/form-data": { $ref: "#/components/schemas/Form" } },
    answers: [...STORED, STORED_BY_BROWSER],
    codes: [...STORING, "form-limit-exceeded", "malformed-form", "missing-file", "unexpected-file"],
  },
  "create-upload": {
    summary: "With `Upload-Complete`: creates a resumable upload of the IETF draft, and stores it if it is complete.",
    parameters: [...NAME, ...DIGESTS, ...RESUMABLE],
    ...RESUMABLE_CREATION,
    codes: [...APPENDING, "malformed-form"],
  },
  "store-content": {
    summary: "Any other content: stores it.",
    parameters: [...NAME, ...DIGESTS],
    content: BYTES,
    answers: STORED,
    codes: [...STORING, "malformed-form", "missing-file"],
  },
  "view-blob": {
    summary: "With `?view`: a page about the file.",
    parameters: ["view", "filename", ...CONDITIONS],
    answers: VIEWED,
    codes: READING,
    needs: "view",
  },
  "read-blob": {
    summary: "The file, or ranges of it.",
    parameters: [...SERVING, ...CONDITIONS, "Range", "IfRange"],
    answers: [...FILE_ANSWERS, REDIRECTED],
    codes: [...READING, "range-not-satisfiable"],
  },
  "ask-whether-stored": {
    summary: "With `?stored`: 204 unless the file is stored and intact, which browsers do not report as an error.",
    parameters: ["stored"],
    answers: [
      {
        status: 204,
        description: "With `?stored`: not known to be stored, or not readable.",
        fields: ["Cache-Control"],
      },
    ],
    codes: [],
  },
  "stat-blob": {
    summary: "The fields of the file. It is stored, but this acknowledges no upload.",
    parameters: [...SERVING, ...CONDITIONS],
    answers: FILE_ANSWERS.filter(({ status }) => status !== 206),
    codes: READING,
  },
  "put-to-link-resumably": {
    summary: "To a link with `Upload-Complete`: a resumable upload whose SHA-256 must be that of the link.",
    parameters: [...CONDITIONS, "IfUnmodifiedSince", ...DIGESTS, ...RESUMABLE],
    ...RESUMABLE_CREATION,
    codes: [...APPENDING, "precondition-failed"],
  },
  "put-to-link": {
    summary: "To a link: stores the content if its SHA-256 is that of the link. If it is stored, no content is needed.",
    parameters: [...CONDITIONS, "IfUnmodifiedSince", ...DIGESTS],
    content: BYTES,
    answers: STORED,
    codes: [...STORING, "missing-file", "precondition-failed"],
  },
  "remove-blob": {
    summary: "Removes the file, and so all links to it.",
    parameters: [...CONDITIONS, "IfUnmodifiedSince"],
    answers: [{ status: 204, description: "The file is removed.", fields: [] }],
    codes: [...CHANGING, "blob-not-found", "precondition-failed"],
  },
  "put-to-name-resumably": {
    summary: "To any other name with `Upload-Complete`: a resumable upload of a file with this name.",
    parameters: [...CONDITIONS, ...DIGESTS, ...RESUMABLE],
    ...RESUMABLE_CREATION,
    codes: [...APPENDING, ...PUT_TO_NAME_CODES],
  },
  "put-to-name": {
    summary: "To any other name: stores the content as a file with this name. The link is in the answer.",
    parameters: [...CONDITIONS, ...DIGESTS],
    content: BYTES,
    answers: STORED,
    codes: [...STORING, ...PUT_TO_NAME_CODES, "missing-file"],
  },
  "tus-upload-state": {
    summary: "With `Tus-Resumable`: the state of the upload.",
    parameters: TUS,
    answers: [
      tusState(200, "tus: the state of the upload.", [
        "Cache-Control",
        "Upload-Length",
        "Upload-Defer-Length",
        "Upload-Metadata",
      ]),
    ],
    codes: [...OUTCOMES, "unsupported-version"],
    failureFields: [...OFFSET, "Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Tus-Version"],
    needs: "uploads",
  },
  "fetch-upload": {
    summary: "The state of the upload, or the response that completed it.",
    parameters: ["UploadDraftInteropVersion", ...TUS],
    answers: FETCHED,
    codes: [...OUTCOMES, "unsupported-version"],
    failureFields: ["Upload-Complete", ...OFFSET, "Tus-Version"],
    needs: "uploads",
  },
  "append-to-tus-upload": {
    summary: "With `Tus-Resumable`: appends bytes.",
    parameters: [...TUS_CONTENT, "UploadOffset", "UploadLength", ...CONDITIONS],
    content: { "application/offset+octet-stream": null },
    answers: [tusState(204, "tus: the bytes are saved, and the file is stored if they were the last.")],
    codes: [...APPENDING, "checksum-mismatch", "precondition-failed", "unsupported-version"],
    failureFields: [...OFFSET, "Tus-Version"],
    needs: "uploads",
  },
  "terminate-tus-upload": {
    summary: "With `Tus-Resumable`: removes the upload. The file of a complete one stays.",
    parameters: [...TUS, ...CONDITIONS],
    answers: [{ status: 204, description: "The upload is removed.", fields: [] }],
    codes: [...UPLOAD, "precondition-failed", "unsupported-version"],
    failureFields: [...OFFSET, "Tus-Version"],
    needs: "uploads",
  },
  "upload-state": {
    summary: "The state of the upload by the IETF draft.",
    parameters: ["UploadDraftInteropVersion"],
    answers: [STATE],
    codes: OUTCOMES,
    failureFields: ["Upload-Complete", ...OFFSET],
    needs: "uploads",
  },
  "append-to-upload": {
    summary: "Appends bytes by the IETF draft.",
    parameters: ["UploadOffset", ...RESUMABLE, ...DIGESTS, ...CONDITIONS],
    content: { "application/partial-upload": null },
    answers: [
      ...APPENDED,
      {
        status: 204,
        description: "IETF: the bytes are saved, and the upload is not complete.",
        fields: UPLOAD_STATE,
        optional: ["Upload-Length"],
      },
    ],
    codes: [...APPENDING, "precondition-failed"],
    failureFields: APPEND_FAILURE,
    needs: "uploads",
  },
  "cancel-upload": {
    summary: "Cancels the upload by the IETF draft.",
    parameters: ["UploadDraftInteropVersion", ...CONDITIONS],
    answers: [{ status: 204, description: "The upload is removed.", fields: [] }],
    codes: [...UPLOAD, "precondition-failed"],
    failureFields: [...OFFSET, "Upload-Complete"],
    needs: "uploads",
  },
};
