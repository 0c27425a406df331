import assert from "node:assert/strict";
import { test } from "node:test";
import { Html, html } from "./html.ts";

test("text is text, whatever is in it", () => {
  assert.equal(
    html`<p title="${`"'`}">${"<b>&amp;</b>"}</p>`.toString(),
    '<p title="&quot;&#39;">&lt;b&gt;&amp;amp;&lt;/b&gt;</p>',
  );
});

test("markup stands as it is, alone and in lists, and nothing for nothing", () => {
  const item = html`<b>${"<"}</b>`;
  assert.equal(
    html`<i>${[item, item]}${null}${Html.asIs("&copy;")}</i>`.toString(),
    "<i><b>&lt;</b><b>&lt;</b>&copy;</i>",
  );
});
