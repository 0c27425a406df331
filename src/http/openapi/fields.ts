/** A JSON Schema (draft 2020-12), as OpenAPI 3.1 uses it. */
export type Schema = Readonly<Record<string, unknown>>;

/** A header field of a response, or a parameter of a request. */
type FieldDescription = {
  readonly description: string;
  readonly schema: Schema;
};

/** The fields of responses that have a meaning of their own here. */
export type FieldName =
  | "Accept-Patch"
  | "Accept-Ranges"
  | "Access-Control-Allow-Headers"
  | "Access-Control-Allow-Methods"
  | "Access-Control-Allow-Origin"
  | "Access-Control-Expose-Headers"
  | "Access-Control-Max-Age"
  | "Allow"
  | "Cache-Control"
  | "Cache-Group-Invalidation"
  | "Cache-Groups"
  | "Cache-Tag"
  | "Content-Disposition"
  | "Content-Encoding"
  | "Content-Location"
  | "Content-Range"
  | "Content-Security-Policy"
  | "Cross-Origin-Opener-Policy"
  | "Cross-Origin-Resource-Policy"
  | "ETag"
  | "Location"
  | "Problem-Code"
  | "Referrer-Policy"
  | "Repr-Digest"
  | "Retry-After"
  | "Tus-Checksum-Algorithm"
  | "Tus-Extension"
  | "Tus-Max-Size"
  | "Tus-Resumable"
  | "Tus-Version"
  | "Upload-Complete"
  | "Upload-Defer-Length"
  | "Upload-Expires"
  | "Upload-Length"
  | "Upload-Limit"
  | "Upload-Metadata"
  | "Upload-Offset"
  | "Vary"
  | "WWW-Authenticate"
  | "X-Accel-Redirect"
  | "X-Blob-Cache-Control"
  | "X-Content-Type-Options"
  | "X-Frame-Options"
  | "X-Request-Id"
  | "X-Robots-Tag";

/** The parameters of requests. */
export type ParameterName =
  | "download"
  | "inline"
  | "stored"
  | "view"
  | "filename"
  | "Range"
  | "IfRange"
  | "IfMatch"
  | "IfNoneMatch"
  | "IfUnmodifiedSince"
  | "ReprDigest"
  | "ContentDigest"
  | "ContentDisposition"
  | "UploadComplete"
  | "UploadLength"
  | "UploadOffset"
  | "UploadDraftInteropVersion"
  | "TusResumable"
  | "UploadMetadata"
  | "UploadDeferLength"
  | "UploadChecksum";

const TEXT = { type: "string" };
const BYTES = { type: "integer", minimum: 0 };
const DIGEST_FIELD = { type: "string", examples: ["sha-256=:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=:"] };
/** A structured Boolean (RFC 9651). */
const BOOLEAN = { type: "string", enum: ["?0", "?1"] };
const DATE = { type: "string", description: "An HTTP date (RFC 9110, section 5.6.7)." };

/**
 * The fields of responses that have a meaning of their own here. Those that frame a message, such as
 * `Content-Length`, `Date` and `Connection`, are not listed; `Content-Type` is part of the content.
 */
