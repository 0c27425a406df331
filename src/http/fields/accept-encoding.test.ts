import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseCoding } from "./accept-encoding.ts";

const CODINGS = ["br", "gzip"] as const;

for (const [field, coding] of [
  [undefined, null],
  ["", null],
  ["identity", null],
  ["gzip, deflate, br", "br"],
  ["gzip", "gzip"],
  ["GZIP", "gzip"],
  ["br;q=0, gzip", "gzip"],
  ["br;q=0.1 , gzip;q=1", "br"],
  ["*", "br"],
  ["br;q=0, *", "gzip"],
  ["*;q=0, gzip", "gzip"],
  ["br;q=0.000", null],
  ["br;q=2, gzip;q=x", null],
  ["br;q, ;;, ,gzip", "gzip"],
  ["brotli, x-gzip", null],
] as const) {
  test(`Accept-Encoding ${field === undefined ? "that is absent" : JSON.stringify(field)} gets ${coding ?? "plain content"}`, () => {
    assert.equal(chooseCoding(CODINGS, field), coding);
  });
}
