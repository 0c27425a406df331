import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { extname } from "node:path";
import type { FastifyInstance } from "fastify";
import { matchesWeakly, parseEntityTags } from "../http/fields/etag.ts";
import { formatSize } from "./units.ts";

/** What the page may do: load its own files, show pictures that were chosen, upload to its own server, and nothing else. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob:",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join("; ");

const FOLDER = new URL("../web/page/", import.meta.url);

const PAGE = "index.html";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** What the page is told about the service. */
export interface PageFacts {
  /** The path to upload to. */
  readonly uploads: string;
  /** Bytes. */
  readonly maxSize: number;
  readonly needsToken: boolean;
}

/** The texts of the page's files by the paths that they are served at. */
export async function pageFiles(): Promise<ReadonlyMap<string, string>> {
  const names = await readdir(FOLDER);
  const texts = await Promise.all(names.map((name) => readFile(new URL(name, FOLDER), "utf8")));
  return new Map(names.map((name, index) => [name === PAGE ? "/" : `/${name}`, texts[index] ?? ""]));
}

/** Serves the page to upload from, at `/`, and the files that it is made of. */
export function servePage(app: FastifyInstance, files: ReadonlyMap<string, string>, facts: PageFacts): void {
  for (const [path, text] of files) {
    serveFile(app, path, {
      type: TYPES[extname(path === "/" ? PAGE : path)] ?? "application/octet-stream",
      content: Buffer.from(path === "/" ? fillPage(text, facts) : text),
    });
  }
}

function serveFile(app: FastifyInstance, url: string, file: { readonly type: string; readonly content: Buffer }): void {
  const etag = `"${createHash("sha256").update(file.content).digest("base64url").slice(0, 22)}"`;
  app.get(url, async (request, reply) => {
    void reply.headers({
      ETag: etag,
      "Cache-Control": "no-cache",
      "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    });
    const known = request.headers["if-none-match"];
    if (known !== undefined && matchesWeakly(parseEntityTags(known), etag)) return reply.code(304).send();
    return reply.type(file.type).send(file.content);
  });
}

/** The page with each `{{name}}` replaced by what it stands for, as text. */
export function fillPage(html: string, { uploads, maxSize, needsToken }: PageFacts): string {
  const values: Readonly<Record<string, string>> = {
    uploads,
    maxSize: String(maxSize),
    maxSizeText: formatSize(maxSize),
    needsToken: String(needsToken),
  };
  return html.replace(/\{\{(\w+)\}\}/g, (_, name: string) => escapeHtml(values[name] ?? ""));
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
