import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { parseContentType } from "./content-type.ts";

const read = (text: string): unknown => {
  const type = parseContentType(text);
  return type === null ? null : [type.essence, Object.fromEntries(type.parameters)];
};

test("type, subtype and parameter names are case-insensitive; values are not", () => {
  assert.deepEqual(read("Text/HTML; Charset=UTF-8"), ["text/html", { charset: "UTF-8" }]);
  assert.deepEqual(read("image/svg+xml"), ["image/svg+xml", {}]);
});

test("boundaries are parsed quoted, and unquoted even if they would need quotes", () => {
  const form = (text: string): unknown => parseContentType(`multipart/form-data; ${text}`)?.parameters.get("boundary");
  assert.equal(form("boundary=----WebKitFormBoundary7MA4"), "----WebKitFormBoundary7MA4");
  assert.equal(form('boundary="a b;c=\\"d\\""'), 'a b;c="d"');
  assert.equal(form("boundary=----=_Part_1_2.3:4/5?(6)"), "----=_Part_1_2.3:4/5?(6)");
  assert.equal(form('charset=utf-8 ; boundary="x" ;'), "x");
});

test("a parameter may be repeated, but not with another value", () => {
  assert.deepEqual(read("text/plain; charset=utf-8; Charset=utf-8"), ["text/plain", { charset: "utf-8" }]);
  assert.equal(read("multipart/form-data; boundary=a; boundary=b"), null);
});

test("an absent or malformed field is null", () => {
  assert.equal(parseContentType(undefined), null);
  const malformed = [
    "",
    "text",
    "text/",
    "/html",
    "te xt/html",
    "text/html, text/plain",
    "text/html; a",
    "text/html; =b",
  ];
  for (const text of [...malformed, 'text/html; a="b', "text/html; a=b c", 'text/html; a="b"c', "text/html a=b"]) {
    assert.equal(read(text), null, text);
  }
});

test("any quoted value is parsed back", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary-ascii" }), (value) => {
      const quoted = value.replace(/["\\]/g, "\\$&");
      assert.deepEqual(read(`a/b;c="${quoted}"; d=e`), ["a/b", { c: value, d: "e" }]);
    }),
  );
});
