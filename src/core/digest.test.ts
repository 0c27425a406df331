import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import { Digest } from "./digest.ts";
import { FixityError } from "./errors.ts";

const EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

test("a digest is parsed from its bytes, its hex digits and its full form alike", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
      const digest = Digest.fromBytes(bytes);
      assert.ok(digest);
      assert.equal(Digest.parse(digest.toString()).hex, digest.hex);
      assert.equal(Digest.parse(digest.hex).hex, digest.hex);
      assert.deepEqual(new Uint8Array(digest.toBytes()), bytes);
      assert.ok(Digest.fromHex(digest.hex)?.equals(digest));
    }),
  );
});

test("anything but 64 lower-case hex digits is no digest", () => {
  for (const text of ["", EMPTY.slice(1), `${EMPTY}0`, EMPTY.toUpperCase(), `${EMPTY}\n`, EMPTY.replace("e", "g")]) {
    assert.equal(Digest.fromHex(text), null, JSON.stringify(text));
    assert.throws(() => Digest.parse(text), { name: "FixityError", code: "invalid-digest" });
  }
  assert.throws(() => Digest.parse(`sha512:${EMPTY}`), FixityError);
  assert.equal(Digest.fromBytes(new Uint8Array(31)), null);
});

test("the integrity value is the one that browsers compute", () => {
  const digest = Digest.parse(EMPTY);
  assert.equal(digest.integrity, `sha256-${createHash("sha256").digest("base64")}`);
  assert.equal(JSON.stringify({ digest }), `{"digest":"sha256:${EMPTY}"}`);
});
