import assert from "node:assert/strict";
import { test } from "node:test";
import { charsetOfForm, decodeText } from "./form-text.ts";

test("text without a charset is UTF-8, or Latin-1 where it cannot be", () => {
  assert.equal(decodeText(Buffer.from("写 🙂"), null), "写 🙂");
  assert.equal(decodeText(Buffer.from("r\u00e9sum\u00e9 \u0080", "latin1"), null), "résumé €");
  assert.equal(decodeText(Buffer.alloc(0), null), "");
});

test("a declared charset is used", () => {
  assert.equal(decodeText(Buffer.from([0x95, 0x5c]), "Shift_JIS"), "表");
  assert.equal(decodeText(Buffer.from("写"), "UTF-8"), "写");
});

test("a byte order mark is text like any other", () => {
  assert.equal(decodeText(Buffer.from("\ufeffa"), "utf-8"), "\ufeffa");
  assert.equal(decodeText(Buffer.from("\ufeffa"), null), "\ufeffa");
});

test("an unknown charset counts as none, and bytes that are not in the declared one are replaced", () => {
  assert.equal(decodeText(Buffer.from("写"), "klingon"), "写");
  assert.equal(decodeText(Buffer.from([0xe9]), ""), "é");
  assert.equal(decodeText(Buffer.from([0x61, 0xff]), "utf-8"), "a\ufffd");
});

test("a form can be in any charset that extends ASCII, under all of its labels", () => {
  assert.equal(charsetOfForm("Shift_JIS"), "shift_jis");
  assert.equal(charsetOfForm("latin1"), "windows-1252");
  for (const label of ["utf-16", "utf-16be", "utf-16le", "klingon", ""])
    assert.equal(charsetOfForm(label), null, label);
});
