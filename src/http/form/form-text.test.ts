import assert from "node:assert/strict";
import { test } from "node:test";
import { FixityError } from "../../core/errors.ts";
import { decodeText } from "./form-text.ts";

const isMalformed = (error: unknown): boolean => error instanceof FixityError && error.code === "malformed-form";

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

test("an unknown charset, and bytes that are not in the declared one, are refused", () => {
  assert.throws(() => decodeText(Buffer.from("a"), "klingon"), isMalformed);
  assert.throws(() => decodeText(Buffer.from("a"), ""), isMalformed);
  assert.throws(() => decodeText(Buffer.from([0xff]), "utf-8"), isMalformed);
});
