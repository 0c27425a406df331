import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { extname } from "node:path";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { FastifyInstance } from "fastify";
import { escapeMarkup } from "../base/escape-markup.ts";
import { formatSize } from "../base/format-size.ts";
import { chooseCoding } from "../http/fields/accept.ts";
import { matchesWeakly, parseEntityTags } from "../http/fields/etag.ts";
import { PAGE_SAFETY } from "../http/problem.ts";
import { notFound } from "../http/route.ts";

/** The output of the build of `src/web`; the same place from source and in the package. */
const BUILD_FOLDER = new URL("../../dist/web/", import.meta.url);

/** The path of the page's files, as the build names it. */
const ASSETS_PATH = "/page";

const ASSET_TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};

const CODINGS = ["br", "gzip"] as const;

/** The build writes a Brotli file beside each file that compresses well. */
const BROTLI_ENDING = ".br";

/**
 * The policy of the script of a worker applies to the worker. The one that hashes is WebAssembly,
 * and loads nothing.
 */
const ASSET_POLICY = "default-src 'none'; script-src 'wasm-unsafe-eval'";

/** One year, because the names of the files change with their content. */
const ASSET_CACHING = "public, max-age=31536000, immutable";

/** The facts about the service that are filled into the page. */
export interface PageFacts {
  /** The path to upload to, as this server sees it. */
  readonly uploads: string;
  /** The URL to upload to, for commands; `null` if it follows from the page's own. */
  readonly address: string | null;
  /** Bytes. */
  readonly maxSize: number;
  readonly needsToken: boolean;
  /** Whether answers show that content was stored already. */
  readonly revealsExisting: boolean;
  /** Who may read files. */
  readonly reads: "public" | "signed";
  /** Whether links have pages. */
  readonly view: boolean;
}

/** Whether a path is that of the page, or that of its files or below it. */
export function isPagePath(path: string): boolean {
  return path === "/" || path === ASSETS_PATH || path.startsWith(`${ASSETS_PATH}/`);
}

/**
 * Serves the upload page at `/`, and its files.
 *
 * @param files `null` if the page was not built; a plain form is served instead
 */
export function servePage(app: FastifyInstance, files: PageFiles | null, facts: PageFacts): void {
  const html = fillPage(files?.html ?? PLAIN_PAGE, facts);
  const etag = `"${createHash("sha256").update(html).digest("base64url").slice(0, 22)}"`;
  const policy = policyOf(html);
  app.get("/", async (request, reply) => {
    void reply.headers({
      ...PAGE_SAFETY,
      ETag: etag,
      "Cache-Control": "no-cache",
      "Content-Security-Policy": policy,
      // With `no-referrer`, browsers would send the page's own form with `Origin: null`, as if it
      // came from another site.
      "Referrer-Policy": "same-origin",
    });
    const known = request.headers["if-none-match"];
    if (known !== undefined && matchesWeakly(parseEntityTags(known), etag)) return reply.code(304).send();
    return reply.type("text/html; charset=utf-8").send(html);
  });
  if (files !== null) serveAssets(app, files);
}

function serveAssets(app: FastifyInstance, files: PageFiles): void {
  app.get<{ Params: { name: string } }>(`${ASSETS_PATH}/:name`, async (request, reply) => {
    const file = await files.read(request.params.name, request.headers["accept-encoding"]);
    if (file === null) throw notFound();
    void reply.headers({
      "Cache-Control": ASSET_CACHING,
      "Content-Security-Policy": ASSET_POLICY,
      Vary: "Accept-Encoding",
      ...(file.coding !== null && { "Content-Encoding": file.coding }),
    });
    return reply.type(file.type).send(file.content);
  });
}

/** The page with each `{{name}}` replaced by its fact, escaped as text. */
export function fillPage(html: string, facts: PageFacts): string {
  const { uploads, address, maxSize, needsToken, revealsExisting, reads, view } = facts;
  const values: Readonly<Record<string, string>> = {
    // Relative to the page, which a proxy may serve below a path that this server does not see.
    uploads: `.${uploads}`,
    address: address ?? uploads,
    maxSize: String(maxSize),
    maxSizeText: formatSize(maxSize),
    needsToken: String(needsToken),
    revealsExisting: String(revealsExisting),
    reads,
    view: String(view),
  };
  return html.replace(/\{\{(\w+)\}\}/g, (_, name: string) => escapeMarkup(values[name] ?? ""));
}

