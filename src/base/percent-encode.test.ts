import assert from "node:assert/strict";
import { test } from "node:test";
import { escapeMarkup } from "./escape-markup.ts";
import { percentEncode } from "./percent-encode.ts";

test("only the unreserved characters of RFC 3986 stay as they are", () => {
  const ascii = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code));
  const unreserved = ascii.filter((character) => percentEncode(character) === character).join("");
  assert.equal(unreserved, "-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~");
  assert.equal(percentEncode("naïve (1)*!'.txt"), "na%C3%AFve%20%281%29%2A%21%27.txt");
  assert.equal(percentEncode("\ud800"), "%EF%BF%BD");
  for (const character of ascii) assert.equal(decodeURIComponent(percentEncode(character)), character);
});

test("escaped text cannot end an element or a quoted attribute", () => {
  assert.equal(
    escapeMarkup(`<a b="c" d='e' f=\`g\`>&amp;`),
    "&lt;a b=&quot;c&quot; d=&#39;e&#39; f=&#96;g&#96;&gt;&amp;amp;",
  );
});
