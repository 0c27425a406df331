import assert from "node:assert/strict";
import { test } from "node:test";
import { Html, html } from "./html.ts";

test("text is text, whatever is in it", () => {
  assert.equal(
    html`<p title="${`"'`}">${"<b>&amp;</b>"}</p>`.toString(),
    '<p title="&#34;&#39;">&#60;b&#62;&#38;amp;&#60;/b&#62;</p>',
  );
});

test("markup stands as it is, alone and in lists, and nothing for nothing", () => {
  const item = html`<b>${"<"}</b>`;
  assert.equal(
    html`<i>${[item, item]}${null}${Html.asIs("&copy;")}</i>`.toString(),
    "<i><b>&#60;</b><b>&#60;</b>&copy;</i>",
  );
});
