import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { extname } from "node:path";
import { chooseCoding } from "../http/fields/accept.ts";

/** What the build of `src/web` has made; the same from source and from the package. */
const BUILT = new URL("../../dist/web/", import.meta.url);

/** Where the files of the page are, as the build names it. */
export const ASSETS = "/page";

const TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};

const CODINGS = ["br", "gzip"] as const;
const ENDINGS = { br: ".br", gzip: ".gz" } as const;

/** One file of the page, as it is sent. */
export interface PageFile {
  readonly type: string;
  readonly content: Buffer;
  /** For `Content-Encoding`, or `null` where it is sent as it stands. */
  readonly coding: string | null;
}

/** The page as it was built. */
export class PageFiles {
  /** The page itself, with a place for each `{{name}}`. */
  readonly html: string;
  readonly #folder: URL;
  /** All that is there: no name of a request becomes a path but by standing here. */
  readonly #names: ReadonlySet<string>;

  private constructor(folder: URL, html: string, names: readonly string[]) {
    this.#folder = folder;
    this.html = html;
    this.#names = new Set(names);
  }

  /**
   * Reads the page, and the names of its files: what they hold is read when it is asked for, since most of it is the words of
   * forty languages.
   *
   * @returns `null` where it was not built
   */
  static async load(folder: URL = BUILT): Promise<PageFiles | null> {
    try {
      const [html, names] = await Promise.all([
        readFile(new URL("index.html", folder), "utf8"),
        readdir(new URL(`.${ASSETS}/`, folder)),
      ]);
      return new PageFiles(new URL(`.${ASSETS}/`, folder), html, names);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
  }

  /** A file by its name, in the smallest form that the client takes; `null` where there is none. */
  async read(name: string, acceptEncoding: string | undefined): Promise<PageFile | null> {
    const type = TYPES[extname(name)];
    if (type === undefined || !this.#names.has(name)) return null;
    const made = CODINGS.filter((coding) => this.#names.has(name + ENDINGS[coding]));
    const coding = chooseCoding(made, acceptEncoding);
    const path = coding === null ? name : name + ENDINGS[coding];
    return { type, content: await readFile(new URL(path, this.#folder)), coding };
  }
}

/** A strong entity-tag of some content. */
export function entityTagOf(content: string): string {
  return `"${createHash("sha256").update(content).digest("base64url").slice(0, 22)}"`;
}
