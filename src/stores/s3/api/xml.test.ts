import { escapeMarkup } from "../../../base/escape-markup.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseXml } from "./xml.ts";

const text = (xml: string, name = "Code"): string | null => parseXml(xml)?.text(name) ?? null;

test("text is read with its entities, and never decoded twice", () => {
  for (const [written, meant] of [
    ["&quot;ab&quot;", '"ab"'],
    ["&#34;ab&#x22;", '"ab"'],
    ["a&amp;b", "a&b"],
    ["a&amp;lt;b", "a&lt;b"],
    ["a&amp;#34;b", "a&#34;b"],
    ["<![CDATA[a<b&amp;]]>", "a<b&amp;"],
    ["0123", "0123"],
    ["1e5", "1e5"],
    ["true", "true"],
    ["", ""],
    ["grüße 📦", "grüße 📦"],
    ["a&#x1F4E6;b", "a📦b"],
  ] as const) {
    assert.equal(text(`<Error><Code>${written}</Code></Error>`), meant, written);
  }
});

test("white space at the ends of a text is part of it", () => {
  assert.equal(text("<Contents><Key> a b </Key></Contents>", "Key"), " a b ");
});

test("a declaration, a byte order mark, white space, comments and namespaces make no difference", () => {
  for (const xml of [
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Code>X</Code></Error>',
    "\uFEFF<Error><Code>X</Code></Error>\r\n\r\n",
    `<?xml version="1.0"?>${" ".repeat(5_000)}<Error><Code>X</Code></Error>`,
    `${"\n".repeat(5_000)}<?xml version="1.0"?><Error><Code>X</Code></Error>`,
    '<s3:Error xmlns:s3="urn:x"><s3:Code>X</s3:Code></s3:Error>',
    "<Error><!-- <Code>Y</Code> --><Code lang='en'>X</Code></Error>",
    "<Error ><Code >X</Code ></Error >",
  ]) {
    assert.equal(parseXml(xml)?.name, "Error", xml.slice(0, 40));
    assert.equal(text(xml), "X", xml.slice(0, 40));
  }
});

test("elements that occur once, several times and never are distinguished", () => {
  const root = parseXml("<L><P><K>1</K></P><P><K>2</K></P><Q/><N>3</N><N>4</N></L>");
  assert(root !== null);
  assert.deepEqual(
    root.children("P").map((part) => part.text("K")),
    ["1", "2"],
  );
  assert.equal(root.children("Q").length, 1);
  assert.equal(root.children("constructor").length, 0);
  assert.equal(root.text("toString"), null);
  assert.equal(root.text("P"), null, "elements are no text");
  assert.equal(root.text("N"), "3");
});

test("a document that is truncated anywhere is refused", () => {
  const xml = '<?xml version="1.0"?><R><A>text &amp; more</A><B><C>1</C></B><D/></R>';
  for (let length = 0; length < xml.length; length += 1) {
    assert.equal(parseXml(xml.slice(0, length)), null, `the first ${length} characters`);
  }
  assert.notEqual(parseXml(xml), null);
});

test("anything but XML is refused", () => {
  for (const other of [
    "",
    "   ",
    "Bad Gateway",
    "{}",
    '{"code":"NoSuchKey"}',
    "<html><body><p>502</body></html>trailing",
    "<A></A><B></B>",
    "<A/><B/>",
    "<?xml version='1.0'?>",
    "\0\0\0",
  ]) {
    assert.equal(parseXml(other), null, other);
  }
});

test("entities that a document defines itself are refused", () => {
  const laughs = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><Error><Code>&b;</Code></Error>';
  const file = '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><Error><Code>&f;</Code></Error>';
  for (const xml of [laughs, file, `<?xml version="1.0"?>\n${laughs}`]) assert.equal(parseXml(xml), null);
});

test("names of members of Object do no harm", () => {
  for (const name of ["__proto__", "constructor", "prototype", "hasOwnProperty", "toString"]) {
    const root = parseXml(`<Error><${name}><polluted>yes</polluted></${name}><Code>X</Code></Error>`);
    assert(root === null || root.text("Code") === "X", name);
    parseXml(`<${name}><polluted>yes</polluted></${name}>`);
    assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
  }
});

test("very deep, very wide and very long documents neither crash nor hang the parser", () => {
  const deep = "<a>".repeat(200_000) + "</a>".repeat(200_000);
  assert.doesNotThrow(() => parseXml(deep));
  assert.doesNotThrow(() => parseXml("<a>".repeat(500_000)));
  assert.doesNotThrow(() => parseXml("<".repeat(1_000_000)));
  assert.equal(text(`<Error><Code>${"&amp;".repeat(500_000)}</Code></Error>`)?.length, 500_000);
  const wide = `<L>${"<K>x</K>".repeat(100_000)}</L>`;
  assert.equal(parseXml(wide)?.children("K").length, 100_000);
});

test("escaped text is read as it was", () => {
  const strange = `a<b>&"'c&amp;`;
  assert.equal(text(`<E><Code>${escapeMarkup(strange)}</Code></E>`), strange);
});