export const RESPONSE_FIELDS: Readonly<Record<FieldName, FieldDescription>> = {
  "Accept-Patch": { description: "The media type of content that can be appended (RFC 5789).", schema: TEXT },
  "Accept-Ranges": { description: "`bytes`: ranges can be requested.", schema: { const: "bytes" } },
  "Access-Control-Allow-Headers": { description: "CORS: the request fields that pages may send.", schema: TEXT },
  "Access-Control-Allow-Methods": { description: "CORS: the methods that pages may use.", schema: TEXT },
  "Access-Control-Allow-Origin": { description: "CORS: the origin whose pages may read this, or `*`.", schema: TEXT },
  "Access-Control-Expose-Headers": { description: "CORS: the response fields that pages may read.", schema: TEXT },
  "Access-Control-Max-Age": { description: "CORS: seconds for which a preflight may be kept.", schema: BYTES },
  Allow: { description: "The methods that the resource supports.", schema: TEXT },
  "Cache-Control": { description: "How long caches may keep the response.", schema: TEXT },
  "Cache-Group-Invalidation": { description: "The group that caches must drop (RFC 9875).", schema: TEXT },
  "Cache-Groups": { description: "The group of all responses about the file (RFC 9875).", schema: TEXT },
  "Cache-Tag": { description: "The digest, by which CDNs drop all responses about the file.", schema: TEXT },
  "Content-Disposition": { description: "Whether to save or to display the file, and its name.", schema: TEXT },
  "Content-Encoding": { description: "The compression of the content.", schema: { enum: ["br", "gzip"] } },
  "Content-Location": { description: "The link of the file that a complete upload has become.", schema: TEXT },
  "Content-Range": {
    description: "The bytes that follow, and the size of the file.",
    schema: { type: "string", pattern: "^bytes (?:\\d+-\\d+|\\*)/(?:\\d+|\\*)$" },
  },
  "Content-Security-Policy": { description: "What a browser may do with the content.", schema: TEXT },
  "Cross-Origin-Opener-Policy": { description: "Isolates the window of a page.", schema: { const: "same-origin" } },
  "Cross-Origin-Resource-Policy": {
    description: "Which origins' pages may embed the file.",
    schema: { enum: ["same-origin", "cross-origin"] },
  },
  ETag: {
    description: "For a file, its digest in quotation marks.",
    schema: { type: "string", pattern: '^(?:W/)?".*"$' },
  },
  Location: {
    description: "The permanent link of the file, or the URL of the upload in progress.",
    schema: { type: "string", format: "uri-reference" },
  },
  "Problem-Code": { description: "The `code` of a failure whose response may have no content.", schema: TEXT },
  "Referrer-Policy": { description: "Whether a browser names this page in requests.", schema: TEXT },
  "Repr-Digest": { description: "The SHA-256 of the whole file (RFC 9530).", schema: DIGEST_FIELD },
  "Retry-After": { description: "Seconds after which a retry may succeed.", schema: BYTES },
  "Tus-Checksum-Algorithm": { description: "tus: the algorithms of `Upload-Checksum`.", schema: TEXT },
  "Tus-Extension": { description: "tus: the supported extensions.", schema: TEXT },
  "Tus-Max-Size": { description: "tus: the largest size of a file in bytes.", schema: BYTES },
  "Tus-Resumable": { description: "tus: the version, in every response to its requests.", schema: { const: "1.0.0" } },
  "Tus-Version": { description: "tus: the supported versions.", schema: TEXT },
  "Upload-Complete": { description: "Whether the upload is over: nothing more need be sent.", schema: BOOLEAN },
  "Upload-Defer-Length": { description: "tus: the length is not known yet.", schema: { const: "1" } },
  "Upload-Expires": { description: "tus: when the unfinished upload expires.", schema: DATE },
  "Upload-Length": { description: "The bytes of the whole file, if they are known.", schema: BYTES },
  "Upload-Limit": { description: "Limits in bytes and seconds: `max-size=1024, max-age=86400`.", schema: TEXT },
  "Upload-Metadata": { description: "tus: the metadata that the upload was created with.", schema: TEXT },
  "Upload-Offset": { description: "The durable bytes of the upload: continue from here.", schema: BYTES },
  Vary: { description: "The request fields on which the response depends.", schema: TEXT },
  "WWW-Authenticate": { description: "How to authenticate.", schema: TEXT },
  "X-Accel-Redirect": { description: "For the web server in front: the file to send.", schema: TEXT },
  "X-Blob-Cache-Control": { description: "For the web server in front: the file's `Cache-Control`.", schema: TEXT },
  "X-Content-Type-Options": { description: "Browsers take the media type as it is.", schema: { const: "nosniff" } },
  "X-Frame-Options": { description: "No page may frame this one.", schema: { const: "DENY" } },
  "X-Request-Id": { description: "The id of the request in the server's log.", schema: TEXT },
  "X-Robots-Tag": { description: "Search engines do not list the page.", schema: { const: "noindex" } },
};

