import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { FastifyInstance } from "fastify";
import type { ErrorCode } from "../core/errors.ts";
import type { Fixity } from "../core/fixity.ts";
import { chooseCoding } from "../http/fields/accept.ts";
import { matchesWeakly, parseEntityTags } from "../http/fields/etag.ts";
import { type AnswerDescription, SAFE } from "../http/openapi/answers.ts";
import type { OpenApiDocument, PathItem } from "../http/openapi/document.ts";
import type { Schema } from "../http/openapi/fields.ts";
import { responsesOf } from "../http/openapi/responses.ts";
import type { ServerHandlerOptions } from "../http/options.ts";

/** The path of the description of the server in OpenAPI. */
export const DESCRIPTION_PATH = "/openapi.json";

const CODINGS = ["gzip"] as const;

/** The description as it is sent. */
interface SentDescription {
  readonly text: string;
  readonly gzipped: Buffer;
  readonly etag: string;
}

/**
 * Serves the description of the server at {@link DESCRIPTION_PATH}. It is made by the first request:
 * most servers are never asked for it.
 */
export function serveDescription(app: FastifyInstance, fixity: Fixity, options: ServerHandlerOptions): void {
  let description: Promise<SentDescription> | null = null;
  app.get(DESCRIPTION_PATH, async (request, reply) => {
    description ??= makeDescription(fixity, options);
    const { text, gzipped, etag } = await description;
    void reply.headers({
      ETag: etag,
      "Cache-Control": "no-cache",
      Vary: "Accept-Encoding",
      // As for files: in local mode no other site may learn what runs on this machine.
      ...(options.resourcePolicy === "cross-origin" && { "Access-Control-Allow-Origin": "*" }),
    });
    const known = request.headers["if-none-match"];
    if (known !== undefined && matchesWeakly(parseEntityTags(known), etag)) return reply.code(304).send();
    void reply.type("application/json; charset=utf-8");
    if (chooseCoding(CODINGS, request.headers["accept-encoding"]) === null) return reply.send(text);
    return reply.header("Content-Encoding", "gzip").send(gzipped);
  });
}

async function makeDescription(fixity: Fixity, options: ServerHandlerOptions): Promise<SentDescription> {
  const text = `${JSON.stringify(await describeServer(fixity, options))}\n`;
  const etag = `"${createHash("sha256").update(text).digest("base64url").slice(0, 22)}"`;
  return { text, gzipped: await promisify(gzip)(text), etag };
}

/** Describes a server: the service, and the server's own paths. */
export async function describeServer(fixity: Fixity, options: ServerHandlerOptions): Promise<OpenApiDocument> {
  const { describeService } = await import("../http/openapi/document.ts");
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
  [DESCRIPTION_PATH]: {
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
