import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { cleanFileName } from "../../core/file-name.ts";
import { Digest } from "../../core/digest.ts";
import { Link } from "../../core/link.ts";
import { renderFailure, renderPage } from "./page.ts";
import { pageAssets } from "./page-assets.ts";
import { previewOf } from "./preview.ts";
import { plainQuery } from "./snippets.ts";

const DIGEST = Digest.parse("ab".repeat(32));

interface PageOptions {
  readonly name?: string | null;
  readonly extension?: string | null;
  readonly size?: number;
  readonly base?: string;
}

function page({ name = null, extension = "png", size = 1000, base = "/uploads/" }: PageOptions = {}): string {
  const link = Link.to(DIGEST, extension);
  return renderPage(
    { link, mediaType: link.mediaType, url: base + link.toString(), size, name, queryOf: plainQuery },
    previewOf(link, size),
  );
}

/**
 * All tags of a page with their attributes' names, as an HTML parser sees them. Asserts that the
 * rest has no markup.
 */
function skeleton(text: string): readonly string[] {
  const tags: string[] = [];
  const { style, script } = pageAssets();
  const rest = text
    .replace(style, () => "")
    .replace(script, () => "")
    .replace(/<[!/]?\w+((?:[^<>"']|"[^"]*")*)>/g, (tag) => {
      tags.push(tag.replace(/"[^"]*"/g, '""'));
      return "";
    });
  assert.doesNotMatch(rest, /[<>"']/);
  return tags;
}

test("no name changes the structure of a page", () => {
  const hostile = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.string({ unit: fc.constantFrom("<", ">", '"', "'", "&", "`", "=", "/", "\\", " ", "\n", "\0", "a", "-", "!") }),
    fc.constantFrom("</title><script>", '" onerror="', "--><!--", "</style>", "&lt;", "$&", "$1", "{{"),
  );
  for (const extension of ["png", "mp4", "txt", "js", "css", "zip", null]) {
    for (const base of ["/uploads/", "https://files.example.com/uploads/"]) {
      const plain = skeleton(page({ name: "a", extension, base }));
      fc.assert(
        fc.property(hostile, (text) => {
          const name = cleanFileName(text);
          if (name !== null) assert.deepEqual(skeleton(page({ name, extension, base })), plain);
        }),
        { numRuns: 60 },
      );
    }
  }
});

test("the page states the size rounded and in bytes", () => {
  assert.match(page({ size: 0 }), /<dd>0 bytes<\/dd>/);
  assert.match(page({ size: 1 }), /<dd>1 byte<\/dd>/);
  assert.match(page({ size: 1_572_864 }), /<dd>1\.5 MiB \(1,572,864 bytes\)<\/dd>/);
});

test("without a name, the title of the page is the beginning of the digest", () => {
  assert.match(page(), /<title>abababababab….png<\/title>/);
  assert.match(page({ extension: null }), /<title>abababababab…<\/title>/);
});

test("the download has the name, and only files that browsers display can be opened", () => {
  const named = page({ name: "a b.png" });
  assert.match(named, /\.png\?filename=a%20b\.png&amp;download"\s+download="a b\.png"/);
  assert.match(named, /<a href="[^"]+\.png\?filename=a%20b\.png">Open<\/a>/);
  assert.match(
    page({ extension: "pdf", name: "a b.pdf" }),
    /<a href="[^"]+\.pdf\?filename=a%20b\.pdf&amp;inline">Open<\/a>/,
  );
  for (const extension of ["svg", "html", "zip", null]) assert.doesNotMatch(page({ extension }), />Open</);
});

test("metadata has URLs only if the service knows its own, and images only of types that chats display", () => {
  assert.doesNotMatch(page(), /og:url|og:image|canonical/);
  assert.match(page(), /data-given=/);
  const base = "https://files.example.com/uploads/";
  const known = page({ base, name: "a.png" });
  assert.match(known, new RegExp(`<meta property="og:image" content="${base}${DIGEST.hex}.png" />`));
  assert.match(known, new RegExp(`<link rel="canonical" href="${base}${DIGEST.hex}.png\\?filename=a.png&amp;view" />`));
  assert.doesNotMatch(page({ base, extension: "svg" }), /og:image/);
  assert.doesNotMatch(page({ base, extension: "zip" }), /og:image/);
  assert.doesNotMatch(known, /data-given=/);
});

test("the page for a failure has no script, and a link to the upload page if there is one", () => {
  const failure = { title: "No such file", text: "It has been removed.", code: "blob-not-found" };
  assert.doesNotMatch(renderFailure({ ...failure, home: null }), /<script|<a /);
  const page = renderFailure({ ...failure, home: "../" });
  assert.match(page, /<code>blob-not-found<\/code>/);
  assert.match(page, /<a href="\.\.\/">Upload a file<\/a>/);
});
