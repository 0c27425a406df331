/** The pages of the site: which file each is made from, its address, and its title. */
import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { API_FOLDER, NAVIGATION, type NavigationGroup } from "./navigation.ts";

/** The root of the repository, with a slash at its end. */
export const ROOT: string = fileURLToPath(new URL("../", import.meta.url));

/** The path below which the site is served. */
export const BASE: string = process.env["DOCS_BASE"] ?? "/";

/** Where files of the repository are read that the site does not have. */
export const REPOSITORY = "https://github.com/fixity/fixity/blob/main/";

export const HOME = "site/index.md";

export interface Page {
  /** The path of its Markdown file, from the root of the repository. */
  readonly source: string;
  /** Its address on the site, without the site's base: `/guides/nginx`. */
  readonly url: string;
  /** Its first heading. */
  readonly title: string;
}

/** A group with the pages that its folders have at the moment. */
export interface PageGroup {
  readonly title: string;
  readonly pages: readonly Page[];
  readonly groups: readonly PageGroup[];
}

export function pageGroups(): readonly PageGroup[] {
  const listed = everyEntry(NAVIGATION).flatMap(expanded);
  const group = ({ title, pages, groups = [] }: NavigationGroup): PageGroup => ({
    title,
    pages: pages
      .flatMap(expanded)
      .flatMap((entry) => (entry.endsWith("/") ? filesIn(entry, listed) : [entry]))
      .map(pageOf),
    groups: groups.map(group),
  });
  return NAVIGATION.map(group).filter(({ pages, groups }) => pages.length + groups.length > 0);
}

/** The files that a pattern names; other entries are themselves. */
function expanded(entry: string): readonly string[] {
  return entry.includes("*") ? globSync(entry, { cwd: ROOT }).sort() : [entry];
}

/** All pages but the home page, in the order of the sidebar. */
export function allPages(groups: readonly PageGroup[] = pageGroups()): readonly Page[] {
  return groups.flatMap(({ pages, groups }) => [...pages, ...allPages(groups)]);
}

function everyEntry(groups: readonly NavigationGroup[]): readonly string[] {
  return groups.flatMap(({ pages, groups = [] }) => [...pages, ...everyEntry(groups)]);
}

/** The pages in a folder, but those that another entry lists: by their names, or with a folder within this one. */
function filesIn(folder: string, entries: readonly string[]): readonly string[] {
  if (!existsSync(ROOT + folder)) return [];
  const others = entries.filter((entry) => entry !== folder && entry.startsWith(folder));
  const isListed = (file: string): boolean =>
    others.some((entry) => (entry.endsWith("/") ? file.startsWith(entry) : file === entry));
  const names = readdirSync(ROOT + folder, { recursive: true, encoding: "utf8" });
  return names
    .map((name) => folder + name)
    .filter((file) => file.endsWith(".md") && !isListed(file))
    .sort();
}

function pageOf(source: string): Page {
  const title = /^# (.+)$/m.exec(readFileSync(ROOT + source, "utf8"))?.[1];
  if (title === undefined) throw new Error(`${source} has no heading of the first level`);
  return { source, url: urlOf(source), title: title.replaceAll("`", "") };
}

/** The address of the page that is made from a file. */
export function urlOf(source: string): string {
  if (source === HOME) return "/";
  if (source.startsWith(API_FOLDER)) return `/api/${source.slice(API_FOLDER.length, -".md".length)}`;
  if (source.startsWith("docs/")) return `/${source.slice("docs/".length, -".md".length)}`;
  const name = source.replace(/\/README\.md$|\.md$/, "");
  return `/${name.toLowerCase()}`;
}
