import { escapeMarkup } from "../base/escape-markup.ts";
import { createHash } from "node:crypto";
import type { FastifyInstance } from "fastify";
import { FixityError } from "../core/errors.ts";
import { matchesWeakly, parseEntityTags } from "../http/fields/etag.ts";
import { PAGE_SAFETY } from "../http/problem.ts";
import { ASSETS, entityTagOf, type PageFiles } from "./page-files.ts";
import { PLAIN_PAGE } from "./plain-page.ts";
import { formatSize } from "../base/format-size.ts";

/**
 * What the page may do: run the script that stands in it and what that loads, load its own files, show pictures that were
 * chosen, and upload to its own server. Not `script-src 'self'`: that would allow whatever is uploaded to this origin. The one
 * Trusted Types policy makes the URL of the worker.
 */
function policyOf(html: string): string {
  const scripts = [...html.matchAll(/<script>([^<]*)<\/script>/g)].map(
    ([, text = ""]) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`,
  );
  return [
    "default-src 'none'",
    ...(scripts.length === 0 ? [] : [`script-src ${scripts.join(" ")} 'strict-dynamic'`]),
    // browsers know style sheets in files by no digest; those that are uploaded here are plain text
    "style-src 'self'",
    "worker-src 'self'",
    "img-src 'self' blob:",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types fixity-worker",
  ].join("; ");
}

/** A worker goes by the policy that comes with its script. The one that hashes is WebAssembly, and loads nothing. */
const ASSET_POLICY = "default-src 'none'; script-src 'wasm-unsafe-eval'";

/** A year. The names of the files change with their content. */
const ONE_YEAR = "public, max-age=31536000, immutable";

/** What the page is told about the service. */
export interface PageFacts {
  /** The path to upload to, as this server has it. */
  readonly uploads: string;
  /** The URL to upload to, for commands; `null` where it follows from the page's own. */
  readonly address: string | null;
  /** Bytes. */
  readonly maxSize: number;
  readonly needsToken: boolean;
  /** Whether links have pages. */
  readonly view: boolean;
}

/** Whether the page or one of its files has an address at or below this path. */
export function isPagePath(path: string): boolean {
  return path === "/" || path === ASSETS || path.startsWith(`${ASSETS}/`);
}

/**
 * Serves the page to upload from, at `/`, and the files that it is made of.
 *
 * @param files `null` where the page was not built: then it is a plain form
 */
export function servePage(app: FastifyInstance, files: PageFiles | null, facts: PageFacts): void {
  const html = fillPage(files?.html ?? PLAIN_PAGE, facts);
  const etag = entityTagOf(html);
  const policy = policyOf(html);
  app.get("/", async (request, reply) => {
    void reply.headers({
      ...PAGE_SAFETY,
      ETag: etag,
      "Cache-Control": "no-cache",
      "Content-Security-Policy": policy,
      // with `no-referrer`, browsers would send the page's own form with `Origin: null`, as if it were from another site
      "Referrer-Policy": "same-origin",
    });
    const known = request.headers["if-none-match"];
    if (known !== undefined && matchesWeakly(parseEntityTags(known), etag)) return reply.code(304).send();
    return reply.type("text/html; charset=utf-8").send(html);
  });
  if (files !== null) serveAssets(app, files);
}

function serveAssets(app: FastifyInstance, files: PageFiles): void {
  app.get<{ Params: { name: string } }>(`${ASSETS}/:name`, async (request, reply) => {
    const file = await files.read(request.params.name, request.headers["accept-encoding"]);
    if (file === null) throw new FixityError("not-found", "There is nothing at this URL.");
    void reply.headers({
      "Cache-Control": ONE_YEAR,
      "Content-Security-Policy": ASSET_POLICY,
      Vary: "Accept-Encoding",
      ...(file.coding !== null && { "Content-Encoding": file.coding }),
    });
    return reply.type(file.type).send(file.content);
  });
}

/** The page with each `{{name}}` replaced by what it stands for, as text. */
export function fillPage(html: string, { uploads, address, maxSize, needsToken, view }: PageFacts): string {
  const values: Readonly<Record<string, string>> = {
    // relative to the page, which a proxy may serve below a path that this server does not see
    uploads: `.${uploads}`,
    address: address ?? uploads,
    maxSize: String(maxSize),
    maxSizeText: formatSize(maxSize),
    needsToken: String(needsToken),
    view: String(view),
  };
  return html.replace(/\{\{(\w+)\}\}/g, (_, name: string) => escapeMarkup(values[name] ?? ""));
}
