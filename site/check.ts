/** Checks a built site as a browser would see it: every link and picture leads to something in it, none to another host. */
import { existsSync, globSync, readFileSync } from "node:fs";
import path from "node:path";
import { BASE } from "./pages.ts";

/** @throws Error with all that is wrong */
export function checkSite(folder: string): void {
  const pages = new Map(
    globSync("**/*.html", { cwd: folder }).map((file) => [file, readFileSync(path.join(folder, file), "utf8")]),
  );
  const ids = new Map([...pages].map(([file, html]) => [file, new Set(matches(html, /\sid="([^"]+)"/g))]));
  const problems: string[] = [];
  let links = 0;
  for (const [file, html] of pages) {
    const visible = html.replaceAll(/<pre.*?<\/pre>/gs, "");
    for (const loaded of matches(visible, /<(?:img|script|link|source|iframe)\s[^>]*?(?:src|href)="([^"]+)"/g)) {
      if (!isInSite(folder, loaded)) problems.push(`${file} loads ${loaded}`);
    }
    for (const href of matches(visible, /<a\s[^>]*?href="([^"]+)"/g)) {
      links++;
      const problem = wrongLink(folder, file, href.replaceAll("&amp;", "&"), ids);
      if (problem !== null) problems.push(`${file}: ${href} ${problem}`);
    }
  }
  for (const file of globSync("**/*.css", { cwd: folder })) {
    const style = readFileSync(path.join(folder, file), "utf8");
    for (const loaded of matches(style, /(?:url\(|@import )["']?((?:https?:)?\/\/[^"')]+)/g)) {
      problems.push(`${file} loads ${loaded}`);
    }
  }
  problems.push(...wrongTexts(folder));
  if (problems.length > 0) throw new Error(`the site has broken links:\n${[...new Set(problems)].join("\n")}`);
  console.log(`${pages.size} pages with ${links} links, none of them broken`);
}

/** Links of the texts for language models: `llms.txt`, and the Markdown beside each page. */
function wrongTexts(folder: string): readonly string[] {
  const texts = ["llms.txt", ...globSync("**/*.md", { cwd: folder })];
  return texts.flatMap((file) => {
    const text = readFileSync(path.join(folder, file), "utf8").replaceAll(/^( *)```.*?^\1```$|`[^`]*`/gms, "");
    const links = matches(text, /(?<!!\[[^\]]*)\]\((\/[^)#\s]*)/g);
    return links.filter((link) => link !== BASE && !isInSite(folder, link)).map((link) => `${file}: ${link}`);
  });
}

function matches(text: string, pattern: RegExp): readonly string[] {
  return Array.from(text.matchAll(pattern), ([, found = ""]) => found);
}

/** Whether a picture, script or style sheet is a file of the site. */
function isInSite(folder: string, address: string): boolean {
  if (address.startsWith("data:")) return true;
  return address.startsWith(BASE) && existsSync(path.join(folder, address.slice(BASE.length).replace(/[?#].*/, "")));
}

function wrongLink(folder: string, from: string, href: string, ids: ReadonlyMap<string, ReadonlySet<string>>) {
  if (/^[a-z][a-z+.-]*:/i.test(href)) return URL.canParse(href) ? null : "is not a URL";
  const [address = "", anchor] = href.split("#", 2);
  if (address !== "" && !address.startsWith(BASE)) return "is not below the base of the site";
  const route = address.slice(BASE.length);
  const file = address === "" ? from : route === "" ? "index.html" : `${route}.html`;
  const found = ids.get(file);
  if (found === undefined) return existsSync(path.join(folder, route)) ? null : "leads to no page";
  return anchor === undefined || anchor === "" || found.has(decodeURIComponent(anchor)) ? null : "leads to no heading";
}
