import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { IN_REPOSITORY, Links, slugOf } from "../../site/links.ts";
import { API_FOLDER } from "../../site/navigation.ts";
import { allPages, REPOSITORY, ROOT } from "../../site/pages.ts";

/** The Markdown files of the repository that people read. */
async function pages(): Promise<readonly string[]> {
  const others = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md", "site/index.md"];
  return [...others, "test/README.md", "bench/README.md", "bench/RESULTS.md", ...(await pagesOfDocs())];
}

async function pagesOfDocs(): Promise<readonly string[]> {
  const names = await readdir(join(ROOT, "docs"), { recursive: true });
  return names.filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`);
}

test("every page of docs is in the sidebar of the site, once and at an address of its own", async () => {
  const listed = allPages().filter(({ source }) => !source.startsWith(API_FOLDER));
  const sources = listed.map(({ source }) => source);
  const missing = (await pagesOfDocs()).filter((page) => !sources.includes(page));
  assert.deepEqual(missing, []);
  assert.deepEqual(sources, [...new Set(sources)]);
  assert.equal(new Set(listed.map(({ url }) => url)).size, listed.length);
  for (const { source, title } of listed) assert.ok(title.length <= 90, `${source}: ${title}`);
});

test("links of all pages on the site lead to its pages, or to the repository", () => {
  const links = new Links();
  assert.equal(links.onSite("docs/http.md", "errors.md#codes"), "/errors#codes");
  assert.equal(links.onSite("docs/decisions/0001-own-form-parser.md", "../storage.md"), "/storage");
  assert.equal(links.onSite("docs/http.md", "../SECURITY.md"), "/security");
  assert.equal(links.onSite("docs/http.md", "../examples/express.ts"), `${REPOSITORY}examples/express.ts`);
  assert.equal(links.onSite("docs/http.md", "#uploading"), "#uploading");
  assert.equal(links.onSite("docs/http.md", "https://example.com/a.md"), "https://example.com/a.md");
  assert.equal(links.onSite("docs/http.md", `${REPOSITORY}CONTRIBUTING.md`), "/contributing");
  assert.throws(() => links.onSite("docs/http.md", "missing.md"), /leads nowhere/);
  assert.throws(() => links.onSite("docs/http.md", "../../outside.md"), /leads nowhere/);
});

test("every source file and folder that the documentation names exists", async () => {
  const missing: string[] = [];
  // the changelog also names what was removed since
  for (const page of (await pages()).filter((page) => page !== "CHANGELOG.md")) {
    const text = await readFile(join(ROOT, page), "utf8");
    const named = text.matchAll(/`((?:src|test|bench|scripts|examples|docs)\/[\w./-]*)`/g);
    for (const [, path = ""] of named) if (!existsSync(join(ROOT, path))) missing.push(`${page}: ${path}`);
  }
  assert.deepEqual(missing, []);
});

test("every promise of SECURITY.md names a test that proves it", async () => {
  const text = await readFile(join(ROOT, "SECURITY.md"), "utf8");
  const promises = /^## What fixity promises$(.*?)^## /ms.exec(text)?.[1] ?? "";
  const rows = promises.split("\n").filter((line) => /^\| (?!promise|mode|---)/.test(line));
  assert.ok(rows.length >= 15);
  const unproven = rows.filter((row) => {
    const tests = Array.from(row.matchAll(/`((?:src|test)\/[\w./-]+\.test\.ts)`/g), ([, path = ""]) => path);
    return tests.length === 0 || !tests.every((path) => existsSync(join(ROOT, path)));
  });
  assert.deepEqual(unproven, []);
});

/** The anchors that GitHub, and the site, give to the headings of a page. */
function anchors(text: string): ReadonlySet<string> {
  const found = new Map<string, number>();
  for (const [, heading = ""] of withoutBlocks(text).matchAll(/^#+ (.+)$/gm)) {
    const slug = slugOf(heading);
    const count = found.get(slug) ?? 0;
    found.set(slug, count + 1);
    // equal headings are counted
    if (count > 0) found.set(`${slug}-${count}`, 1);
  }
  return new Set(found.keys());
}

function withoutBlocks(text: string): string {
  return text.replaceAll(/^( *)```[^]*?^\1```$/gm, "");
}

/** The links of a page that lead to files of this repository: as written, and the path. */
async function* linksOf(page: string): AsyncGenerator<{ link: string; target: string; anchor: string | undefined }> {
  const text = withoutBlocks(await readFile(join(ROOT, page), "utf8")).replaceAll(/`[^`]*`/g, "");
  for (const [, link = "", anchor] of text.matchAll(/(?:\]\(|(?:src|srcset|href)=")([^)#\s"]*)(?:#([^)"]*))?[)"]/g)) {
    if (IN_REPOSITORY.test(link)) yield { link, target: join(ROOT, link.replace(IN_REPOSITORY, "")), anchor };
    else if (link === "") yield { link, target: join(ROOT, page), anchor };
    else if (!/^(?:https?|mailto):/.test(link)) yield { link, target: join(ROOT, dirname(page), link), anchor };
  }
}

test("every link of the documentation within the repository leads to a file, and to a heading in it", async () => {
  const broken: string[] = [];
  for (const page of await pages()) {
    for await (const { link, target, anchor } of linksOf(page)) {
      const isThere =
        existsSync(target) && (anchor === undefined || anchors(await readFile(target, "utf8")).has(anchor));
      if (!isThere) broken.push(`${page}: ${link}${anchor === undefined ? "" : `#${anchor}`}`);
    }
  }
  assert.deepEqual(broken, []);
});

test("links of the documentation to other sites are addresses", async () => {
  const wrong: string[] = [];
  for (const page of await pages()) {
    const text = withoutBlocks(await readFile(join(ROOT, page), "utf8")).replaceAll(/`[^`]*`/g, "");
    for (const [, link = ""] of text.matchAll(/(?:\]\(|<)((?:https?|mailto):[^)>]*)[)>]/g)) {
      if (!URL.canParse(link) || /\s/.test(link)) wrong.push(`${page}: ${link}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("links by reference name a reference that their page has, and no reference is left over", async () => {
  const wrong: string[] = [];
  for (const page of await pages()) {
    const text = withoutBlocks(await readFile(join(ROOT, page), "utf8")).replaceAll(/`[^`]*`/g, "");
    const named = new Set(Array.from(text.matchAll(/\]\[([\w-]+)\]/g), ([, name = ""]) => name));
    const defined = new Map(
      Array.from(text.matchAll(/^\[([\w-]+)\]: (.+)$/gm), ([, name = "", url = ""]) => [name, url]),
    );
    for (const name of named) if (!defined.has(name)) wrong.push(`${page}: [${name}] is not defined`);
    for (const [name, url] of defined) {
      if (!named.has(name)) wrong.push(`${page}: [${name}] is not used`);
      if (!URL.canParse(url)) wrong.push(`${page}: [${name}] is no address`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("relative links of pages in the package lead to files in the package", async () => {
  const { files } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as { files: string[] };
  const packed = [...files, "README.md", "LICENSE", "package.json"];
  const isPacked = (path: string): boolean => packed.some((entry) => path === entry || path.startsWith(`${entry}/`));
  const broken: string[] = [];
  for (const page of (await pages()).filter(isPacked)) {
    for await (const { link, target } of linksOf(page)) {
      if (!IN_REPOSITORY.test(link) && !isPacked(relative(ROOT, target))) broken.push(`${page}: ${link}`);
    }
  }
  assert.deepEqual(broken, []);
});
