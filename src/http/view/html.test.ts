import assert from "node:assert/strict";
import { test } from "node:test";
import { Html, html } from "./html.ts";

test("text is escaped", () => {
  assert.equal(
    html`<p title="${`"'`}">${"<b>&amp;</b>"}</p>`.toString(),
    '<p title="&quot;&#39;">&lt;b&gt;&amp;amp;&lt;/b&gt;</p>',
  );
});

test("markup is not escaped, alone and in lists, and null adds nothing", () => {
  const item = html`<b>${"<"}</b>`;
  assert.equal(
    html`<i>${[item, item]}${null}${Html.trusted("&copy;")}</i>`.toString(),
    "<i><b>&lt;</b><b>&lt;</b>&copy;</i>",
  );
});
