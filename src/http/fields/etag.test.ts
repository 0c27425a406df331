import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Digest } from "../../core/digest.ts";
import { etagOf, ifRangeHolds, matchesStrongly, matchesWeakly, parseEntityTags } from "./etag.ts";

const hex = "ab".repeat(32);
const digest = Digest.parse(hex);
const etag = `"${hex}"`;

test("a blob's entity tag is its quoted digest", () => {
  assert.equal(etagOf(digest), etag);
});

test("lists may have weak tags, empty elements and commas within tags", () => {
  assert.deepEqual(parseEntityTags('"a"'), [{ weak: false, tag: '"a"' }]);
  assert.deepEqual(parseEntityTags(' , W/"a,b" ,,""\t, "\u00e9\\" ,'), [
    { weak: true, tag: '"a,b"' },
    { weak: false, tag: '""' },
    { weak: false, tag: '"\u00e9\\"' },
  ]);
  assert.equal(parseEntityTags(" * "), "*");
});

test("malformed lists are null", () => {
  for (const text of [
    "",
    " ",
    ",",
    "a",
    hex,
    '"a',
    'a"',
    '"a" "b"',
    'w/"a"',
    'W/ "a"',
    '*, "a"',
    '"a b"',
    '"a\u0000"',
  ]) {
    assert.equal(parseEntityTags(text), null, text);
  }
});

test("If-Match compares strongly, If-None-Match weakly", () => {
  const cases: readonly (readonly [text: string, strongly: boolean, weakly: boolean])[] = [
    [etag, true, true],
    [`"x", ${etag}`, true, true],
    [`W/${etag}`, false, true],
    ['"x"', false, false],
    ["*", true, true],
    [hex, false, false],
  ];
  for (const [text, strongly, weakly] of cases) {
    assert.equal(matchesStrongly(parseEntityTags(text), etag), strongly, text);
    assert.equal(matchesWeakly(parseEntityTags(text), etag), weakly, text);
  }
});

test("any formatted list of tags is parsed back", () => {
  const tag = fc.stringMatching(/^[\x21\x23-\x7e\x80-\xff]*$/).map((text) => `"${text}"`);
  const entry = fc.tuple(fc.boolean(), tag).map(([weak, tag]) => ({ weak, tag }));
  fc.assert(
    fc.property(fc.array(entry, { minLength: 1 }), fc.constantFrom(",", ", ", " ,\t,"), (tags, comma) => {
      const text = tags.map(({ weak, tag }) => (weak ? `W/${tag}` : tag)).join(comma);
      assert.deepEqual(parseEntityTags(text), tags);
    }),
  );
});

test("If-Range holds only for the blob's own strong tag", () => {
  assert.equal(ifRangeHolds(etag, etag), true);
  assert.equal(ifRangeHolds(` ${etag} `, etag), true);
  for (const text of ["", "*", '"x"', hex, `W/${etag}`, `${etag}, "x"`, "Mon, 23 Nov 2026 10:00:00 GMT"]) {
    assert.equal(ifRangeHolds(text, etag), false, text);
  }
});
