/** What the build of the documentation site does besides VitePress; CI runs the build itself. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { checkSite } from "../../site/check.ts";
import { entries } from "../../site/entries.ts";
import { writeForModels } from "../../site/llms.ts";
import { allPages, ROOT } from "../../site/pages.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "fixity-site-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A site of two pages, of which the first has `html`. */
async function site(html: string): Promise<void> {
  await mkdir(path.join(folder, "guides"));
  await writeFile(path.join(folder, "logo.svg"), "<svg/>");
  await writeFile(path.join(folder, "llms.txt"), "- [Nginx](/guides/nginx.md)\n");
  await writeFile(path.join(folder, "guides/nginx.md"), "# Nginx\n");
  await writeFile(path.join(folder, "index.html"), html);
  await writeFile(path.join(folder, "guides/nginx.html"), '<h2 id="behind-a-proxy">Behind a proxy</h2>');
}

test("a site whose links and pictures all exist passes", async () => {
  await site(`<img src="/logo.svg"> <a href="/guides/nginx#behind-a-proxy">1</a> <a href="/guides/nginx.md">2</a>
    <a href="https://example.com/?a=1&amp;b=2">3</a> <pre><a href="/not-a-link">code</a></pre>`);
  checkSite(folder);
});

const FAULTS = [
  ["a page that does not exist", '<a href="/guides/apache">', "leads to no page"],
  ["a heading that does not exist", '<a href="/guides/nginx#tls">', "leads to no heading"],
  ["a heading of its own that does not exist", '<a href="#tls">', "leads to no heading"],
  ["a path outside of the site", '<a href="guides/nginx">', "not below the base"],
  ["a malformed address", '<a href="https://exa mple.com">', "is not a URL"],
  ["a picture that does not exist", '<img alt="" src="/missing.png">', "loads /missing.png"],
  ["a script of another host", '<script src="https://cdn.example.com/a.js"></script>', "loads https://cdn"],
  ["a font of another host", '<link rel="stylesheet" href="//fonts.example.com/a.css">', "loads //fonts"],
] as const;

for (const [name, html, problem] of FAULTS) {
  test(`a site with ${name} is refused`, async () => {
    await site(html);
    assert.throws(() => checkSite(folder), new RegExp(problem));
  });
}

test("a site whose style loads a font of another host is refused", async () => {
  await site("");
  await writeFile(path.join(folder, "style.css"), '@font-face { src: url("https://fonts.example.com/a.woff2"); }');
  assert.throws(() => checkSite(folder), /style\.css loads https:\/\/fonts/);
});

test("a site whose text for language models leads nowhere is refused", async () => {
  await site("");
  await writeFile(path.join(folder, "llms.txt"), "- [Apache](/guides/apache.md)\n");
  assert.throws(() => checkSite(folder), /llms\.txt: \/guides\/apache\.md/);
});

test("llms.txt names every page with its first sentence, and each page's text stands beside it", async () => {
  writeForModels(folder);
  const list = await readFile(path.join(folder, "llms.txt"), "utf8");
  const full = await readFile(path.join(folder, "llms-full.txt"), "utf8");
  for (const { source, title, url } of allPages()) {
    assert.ok(list.includes(`- [${title}](${url}.md)`), url);
    const text = await readFile(path.join(folder, `${url}.md`), "utf8");
    assert.ok(text.startsWith((await readFile(path.join(ROOT, source), "utf8")).split("\n", 1)[0] ?? ""), url);
    if (source.startsWith("docs/") && !source.startsWith("docs/decisions/"))
      assert.ok(full.includes(`<!-- ${url} -->`));
  }
  assert.match(
    list,
    /^- \[Errors\]\(\/errors\.md\): Every error response is `application\/problem\+json` \(RFC 9457\)\.$/m,
  );
});

test("the list of entry points names every entry of the package, and its source", async () => {
  const api = await readFile(path.join(ROOT, "docs/api.md"), "utf8");
  for (const { name, source } of entries()) {
    assert.ok(api.includes(`| [\`${name}\`](https://github.com/fixity/fixity/blob/main/${source})`), name);
  }
});
