import assert from "node:assert/strict";
import { test } from "node:test";
import { Digest } from "../../core/digest.ts";
import { Link } from "../../core/link.ts";
import { plainQuery, snippetsOf, type Snippets } from "./snippets.ts";

const DIGEST = Digest.parse("ab".repeat(32));

function snippets(extension: string | null, name: string | null = null): Snippets {
  const link = Link.to(DIGEST, extension);
  return snippetsOf({
    link,
    mediaType: link.mediaType,
    url: `/u/${link.toString()}`,
    size: 5,
    name,
    queryOf: plainQuery,
  });
}

test("scripts and style sheets have integrity, and crossorigin so that browsers can check it", () => {
  const checked = `integrity="${DIGEST.integrity}" crossorigin="anonymous"`;
  assert.equal(snippets("js", "a.js").html, `<script src="/u/${DIGEST.hex}.js" ${checked}></script>`);
  assert.equal(snippets("mjs").html, `<script type="module" src="/u/${DIGEST.hex}.mjs" ${checked}></script>`);
  assert.equal(snippets("css").html, `<link rel="stylesheet" href="/u/${DIGEST.hex}.css" ${checked} />`);
});

test("elements that do not support integrity have none", () => {
  assert.equal(snippets("png", 'a "b".png').html, `<img src="/u/${DIGEST.hex}.png" alt="a &quot;b&quot;.png" />`);
  assert.equal(snippets("mp4").html, `<video src="/u/${DIGEST.hex}.mp4" controls></video>`);
  assert.equal(snippets("mp3").html, `<audio src="/u/${DIGEST.hex}.mp3" controls></audio>`);
  assert.equal(snippets("zip").html, `<a href="/u/${DIGEST.hex}.zip">abababababab….zip</a>`);
});

test("a name is part of links, not of embedded URLs", () => {
  assert.equal(snippets("zip", "a b.zip").link, `/u/${DIGEST.hex}.zip?filename=a%20b.zip`);
  assert.equal(snippets("zip", "a b.zip").markdown, `[a b.zip](/u/${DIGEST.hex}.zip?filename=a%20b.zip)`);
  assert.equal(snippets("png", "a b.png").markdown, `![a b.png](/u/${DIGEST.hex}.png)`);
  assert.equal(snippets("png").markdown, `![](/u/${DIGEST.hex}.png)`);
});

test("a name cannot end the text or the URL of a Markdown link", () => {
  const { markdown } = snippets("zip", "a](evil) *b* `c` <i>\\[(1).zip");
  assert.equal(
    markdown,
    String.raw`[a\](evil) \*b\* \`c\` \<i\>\\\[(1).zip](/u/${DIGEST.hex}.zip?filename=` +
      "a%5D%28evil%29%20%2Ab%2A%20%60c%60%20%3Ci%3E%5C%5B%281%29.zip)",
  );
});
