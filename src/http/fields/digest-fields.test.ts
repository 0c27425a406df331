import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import { Digest } from "../../core/digest.ts";
import { FixityError } from "../../core/errors.ts";
import { formatReprDigest, parseDigestField } from "./digest-fields.ts";

const sha256 = createHash("sha256").update("hello").digest();
const sha512 = createHash("sha512").update("hello").digest();
const written = (bytes: Buffer): string => `:${bytes.toString("base64")}:`;

test("sha-256 and sha-512 are parsed, other algorithms only listed", () => {
  const text = `sha-512=${written(sha512)}, sha-256=${written(sha256)};note=1, md5=:XrY7u+Ae7tCTyyK7j1rNww==:, crc32c=1`;
  const values = parseDigestField("Repr-Digest", text);
  assert.deepEqual(values, { sha256, sha512, others: ["md5", "crc32c"] });
});

test("an algorithm that is not announced is null", () => {
  assert.deepEqual(parseDigestField("Repr-Digest", "unixsum=:AAA=:"), {
    sha256: null,
    sha512: null,
    others: ["unixsum"],
  });
});

test("the last of two digests of one algorithm counts, as in every dictionary (RFC 9651, section 4.2.2)", () => {
  const first = written(Buffer.alloc(32));
  assert.deepEqual(parseDigestField("x", `sha-256=${first}, sha-256=${written(sha256)}`).sha256, sha256);
});

test("malformed fields are refused with their name", () => {
  const short = written(sha256.subarray(1));
  const malformed = ["", "  ", "sha-256", "sha-256=", "sha-256=abc", "sha-256=::", `sha-256=${short}`, "sha-256=1"];
  const more = [`sha-256="${sha256.toString("base64")}"`, "sha-256=:$$:", `sha-256=(${written(sha256)})`];
  const hex = [`sha-256=${sha256.toString("hex")}`, `SHA-256=${written(sha256)}`, `sha-256=${written(sha256)},`];
  for (const text of [...malformed, ...more, ...hex, `sha-512=${written(sha256)}`]) {
    assert.throws(
      () => parseDigestField("Content-Digest", text),
      (error) =>
        error instanceof FixityError && error.code === "invalid-field" && error.message.startsWith("Content-Digest "),
      text,
    );
  }
});

test("any formatted digest is parsed back", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
      const digest = Digest.fromBytes(bytes);
      assert.ok(digest !== null);
      const text = formatReprDigest(digest);
      assert.match(text, /^sha-256=:[A-Za-z0-9+/]{43}=:$/);
      assert.deepEqual(parseDigestField("Repr-Digest", text).sha256, Buffer.from(bytes));
    }),
  );
});

test("any text is either parsed or refused", () => {
  const pieces = fc.constantFrom("sha-256", "sha-512", "=", ":", ",", ";", "(", ")", "?1", "%", '"', "-1", "AAAA", " ");
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 20 }), (parts) => {
      try {
        const values = parseDigestField("Repr-Digest", parts.join(""));
        assert.ok(values.sha256 === null || values.sha256.length === 32);
      } catch (error) {
        assert.ok(error instanceof FixityError && error.code === "invalid-field");
      }
    }),
  );
});
