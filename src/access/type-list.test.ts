import assert from "node:assert/strict";
import { test } from "node:test";
import { TypeList } from "./type-list.ts";

test("a list allows types, ranges of types and extensions", () => {
  const list = TypeList.parse(["image/*", "application/pdf", ".docx", ".Weird1"]);
  for (const extension of ["png", "jpg", "svg", "pdf", "docx", "weird1"]) assert.ok(list.allows(extension), extension);
  for (const extension of [null, "txt", "html", "zip", "unknown"]) assert.ok(!list.allows(extension), `${extension}`);
});

test("the type of an extension decides, without its parameters", () => {
  assert.ok(TypeList.parse(["text/plain"]).allows("txt"));
  assert.ok(TypeList.parse(["text/*"]).allows("html"));
  assert.ok(!TypeList.parse(["text/html"]).allows("txt"));
  // a prefix is a whole type, not a part of one
  assert.ok(!TypeList.parse(["imag/*"]).allows("png"));
});

test("a file without a known extension is an octet stream", () => {
  const list = TypeList.parse(["application/octet-stream"]);
  assert.ok(list.allows(null) && list.allows("unknown"));
  assert.ok(TypeList.parse(["application/*"]).allows(null));
});

test("texts are lower-cased and trimmed, and a list says what it was made from", () => {
  const list = TypeList.parse([" Image/* ", ".DOCX"]);
  assert.deepEqual(JSON.stringify(list), '["image/*",".docx"]');
  assert.equal(String(list), "image/*, .docx");
  assert.equal(String(TypeList.parse(list.toJSON())), String(list));
});

test("an empty list and invalid texts are refused", () => {
  const invalid = [
    "",
    "image",
    "*",
    "*/*",
    "image/",
    "image/p*",
    "/png",
    "image/png;q=1",
    "a b/c",
    ".",
    ".a.b",
    ".é",
    "text/x y",
  ];
  for (const text of [...invalid, `.${"a".repeat(17)}`, `a/${"b".repeat(128)}`]) {
    assert.equal(TypeList.from([text]), null, text);
    assert.throws(() => TypeList.parse(["image/*", text]), { code: "invalid-option" }, text);
  }
  assert.throws(() => TypeList.parse([]), { code: "invalid-option" });
});
