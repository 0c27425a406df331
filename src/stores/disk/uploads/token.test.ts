import assert from "node:assert/strict";
import { test } from "node:test";
import { thisProcess } from "../../../base/process-identity.ts";
import { heldToken, parseToken, restingToken } from "./token.ts";

test("a token is read from its name as it was made", () => {
  const owner = thisProcess();
  const held = heldToken(7, owner);
  assert.deepEqual(parseToken(held.name), held);
  assert.deepEqual(held.owner, owner);
  for (const state of ["free", "left", "gone"] as const) {
    const token = restingToken(1, state);
    assert.deepEqual(parseToken(token.name), token);
    assert.deepEqual([token.state, token.owner], [state, null]);
  }
});

test("no two tokens have one name", () => {
  const names = Array.from({ length: 100 }, () => [heldToken(1, thisProcess()).name, restingToken(1, "free").name]);
  assert.equal(new Set(names.flat()).size, 200);
});

test("what else lies in an upload's folder is no token", () => {
  for (const name of ["1.record", "bytes.1.0123456789abcdef", "1-free-", "-free-00", "1-lost-00", "1-free-XY", ""]) {
    assert.equal(parseToken(name), null, name);
  }
});