/** A parameter of a request. */
interface ParameterDescription extends FieldDescription {
  readonly in: "query" | "header";
  readonly required?: true;
  readonly name: string;
}

const FLAG = { type: "string", description: "Its presence counts, not its value." };

/** The parameters of requests by the name of their component. */
export const PARAMETERS: Readonly<Record<ParameterName, ParameterDescription>> = {
  download: { in: "query", name: "download", description: "Browsers save the file.", schema: FLAG },
  inline: { in: "query", name: "inline", description: "Browsers display a PDF instead of saving it.", schema: FLAG },
  stored: { in: "query", name: "stored", description: "Answers 204, not an error, unless it is stored.", schema: FLAG },
  view: { in: "query", name: "view", description: "Asks for the page about the file.", schema: FLAG },
  filename: { in: "query", name: "filename", description: "The file's name, in any script.", schema: TEXT },
  Range: {
    in: "header",
    name: "Range",
    description: "One or more ranges of bytes (RFC 9110, section 14.2).",
    schema: { type: "string", examples: ["bytes=0-1023"] },
  },
  IfRange: { in: "header", name: "If-Range", description: "Ranges are served if this is the ETag.", schema: TEXT },
  IfMatch: {
    in: "header",
    name: "If-Match",
    description: "Entity tags, or `*`: refused with 412 unless the stored file has one of them.",
    schema: TEXT,
  },
  IfNoneMatch: {
    in: "header",
    name: "If-None-Match",
    description: "Entity tags, or `*`: 304 for reads, 412 for others, if the stored file has one of them.",
    schema: TEXT,
  },
  IfUnmodifiedSince: {
    in: "header",
    name: "If-Unmodified-Since",
    description: "Refused with 412 if the file was stored later.",
    schema: DATE,
  },
  ReprDigest: {
    in: "header",
    name: "Repr-Digest",
    description: "`sha-256` or `sha-512` of the whole file, which is compared (RFC 9530).",
    schema: DIGEST_FIELD,
  },
  ContentDigest: {
    in: "header",
    name: "Content-Digest",
    description: "`sha-256` or `sha-512` of this request's content, which is compared (RFC 9530).",
    schema: DIGEST_FIELD,
  },
  ContentDisposition: {
    in: "header",
    name: "Content-Disposition",
    description: 'The name of content that is no form: `attachment; filename="photo.png"`.',
    schema: TEXT,
  },
  UploadComplete: {
    in: "header",
    name: "Upload-Complete",
    description: "IETF: `?1` if this request ends the upload, `?0` if more follow. Makes a creation resumable.",
    schema: BOOLEAN,
  },
  UploadLength: { in: "header", name: "Upload-Length", description: "The bytes of the whole file.", schema: BYTES },
  UploadOffset: {
    in: "header",
    name: "Upload-Offset",
    required: true,
    description: "Where the content begins: required to append, in both protocols.",
    schema: BYTES,
  },
  UploadDraftInteropVersion: {
    in: "header",
    name: "Upload-Draft-Interop-Version",
    description: "IETF: the version of the client, which then gets `104` responses.",
    schema: { type: "integer", minimum: 0 },
  },
  TusResumable: {
    in: "header",
    name: "Tus-Resumable",
    description: "Makes the request one of tus.",
    schema: { const: "1.0.0" },
  },
  UploadMetadata: {
    in: "header",
    name: "Upload-Metadata",
    description: "tus: `filename`, `filetype` and `sha256`, each with its value in Base64.",
    schema: TEXT,
  },
  UploadDeferLength: {
    in: "header",
    name: "Upload-Defer-Length",
    description: "tus: the length is not known yet.",
    schema: { const: "1" },
  },
  UploadChecksum: {
    in: "header",
    name: "Upload-Checksum",
    description: "tus: `sha256`, `sha1` or `crc32` of this request's content, and its value in Base64.",
    schema: TEXT,
  },
};
