import assert from "node:assert/strict";
import { test } from "node:test";
import { basicPassword, bearerToken } from "./authorization.ts";

const encode = (text: string): string => Buffer.from(text).toString("base64");

test("a bearer token is parsed, whatever the case of its scheme", () => {
  assert.equal(bearerToken("Bearer mF_9.B5f-4.1JqM"), "mF_9.B5f-4.1JqM");
  assert.equal(bearerToken("bearer   YWJj+/~=="), "YWJj+/~==");
});

test("other schemes and malformed tokens are null", () => {
  const malformed = ["Bearer", "Bearer ", "Bearer a b", "Bearer a,b", "Bearer =", "Bearer a=b", "Bearera", "Bearer é"];
  for (const text of [undefined, "", "Basic dXNlcjpwYXNz", "xBearer a", ...malformed, `Bearer ${"a".repeat(9000)}`]) {
    assert.equal(bearerToken(text), null, text);
  }
});

test("the password of Basic authentication is what follows the first colon", () => {
  assert.equal(basicPassword(`Basic ${encode("user:secret")}`), "secret");
  assert.equal(basicPassword(`basic  ${encode(":a:b")}`), "a:b");
  assert.equal(basicPassword(`Basic ${encode("user:")}`), "");
});

test("other schemes and malformed pairs are null", () => {
  for (const text of [undefined, "", "Basic", "Basic !", `Basic ${encode("no colon")}`, `Bearer ${encode("a:b")}`]) {
    assert.equal(basicPassword(text), null, text);
  }
});
