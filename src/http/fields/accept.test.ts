import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { chooseCoding, prefersHtml, qualityOf } from "./accept.ts";

test("the most specific media range decides", () => {
  // the table of RFC 9110, section 12.5.1, for the types that have no parameters
  const accept = "text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed, text/plain;format=fixed;q=0.4, */*;q=0.5";
  assert.equal(qualityOf("text/plain", accept), 0.7);
  assert.equal(qualityOf("text/html", accept), 0.3);
  assert.equal(qualityOf("image/jpeg", accept), 0.5);
});

test("a type that no range covers is not acceptable", () => {
  assert.equal(qualityOf("text/html", "application/json"), 0);
  assert.equal(qualityOf("text/html", "text/html;q=0, */*"), 0);
  assert.equal(qualityOf("text/html", ""), 0);
});

test("types and weights are case-insensitive, and white space is ignored", () => {
  assert.equal(qualityOf("text/html", " TEXT/Html ; Q=0.5 ,"), 0.5);
  assert.equal(qualityOf("text/html", "text/html;charset=UTF-8"), 1);
});

test("malformed elements are ignored, the others count", () => {
  assert.equal(qualityOf("text/html", "text, /html, text/html;q=high, text/html;q=2, ;q=1, text/*;q=0.2"), 0.2);
  assert.equal(qualityOf("text/html", 'text/html;q=0.4, a/b;c="d, text/html;q=0.9'), 0.4);
  assert.equal(qualityOf("text/html", 'a/b;c="x\\", text/html;q=0.9", text/html;q=0.4'), 0.4);
});

test("a browser that submits a form prefers HTML", () => {
  const chrome =
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8," +
    "application/signed-exchange;v=b3;q=0.7";
  const firefox = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
  for (const accept of [chrome, firefox, "text/html", "text/*", "text/html, application/json;q=0.9"]) {
    assert.equal(prefersHtml(accept), true, accept);
  }
});

test("a program that accepts anything or JSON, or sends no Accept, does not prefer HTML", () => {
  const others = [undefined, "", "*/*", "application/json", "application/json, text/html", "text/html;q=0, */*"];
  for (const accept of [...others, "application/json, text/plain, */*"]) {
    assert.equal(prefersHtml(accept), false, accept);
  }
});

test("a quality is between 0 and 1 for any text", () => {
  const pieces = fc.constantFrom("text/html", "*/*", "text/*", ";", ",", "q=", "0.5", "1", "-1", '"', "\\", " ", "é");
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 30 }), (parts) => {
      const quality = qualityOf("text/html", parts.join(""));
      assert.ok(quality >= 0 && quality <= 1);
    }),
  );
});

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
  test(`Accept-Encoding ${field === undefined ? "(absent)" : JSON.stringify(field)} selects ${coding ?? "identity"}`, () => {
    assert.equal(chooseCoding(CODINGS, field), coding);
  });
}
