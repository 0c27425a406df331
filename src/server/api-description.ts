import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { FastifyInstance } from "fastify";
import type { Fixity } from "../core/fixity.ts";
import { chooseCoding } from "../http/fields/accept.ts";
import { matchesWeakly, parseEntityTags } from "../http/fields/etag.ts";
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
  const { describeServer } = await import("./described-paths.ts");
  const text = `${JSON.stringify(describeServer(fixity, options))}\n`;
  const etag = `"${createHash("sha256").update(text).digest("base64url").slice(0, 22)}"`;
  return { text, gzipped: await promisify(gzip)(text), etag };
}
