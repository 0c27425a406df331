import assert from "node:assert/strict";
import { test } from "node:test";
import { thisProcess } from "../../../base/process-identity.ts";
import {
  DAMAGED,
  formatState,
  generationOf,
  heldToken,
  lengthOf,
  newSegment,
  parseState,
  parseToken,
  restingToken,
} from "./upload-folder.ts";

test("a state is read as it was written, whatever its record contains", () => {
  const segments = [
    { ...newSegment(1), length: 5 },
    { ...newSegment(12), length: 2 ** 41 },
  ];
  for (const record of ["", "{}", '"\\\n\u2028\0é🗂'.repeat(1000)]) {
    assert.deepEqual(parseState(formatState({ record, segments })), { record, segments });
    const ended = { record, segments: [], isEnded: true };
    assert.deepEqual(parseState(formatState(ended)), ended);
  }
  assert.equal(lengthOf(segments), 2 ** 41 + 5);
  assert.deepEqual(segments.map(generationOf), [1, 12]);
});

test("a malformed state, or one that leads out of its folder, is damaged; one of a later version is unreadable", () => {
  const { name } = newSegment(1);
  const state = (segment: object, rest: object = {}): string =>
    JSON.stringify({ version: 1, record: "r", segments: [segment], ...rest });
  assert.equal(parseState(state({ name, length: 1 })).record, "r");
  for (const text of [
    "",
    "{",
    "null",
    "{}",
    state({ name, length: 1 }, { record: 5 }),
    state({ name, length: -1 }),
    state({ name, length: 1.5 }),
    state({ name: `../${name}`, length: 1 }),
    state({ name: "1.record", length: 1 }),
    state({ length: 1 }),
  ]) {
    assert.equal(parseState(text), DAMAGED, text);
  }
  const later = state({ name, length: 1 }, { version: 2 });
  assert.throws(() => parseState(later), { name: "FixityError", code: "store-unavailable" });
});

test("a token is parsed back from its name", () => {
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

test("no two tokens have the same name", () => {
  const names = Array.from({ length: 100 }, () => [heldToken(1, thisProcess()).name, restingToken(1, "free").name]);
  assert.equal(new Set(names.flat()).size, 200);
});

test("other names in an upload's folder are not tokens", () => {
  for (const name of ["1.record", "bytes.1.0123456789abcdef", "1-free-", "-free-00", "1-lost-00", "1-free-XY", ""]) {
    assert.equal(parseToken(name), null, name);
  }
});
