import type { ErrorCode } from "../core/errors.ts";
import type { Fixity } from "../core/fixity.ts";
import { type AnswerDescription, SAFE } from "../http/openapi/answers.ts";
import { describeService, type OpenApiDocument, type PathItem } from "../http/openapi/document.ts";
import type { Schema } from "../http/openapi/fields.ts";
import { responsesOf } from "../http/openapi/responses.ts";
import type { ServerHandlerOptions } from "../http/options.ts";

/** Describes a server: the service, and the server's own paths. */
export function describeServer(fixity: Fixity, options: ServerHandlerOptions): OpenApiDocument {
  return describeService(fixity, options, ownPaths(options));
}

/** One of the server's own paths, for `GET` and `HEAD`. */
interface OwnPath {
  readonly id: string;
  readonly summary: string;
  readonly answers: readonly AnswerDescription[];
  readonly codes?: readonly ErrorCode[];
  readonly parameters?: readonly Schema[];
}

const HEALTHY: AnswerDescription = {
  status: 200,
  description: "It does.",
  fields: [...SAFE, "Cache-Control"],
  content: {
    "application/json": { type: "object", required: ["status"], properties: { status: { const: "ok" } } },
  },
};
const NOT_MODIFIED: AnswerDescription = {
  status: 304,
  description: "The client has it.",
  fields: [...SAFE, "ETag", "Cache-Control"],
  optional: ["Cross-Origin-Opener-Policy", "X-Frame-Options"],
};
const TEXT = { type: "string" };

const OWN_PATHS: Readonly<Record<string, OwnPath>> = {
  "/healthz": { id: "health", summary: "Whether the process works", answers: [HEALTHY] },
  "/readyz": {
    id: "readiness",
    summary: "Whether the server should receive requests: its store works, and it is not stopping",
    answers: [HEALTHY],
    codes: ["store-unavailable"],
  },
  "/openapi.json": {
    id: "description",
    summary: "This document",
    answers: [
      {
        status: 200,
        description: "This document.",
        fields: [...SAFE, "ETag", "Cache-Control", "Vary"],
        optional: ["Content-Encoding"],
        content: { "application/json": { type: "object" } },
      },
      NOT_MODIFIED,
    ],
  },
  "/": {
    id: "page",
    summary: "The upload page",
    answers: [
      {
        status: 200,
        description: "The page.",
        fields: [...SAFE, "ETag", "Cache-Control", "Cross-Origin-Opener-Policy", "X-Frame-Options"],
        content: { "text/html": TEXT },
      },
      NOT_MODIFIED,
    ],
  },
  "/page/{name}": {
    id: "pageFile",
    summary: "A file of the upload page",
    parameters: [{ name: "name", in: "path", required: true, schema: TEXT }],
    answers: [
      {
        status: 200,
        description: "The file.",
        fields: [...SAFE, "Cache-Control", "Vary"],
        optional: ["Content-Encoding"],
        content: { "text/css": TEXT, "text/javascript": TEXT, "image/svg+xml": TEXT },
      },
    ],
    codes: ["not-found"],
  },
};

function ownPaths({ checkHost }: ServerHandlerOptions): Readonly<Record<string, PathItem>> {
  const hostCodes: readonly ErrorCode[] = checkHost === undefined ? [] : ["unknown-host"];
  return Object.fromEntries(
    Object.entries(OWN_PATHS).map(([path, { id, summary, answers, codes = [], parameters }]) => {
      const failures = { codes: [...codes, ...hostCodes], fields: [], isNavigation: true };
      const operation = (isHead: boolean): Schema => ({
        operationId: isHead ? `${id}Fields` : id,
        summary,
        ...(parameters !== undefined && { parameters }),
        responses: responsesOf(answers, failures, isHead),
      });
      return [path, { get: operation(false), head: operation(true) }];
    }),
  );
}
