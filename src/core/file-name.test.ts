import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { cleanFileName, extensionOfName } from "./file-name.ts";

test("a name keeps its script", () => {
  for (const name of [
    "photo.png",
    "Отчёт за год.pdf",
    "写真.jpg",
    "צילום.png",
    "👩‍🚀.gif",
    "نمی\u200cخواهم.txt",
    "a'b\"c.txt",
  ]) {
    assert.equal(cleanFileName(name), name);
  }
});

test("a path is cut down to its last segment", () => {
  assert.equal(cleanFileName("/etc/passwd"), "passwd");
  assert.equal(cleanFileName("../../x.txt"), "x.txt");
  assert.equal(cleanFileName("C:\\Users\\me\\photo.png"), "photo.png");
});

test("what would hide or reorder text is removed", () => {
  assert.equal(cleanFileName("a\u0000b\r\nc.txt"), "abc.txt");
  assert.equal(cleanFileName("invoice\u202Efdp.exe"), "invoicefdp.exe");
  assert.equal(cleanFileName("a\u200bb\ufeff.txt"), "ab.txt");
});

test("a name of nothing is no name", () => {
  for (const name of ["", " ", ".", "..", "a/", "a\\..", "\u0000", null, undefined])
    assert.equal(cleanFileName(name), null);
});

test("a long name is cut and keeps its extension", () => {
  const name = cleanFileName(`${"x".repeat(10_000)}.jpeg`);
  assert.equal(name?.length, 255);
  assert.ok(name.endsWith(".jpeg"));
});

test("a cleaned name is clean, whatever it was", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 600 }), (name) => {
      const clean = cleanFileName(name);
      if (clean === null) return;
      assert.ok(clean.length > 0 && clean.length <= 255);
      assert.ok(clean.isWellFormed());
      assert.doesNotMatch(clean, /[/\\\u0000-\u001f\u007f\u202a-\u202e]/);
      assert.equal(cleanFileName(clean), clean);
    }),
  );
});

test("the extension is what follows the last dot, where a link may have it", () => {
  assert.equal(extensionOfName("photo.PNG"), "png");
  assert.equal(extensionOfName("archive.tar.gz"), "gz");
  for (const name of ["photo", ".bashrc", "a.", "a.b c", "a.ü", `a.${"b".repeat(17)}`, null]) {
    assert.equal(extensionOfName(name), null, String(name));
  }
});