/**
 * The Content-Security-Policy of the page. It may run its inline script and what that loads, load
 * its own files, show images that the user has chosen, and upload to its own server.
 * `script-src 'self'` would also allow every file that was uploaded to this origin. The one Trusted
 * Types policy creates the URL of the worker.
 */
function policyOf(html: string): string {
  const scripts = [...html.matchAll(/<script>([^<]*)<\/script>/g)].map(
    ([, text = ""]) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`,
  );
  return [
    "default-src 'none'",
    ...(scripts.length === 0 ? [] : [`script-src ${scripts.join(" ")} 'strict-dynamic'`]),
    // Browsers accept no digests for external style sheets. Uploaded ones are served as plain text.
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

/** One file of the page, as it is sent. */
export interface PageFile {
  readonly type: string;
  readonly content: Buffer;
  /** The `Content-Encoding`; `null` for none. */
  readonly coding: string | null;
}

/** The built page and its files. */
export class PageFiles {
  /** The page itself, with placeholders such as `{{name}}`. */
  readonly html: string;
  readonly #folder: URL;
  /** The names of all files. A name from a request becomes a path only if it is in this set. */
  readonly #names: ReadonlySet<string>;
  /**
   * Files in gzip, by name: for clients that do not accept Brotli, such as browsers that load the
   * page over plain HTTP from another machine. Compressing takes milliseconds, so the package has
   * no second compressed copy of each file.
   */
  readonly #gzipped = new Map<string, Promise<Buffer>>();

  private constructor(folder: URL, html: string, names: readonly string[]) {
    this.#folder = folder;
    this.html = html;
    this.#names = new Set(names);
  }

  /**
   * Reads the page and the names of its files. Their content is read on request, since most
   * visitors need one language.
   *
   * @returns `null` if the page was not built
   */
  static async load(folder: URL = BUILD_FOLDER): Promise<PageFiles | null> {
    try {
      const [html, names] = await Promise.all([
        readFile(new URL("index.html", folder), "utf8"),
        readdir(new URL(`.${ASSETS_PATH}/`, folder)),
      ]);
      return new PageFiles(new URL(`.${ASSETS_PATH}/`, folder), html, names);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
  }

  /**
   * A file in the smallest coding that the client accepts; `null` if there is none of this name.
   */
  async read(name: string, acceptEncoding: string | undefined): Promise<PageFile | null> {
    const type = ASSET_TYPES[extname(name)];
    if (type === undefined || !this.#names.has(name)) return null;
    const isCompressible = this.#names.has(name + BROTLI_ENDING);
    const coding = isCompressible ? chooseCoding(CODINGS, acceptEncoding) : null;
    if (coding === "gzip") return { type, content: await this.#gzip(name), coding };
    const path = coding === "br" ? name + BROTLI_ENDING : name;
    return { type, content: await readFile(new URL(path, this.#folder)), coding };
  }

  async #gzip(name: string): Promise<Buffer> {
    const known = this.#gzipped.get(name);
    if (known !== undefined) return known;
    const compressed = readFile(new URL(name, this.#folder)).then((content) => promisify(gzip)(content));
    this.#gzipped.set(name, compressed);
    // A failure, such as a lack of file descriptors, is not kept.
    compressed.catch(() => this.#gzipped.delete(name));
    return compressed;
  }
}

/**
 * Served if the real page was not built, as after `npm ci --ignore-scripts` in a checkout: a form
 * for every browser.
 */
const PLAIN_PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <title>fixity: upload files, get permanent links</title>
  </head>
  <body data-uploads="{{uploads}}" data-max-size="{{maxSize}}" data-needs-token="{{needsToken}}">
    <h1>fixity</h1>
    <p>Upload a file, get a permanent link.</p>
    <form method="post" action="{{uploads}}" enctype="multipart/form-data">
      <p><label>File, up to {{maxSizeText}}: <input type="file" name="upload" required /></label></p>
      <p><button type="submit">Upload</button></p>
    </form>
    <p>If the server requires a token, upload from a terminal: this form cannot send one.</p>
    <pre>curl -F upload=@FILE {{address}}</pre>
  </body>
</html>
`;
