import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { FastifyInstance } from "fastify";
import type { Fixity } from "../core/fixity.ts";
import { formatSize } from "./units.ts";

/** What the page may do: load its own two files, upload to its own server, and nothing else. */
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

const FILES = [
  ["/", "index.html", "text/html; charset=utf-8"],
  ["/page.css", "page.css", "text/css; charset=utf-8"],
  ["/page.js", "page.js", "text/javascript; charset=utf-8"],
] as const;

/** What the page is told about the service. */
export interface PageFacts {
  readonly fixity: Fixity;
  readonly needsToken: boolean;
}

/** Serves the page to upload from, at `/`. */
export async function servePage(app: FastifyInstance, facts: PageFacts): Promise<void> {
  for (const [url, name, type] of FILES) {
    const text = await readFile(new URL(`../web/page/${name}`, import.meta.url), "utf8");
    const content = Buffer.from(name === "index.html" ? fill(text, facts) : text);
    const etag = `"${createHash("sha256").update(content).digest("base64url").slice(0, 22)}"`;
    app.get(url, async (request, reply) => {
      void reply.headers({
        ETag: etag,
        "Cache-Control": "no-cache",
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
      });
      if (request.headers["if-none-match"] === etag) return reply.code(304).send();
      return reply.type(type).send(content);
    });
  }
}

function fill(html: string, { fixity, needsToken }: PageFacts): string {
  const values: Readonly<Record<string, string>> = {
    uploads: fixity.prefix,
    maxSize: String(fixity.maxSize),
    maxSizeText: formatSize(fixity.maxSize),
    needsToken: String(needsToken),
  };
  return html.replace(/\{\{(\w+)\}\}/g, (_, name: string) => escapeHtml(values[name] ?? ""));
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
