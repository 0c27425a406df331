import assert from "node:assert/strict";
import { test } from "node:test";
import { isLive, keepAlive } from "./live-uploads.ts";

test("what two are working on is live until both have done, however often one says so", () => {
  const [first, second] = [keepAlive("a"), keepAlive("a")];
  assert.equal(isLive("a"), true);
  first();
  first();
  assert.equal(isLive("a"), true);
  second();
  assert.equal(isLive("a"), false);
});
