import assert from "node:assert/strict";
import { test } from "node:test";
import { FixityError } from "../../core/errors.ts";
import { delimiterOf } from "./delimiter.ts";

test("boundaries are taken as senders make them", () => {
  for (const boundary of ["x", "----WebKitFormBoundary7MA4", "=_Part 1:2/3?(4)'5+6,7.8", "#".repeat(200)]) {
    assert.equal(delimiterOf(boundary).toString(), `\r\n--${boundary}`);
  }
});

test("a boundary that is missing or cannot be one is refused", () => {
  for (const boundary of [undefined, "", " ", "a ", "a\r\nb", "a\u0000", "é", "#".repeat(201)]) {
    assert.throws(
      () => delimiterOf(boundary),
      (error) => error instanceof FixityError && error.code === "malformed-form",
      boundary,
    );
  }
});
