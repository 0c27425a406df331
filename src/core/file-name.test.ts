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

test("a path is reduced to its last segment", () => {
  assert.equal(cleanFileName("/etc/passwd"), "passwd");
  assert.equal(cleanFileName("../../x.txt"), "x.txt");
  assert.equal(cleanFileName("C:\\Users\\me\\photo.png"), "photo.png");
});

test("characters that hide or reorder text are removed", () => {
  assert.equal(cleanFileName("a\u0000b\r\nc.txt"), "abc.txt");
  assert.equal(cleanFileName("invoice\u202Efdp.exe"), "invoicefdp.exe");
  assert.equal(cleanFileName("a\u200bb\ufeff.txt"), "ab.txt");
});

test("an empty name is no name", () => {
  for (const name of ["", " ", ".", "..", "a/", "a\\..", "\u0000", null, undefined])
    assert.equal(cleanFileName(name), null);
});

test("a long name is cut and keeps its extension", () => {
  const name = cleanFileName(`${"x".repeat(10_000)}.jpeg`);
  assert.equal(name?.length, 255);
  assert.ok(name.endsWith(".jpeg"));
});

test("a long name is cut between characters, however many code points they have", () => {
  const characters = ["😀", "👩‍🚀", "🏳️‍🌈", "👨‍👩‍👧‍👦", "🇩🇪", "e\u0301", "नि", "한", "写", "x"];
  const list = fc.array(fc.constantFrom(...characters), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(list, fc.constantFrom("", ".png", ".JPEG"), (list, suffix) => {
      // regional indicators in a row pair up differently once the row is cut
      const stem = list
        .map((character) => `${character}-`)
        .join("")
        .repeat(200);
      const clean = cleanFileName(stem + suffix) ?? "";
      const cut = clean.slice(0, clean.length - suffix.length);
      assert.ok(clean.endsWith(suffix.toLowerCase()));
      assert.ok(stem.startsWith(cut), clean);
      assert.ok(clean.length <= 255 && clean.length > 255 - 16);
      const whole = [...new Intl.Segmenter().segment(stem.slice(0, 600))].map(({ index }) => index);
      assert.ok(whole.includes(cut.length), clean);
    }),
  );
  const emoji = cleanFileName(`${"😀".repeat(200)}.png`);
  assert.equal(emoji, `${"😀".repeat(125)}.png`);
});

test("a sequence too long to be a character is cut between code points", () => {
  for (const mark of ["\u0301", "\u{e0067}", "\u200d😀"]) {
    const clean = cleanFileName(`😀${mark.repeat(500)}.png`) ?? "";
    assert.ok(clean.isWellFormed() && clean.endsWith(".png") && clean.length >= 254 && clean.length <= 255, clean);
  }
});

test("cleaning is idempotent, for any input", () => {
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

test("the extension is the part after the last dot, if a link can have it", () => {
  assert.equal(extensionOfName("photo.PNG"), "png");
  assert.equal(extensionOfName("archive.tar.gz"), "gz");
  for (const name of ["photo", ".bashrc", "a.", "a.b c", "a.ü", `a.${"b".repeat(17)}`, null]) {
    assert.equal(extensionOfName(name), null, String(name));
  }
});
