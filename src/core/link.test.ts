import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Digest } from "./digest.ts";
import { Link } from "./link.ts";

const HEX = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const digest = Digest.parse(HEX);

test("a link parses to what was formatted", () => {
  const extension = fc.option(fc.stringMatching(/^[a-z0-9]{1,16}$/), { nil: null });
  fc.assert(
    fc.property(extension, (extension) => {
      const link = Link.to(digest, extension);
      const read = Link.parse(link.toString());
      assert.equal(read.extension, extension);
      assert.ok(read.digest.equals(digest));
    }),
  );
});

test("an extension is lower-cased, and dropped unless it is 1 to 16 letters and digits", () => {
  assert.equal(String(Link.to(digest, "PNG")), `${HEX}.png`);
  for (const wrong of ["", "a b", "tar.gz", "ä", "../x", "a".repeat(17), "a\0", "%2e"]) {
    assert.equal(String(Link.to(digest, wrong)), HEX, JSON.stringify(wrong));
  }
});

test("anything else is no link", () => {
  const wrong = [
    "",
    HEX.slice(1),
    `${HEX}0`,
    HEX.toUpperCase(),
    `${HEX}.`,
    `${HEX}.a.b`,
    `${HEX}.${"a".repeat(17)}`,
    `${HEX}/`,
    `${HEX}%2Epng`,
    `../${HEX}`,
    `%2e%2e/${HEX}`,
    `${HEX}.png\n`,
    `${HEX}.p\0g`,
    "..",
  ];
  for (const segment of wrong) assert.equal(Link.fromSegment(segment), null);
  for (const segment of wrong)
    assert.throws(() => Link.parse(segment), { code: "invalid-link" }, JSON.stringify(segment));
});

test("no text parses to a link with other digits than its own", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 90 }), (text) => {
      try {
        const link = Link.parse(text);
        assert.equal(link.digest.hex, text.slice(0, 64));
      } catch (error) {
        assert.equal((error as { code?: string }).code, "invalid-link");
      }
    }),
  );
});

test("the media type depends on the extension alone", () => {
  assert.equal(Link.to(digest, "png").mediaType, "image/png");
  assert.equal(Link.to(digest, "txt").mediaType, "text/plain; charset=utf-8");
  assert.equal(Link.to(digest, "html").mediaType, "text/html; charset=utf-8");
  assert.equal(Link.to(digest, "zzzz").mediaType, "application/octet-stream");
  assert.equal(Link.to(digest).mediaType, "application/octet-stream");
});
