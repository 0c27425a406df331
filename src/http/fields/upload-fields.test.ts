import assert from "node:assert/strict";
import { test } from "node:test";
import { parseBooleanField, parseIntegerField } from "./upload-fields.ts";

for (const [text, value] of [
  ["0", 0],
  ["00", 0],
  ["-0", 0],
  ["5", 5],
  [" 5 ", 5],
  ["999999999999999", 999_999_999_999_999],
  // unknown parameters are ignored, whatever their type
  ["5;v", 5],
  ["5;v=1.0", 5],
  ["5; a=1.5;b=?0", 5],
  ['5;v="1.0"', 5],
  ["5;v=:YQ==:", 5],
  ["5.0", null],
  ["5.", null],
  ["0.0;v=1", null],
  ["-5", null],
  ["-1;v=1.0", null],
  ["+5", null],
  ["1e3", null],
  ["0x10", null],
  ["5 5", null],
  ["5, 5", null],
  ["5;", null],
  ["5;V=1", null],
  ["5 ;v=1", null],
  ['"5"', null],
  ["?1", null],
  ["five", null],
  ["1000000000000000", null],
  ["", null],
] as const) {
  test(`${JSON.stringify(text)} is ${value === null ? "not an Integer" : `the Integer ${value}`}`, () => {
    const found = parseIntegerField(text);
    assert.ok(found === value, String(found));
  });
}

for (const [text, value] of [
  ["?1", true],
  ["?0", false],
  [" ?1 ", true],
  ["?1;x=1", true],
  ["?0;x=1.0;y", false],
  ["?1, ?1", null],
  ["?T", null],
  ["1", null],
  ["true", null],
  ['"?1"', null],
  ["?1;", null],
  ["", null],
] as const) {
  test(`${JSON.stringify(text)} is ${value === null ? "not a Boolean" : `the Boolean ${value}`}`, () => {
    assert.equal(parseBooleanField(text), value);
  });
}

test("an absent field is neither", () => {
  assert.equal(parseIntegerField(undefined), null);
  assert.equal(parseBooleanField(undefined), null);
});
