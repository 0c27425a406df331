/**
 * Links of the documentation. They are written for readers of the repository, relative to their file;
 * on the site they lead to the site's pages, or to the repository for files that the site does not have.
 */
import { existsSync, statSync } from "node:fs";
import path from "node:path";
import { entries } from "./entries.ts";
import { allPages, HOME, REPOSITORY, ROOT } from "./pages.ts";

/** The anchor that GitHub gives to a heading, and so does the site. */
export function slugOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .trim()
    .replaceAll(" ", "-");
}

/** Files and folders of this repository as absolute addresses, for readers who have no checkout. */
export const IN_REPOSITORY: RegExp = /^https:\/\/github\.com\/fixity\/fixity\/(?:blob|tree)\/main\/?/;

export class Links {
  /** Addresses of pages, by the files they are made from; the source of an entry leads to its reference. */
  readonly #urls: ReadonlyMap<string, string>;

  constructor() {
    const pages = allPages();
    const byPage = new Map(pages.map(({ source, url }) => [source, url]));
    const references = entries().flatMap(({ source, page }) => {
      const url = byPage.get(page);
      return url === undefined ? [] : [[source, url] as const];
    });
    this.#urls = new Map([...byPage, ...references, [HOME, "/"], ["README.md", "/"]]);
  }

  /**
   * Where `href` leads on the site, if it stands in the file `source`.
   *
   * @throws Error if it leads to a file that does not exist
   */
  onSite(source: string, href: string): string {
    const isAbsolute = IN_REPOSITORY.test(href);
    if (href.startsWith("#") || (!isAbsolute && /^[a-z][a-z+.-]*:/i.test(href))) return href;
    const [target = "", anchor] = href.replace(IN_REPOSITORY, "").split("#", 2);
    const file = isAbsolute ? target : path.posix.join(path.posix.dirname(source), decodeURI(target));
    if (file.startsWith("..") || !existsSync(ROOT + file)) throw new Error(`${source}: ${href} leads nowhere`);
    const fragment = anchor === undefined ? "" : `#${anchor}`;
    // a line of a source file stays what it is
    const url = /^L\d+$/.test(anchor ?? "") ? undefined : this.#urls.get(file);
    if (url !== undefined) return url + fragment;
    const kind = statSync(ROOT + file).isDirectory() ? "tree" : "blob";
    return REPOSITORY.replace("blob", kind) + file + fragment;
  }
}
