import assert from "node:assert/strict";
import { test } from "node:test";
import { columnsOf, fitted } from "./text.ts";

test("letters with combining marks take one column, East Asian characters and emoji two", () => {
  assert.equal(columnsOf("abc"), 3);
  assert.equal(columnsOf("e\u0301te\u0301"), 3);
  assert.equal(columnsOf("写真.png"), 8);
  assert.equal(columnsOf("👩‍👩‍👧‍👦!"), 3);
});

test("a fitted text is padded or loses its middle, and always has the given width", () => {
  assert.equal(fitted("abc", 5), "abc  ");
  assert.equal(fitted("abcdefgh.png", 9), "abcd….png");
  assert.equal(fitted("abc", 1), "…");
  assert.equal(fitted("abc", 0), "");
  for (const text of ["写真写真写真.png", "a写b写c写d写e写", "👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦"]) {
    for (let columns = 1; columns < 20; columns++) assert.equal(columnsOf(fitted(text, columns)), columns, text);
  }
});
