import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The Markdown files of the repository that people read. */
async function pages(): Promise<readonly string[]> {
  const below = await Promise.all(
    ["docs", "docs/decisions"].map(async (folder) =>
      (await readdir(join(ROOT, folder))).filter((name) => name.endsWith(".md")).map((name) => `${folder}/${name}`),
    ),
  );
  const others = ["CONTRIBUTING.md", "SECURITY.md", "examples/README.md", "test/README.md", "bench/README.md"];
  return ["README.md", ...others, ...below.flat()];
}

test("every source file and folder that the documentation names exists", async () => {
  const missing: string[] = [];
  for (const page of await pages()) {
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

/** The anchors that GitHub gives to the headings of a page. */
function anchors(text: string): ReadonlySet<string> {
  const headings = text.matchAll(/^#+ (.+)$/gm);
  return new Set(
    Array.from(headings, ([, heading = ""]) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, "")
        .trim()
        .replaceAll(" ", "-"),
    ),
  );
}

/** Addresses of files of this repository, for readers who have no checkout. */
const REPOSITORY = /^https:\/\/github\.com\/fixity\/fixity\/(?:blob|tree)\/main\//;

/** The links of a page that lead to files of this repository: as written, and the path. */
async function* linksOf(page: string): AsyncGenerator<{ link: string; target: string; anchor: string | undefined }> {
  const text = (await readFile(join(ROOT, page), "utf8")).replace(/```[^]*?```|`[^`\n]*`/g, "");
  for (const [, link = "", anchor] of text.matchAll(/\]\(([^)#\s]*)(?:#([^)]*))?\)/g)) {
    if (REPOSITORY.test(link)) yield { link, target: join(ROOT, link.replace(REPOSITORY, "")), anchor };
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

test("relative links of pages in the package lead to files in the package", async () => {
  const { files } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as { files: string[] };
  const packed = [...files, "README.md", "LICENSE", "package.json"];
  const isPacked = (path: string): boolean => packed.some((entry) => path === entry || path.startsWith(`${entry}/`));
  const broken: string[] = [];
  for (const page of (await pages()).filter(isPacked)) {
    for await (const { link, target } of linksOf(page)) {
      if (!REPOSITORY.test(link) && !isPacked(relative(ROOT, target))) broken.push(`${page}: ${link}`);
    }
  }
  assert.deepEqual(broken, []);
});
