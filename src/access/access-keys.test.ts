import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { FixityError } from "../core/errors.ts";
import { AccessKeys } from "./access-keys.ts";

const OLD = "old key old key old key old key old key";
const NEW = "new key new key new key new key new key";

test("the first key signs, and all of them verify", () => {
  const before = AccessKeys.parse([OLD], "permit");
  const after = AccessKeys.parse([NEW, OLD], "permit");
  const signed = before.sign("a text");
  assert.ok(after.verify(signed.keyId, "a text", signed.mac));
  const renewed = after.sign("a text");
  assert.notEqual(renewed.keyId, signed.keyId);
  assert.ok(!before.verify(renewed.keyId, "a text", renewed.mac));
  assert.ok(!AccessKeys.parse([NEW], "permit").verify(signed.keyId, "a text", signed.mac));
});

test("a key given for both purposes yields two unrelated keys", () => {
  const [permits, links] = [AccessKeys.parse([OLD], "permit"), AccessKeys.parse([OLD], "link")];
  assert.notEqual(permits.keyId, links.keyId);
  const { keyId, mac } = permits.sign("a text");
  assert.ok(!links.verify(keyId, "a text", mac));
  assert.ok(!links.verify(links.keyId, "a text", mac));
});

test("keys and MACs stay the same in every version", () => {
  const { keyId, mac } = AccessKeys.parse(["0123456789abcdef0123456789abcdef"], "permit").sign("a text");
  assert.deepEqual({ keyId, mac }, { keyId: "NSu7c2", mac: "AyZC9YxphVepWg5b2iSPGNNgAZYGDtYPxWou0FUS7tA" });
});

test("a key id is 6 characters of base64url, and a MAC 43", () => {
  fc.assert(
    fc.property(fc.string({ minLength: 32 }), fc.string(), (key, text) => {
      const keys = AccessKeys.parse([key], "link");
      const { keyId, mac } = keys.sign(text);
      assert.match(keyId, /^[\w-]{6}$/);
      assert.match(mac, /^[\w-]{43}$/);
      assert.ok(keys.verify(keyId, text, mac));
      assert.ok(!keys.verify(keyId, `${text}a`, mac));
    }),
  );
});

test("only the exact spelling of a MAC verifies", () => {
  const keys = AccessKeys.parse([OLD], "permit");
  const { keyId, mac } = keys.sign("a text");
  for (const other of ["", `${mac}=`, ` ${mac}`, mac.slice(1), mac.slice(0, -1), `${mac.slice(0, -1)}€`]) {
    assert.ok(!keys.verify(keyId, "a text", other), other);
  }
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ ";
  for (const [index, character] of mac.split("").entries()) {
    for (const other of alphabet) {
      if (other === character) continue;
      assert.ok(!keys.verify(keyId, "a text", mac.slice(0, index) + other + mac.slice(index + 1)));
    }
  }
  // the same low byte in UTF-16
  assert.ok(!keys.verify(keyId, "a text", String.fromCharCode(mac.charCodeAt(0) + 256) + mac.slice(1)));
});

test("a key that is too short is refused by its position, without its text", () => {
  const short = "x".repeat(31);
  for (const texts of [[short], [OLD, short], [OLD, ""]]) {
    assert.throws(
      () => AccessKeys.parse(texts, "permit"),
      (error) =>
        error instanceof FixityError &&
        error.code === "invalid-option" &&
        error.message.includes(`Key ${texts.length} for permits`) &&
        !error.message.includes("xx") &&
        !error.message.includes(OLD),
    );
  }
  assert.throws(() => AccessKeys.parse([], "link"), { code: "invalid-option" });
  AccessKeys.parse(["x".repeat(32)], "link");
});
