/**
 * The documentation for language models (https://llmstxt.org): `llms.txt` lists the pages,
 * `llms-full.txt` has the text of all but the decisions and the changelog, and each page's Markdown
 * stands beside its HTML.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { API_FOLDER } from "./navigation.ts";
import { Links } from "./links.ts";
import { BASE, type Page, type PageGroup, pageGroups, ROOT } from "./pages.ts";

const INTRODUCTION = `# fixity

> fixity is an upload service in TypeScript. It streams a file to a disk folder or an S3-compatible store, names it by its
> SHA-256, stores it once, and serves it at \`/uploads/<sha256>.<ext>\` for ever. A link is returned only after the bytes
> behind it are complete, verified and durable. A read through a link returns exactly those bytes, or an error.
`;

export function writeForModels(outDir: string): void {
  const groups = pageGroups();
  const lists = groups.map(({ title, pages, groups }) => {
    const nested = groups.flatMap((group) => group.pages);
    return `## ${title}\n\n${[...pages, ...nested].map(item).join("\n")}\n`;
  });
  writeFileSync(path.join(outDir, "llms.txt"), [INTRODUCTION, ...lists].join("\n"));
  const texts = wholeText(groups).map(({ source, url }) => `<!-- ${url} -->\n\n${textOf(source)}`);
  writeFileSync(path.join(outDir, "llms-full.txt"), [INTRODUCTION, ...texts].join("\n"));
  const links = new Links();
  for (const { source, url } of everyPage(groups)) {
    const file = path.join(outDir, `${url}.md`);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, withLinksOfSite(source, links));
  }
}

function item({ title, url, source }: Page): string {
  const summary = summaryOf(textOf(source));
  return `- [${title}](${BASE}${url.slice(1)}.md)${summary === "" ? "" : `: ${summary}`}`;
}

/** The first sentence of a page's first paragraph, as plain text. */
function summaryOf(text: string): string {
  const paragraph = text.split(/\n{2,}/).find((block) => /^(?!```)[\p{L}`*[]/u.test(block)) ?? "";
  const plain = paragraph.replaceAll(/!?\[([^\]]*)\]\([^)]*\)/g, "$1").replaceAll(/\s+/g, " ");
  return /^.*?[.:](?= |$)/.exec(plain)?.[0].replace(/:$/, ".") ?? "";
}

function wholeText(groups: readonly PageGroup[]): readonly Page[] {
  const isLeftOut = ({ source }: Page): boolean =>
    source.startsWith("docs/decisions/") || source === "CHANGELOG.md" || source.startsWith(API_FOLDER);
  return everyPage(groups).filter((page) => !isLeftOut(page));
}

function everyPage(groups: readonly PageGroup[]): readonly Page[] {
  return groups.flatMap(({ pages, groups }) => [...pages, ...everyPage(groups)]);
}

/** The text of a page, with links to the Markdown of other pages. */
function withLinksOfSite(source: string, links: Links): string {
  const parts = textOf(source).split(/(```.*?```|`[^`]*`)/s);
  const linked = parts.map((part, index) => {
    if (index % 2 === 1) return part; // code
    return part.replaceAll(/(?<!!\[[^\]]*)\]\(([^)\s]+)\)/g, (_link, href: string) => {
      const [address = "", anchor] = links.onSite(source, href).split("#", 2);
      const file = address.startsWith("/") && address !== "/" ? `${BASE}${address.slice(1)}.md` : address;
      return `](${file}${anchor === undefined ? "" : `#${anchor}`})`;
    });
  });
  return linked.join("");
}

function textOf(source: string): string {
  return readFileSync(ROOT + source, "utf8");
}
