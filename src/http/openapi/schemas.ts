import { type ErrorCode, ERRORS } from "../../core/errors.ts";
import type { Schema } from "./fields.ts";

/** A reference to one of the {@link SCHEMAS}. */
export function schemaNamed(name: string): Schema {
  return { $ref: `#/components/schemas/${name}` };
}

const LINK_PATTERN = "[0-9a-f]{64}(?:\\.[A-Za-z0-9]{1,16})?";

/** The schemas that several answers share. */
export const SCHEMAS: Readonly<Record<string, Schema>> = {
  Link: {
    type: "string",
    title: "Link",
    description: "SHA-256 of a file in hex, optionally with an extension, which decides the media type alone.",
    pattern: `^${LINK_PATTERN}$`,
    examples: ["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.txt"],
  },
  FileName: {
    type: "string",
    title: "File name",
    description: "The name of a file to store. Something like a mistyped digest, or with a colon, is refused.",
    minLength: 1,
    pattern: "^[^/\\x00-\\x1f:]+$",
    examples: ["photo.png"],
  },
  UploadId: { type: "string", title: "Upload id", description: "128 random bits.", pattern: "^[0-9a-f]{32}$" },
  StoredFile: {
    type: "object",
    title: "Stored file",
    required: ["url", "digest", "size", "type", "name", "integrity"],
    properties: {
      url: {
        type: "string",
        format: "uri-reference",
        description: "The permanent link: absolute if the service has a public URL.",
        pattern: `${LINK_PATTERN}$`,
      },
      digest: { type: "string", pattern: "^sha256:[0-9a-f]{64}$" },
      size: { type: "integer", minimum: 0, description: "Bytes." },
      type: { type: "string", description: "The media type that the link is served with." },
      name: { type: ["string", "null"], description: "The file's own name, cleaned." },
      integrity: { type: "string", pattern: "^sha256-[A-Za-z0-9+/]{43}=$", description: "For the HTML attribute." },
    },
  },
  ErrorCode: {
    type: "string",
    title: "Error code",
    description: "Stable: programs decide by it. `x-retry` states whether a retry helps, and which one.",
    oneOf: Object.entries(ERRORS).map(([code, { status, title, retry }]) => ({
      const: code,
      title,
      "x-status": status,
      "x-retry": retry,
    })),
  },
  Problem: {
    type: "object",
    title: "Problem (RFC 9457)",
    required: ["type", "title", "status", "code", "detail"],
    properties: {
      type: { type: "string", format: "uri-reference" },
      title: { type: "string", description: "The same text for every failure of this code." },
      status: { type: "integer", minimum: 400, maximum: 599 },
      code: schemaNamed("ErrorCode"),
      detail: { type: "string", description: "For people. It may be reworded." },
      announced: { type: ["string", "integer"], description: "Bytes that were announced." },
      received: { type: ["string", "integer"], description: "Bytes that arrived." },
      limit: { type: "number", description: "The limit that was exceeded." },
      used: { type: "number", description: "How much of the limit is used." },
      size: { type: "integer", minimum: 0, description: "Bytes of the stored file." },
      field: { type: "string", description: "The form field that must have the file." },
      host: { type: "string", description: "The host that was requested." },
      origin: { type: "string", description: "The page's origin." },
      "expected-offset": { type: "integer", minimum: 0, description: "The upload's offset." },
      "provided-offset": { type: "integer", minimum: 0, description: "The offset of the request." },
      "upload-offset": { type: "integer", minimum: 0, description: "The bytes that are saved." },
    },
  },
};

/** The problem document of failures with one status. */
export function problemSchema(status: number, codes: readonly ErrorCode[]): Schema {
  return {
    allOf: [schemaNamed("Problem")],
    properties: { status: { const: status }, code: { enum: codes.toSorted() } },
  };
}
