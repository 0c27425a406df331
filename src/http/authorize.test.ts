import assert from "node:assert/strict";
import { test } from "node:test";
import { bearerToken } from "./authorize.ts";

test("a bearer token is parsed, whatever the case of its scheme", () => {
  assert.equal(bearerToken("Bearer mF_9.B5f-4.1JqM"), "mF_9.B5f-4.1JqM");
  assert.equal(bearerToken("bearer   YWJj+/~=="), "YWJj+/~==");
});

test("other schemes and malformed tokens are null", () => {
  const malformed = ["Bearer", "Bearer ", "Bearer a b", "Bearer a,b", "Bearer =", "Bearer a=b", "Bearera", "Bearer é"];
  for (const text of [undefined, "", "Basic dXNlcjpwYXNz", "xBearer a", ...malformed]) {
    assert.equal(bearerToken(text), null, text);
  }
});
