import assert from "node:assert/strict";
import { test } from "node:test";
import { endedState, formatState, isEndedSize, newState, parseState, type UploadState } from "./upload-state.ts";

const LIMITS = { partSize: 1, fixedPartSize: false, maxParts: 1, largestPart: 1 };

test("the size of a record shows whether its upload was concluded, however long its text is", () => {
  for (let length = 0; length < 9000; length += 1) {
    const text = "x".repeat(length);
    const running = newState(text, LIMITS, {});
    const states: readonly UploadState[] = [
      running,
      endedState(running, "concluded", text),
      endedState(running, "removed", text),
    ];
    for (const state of states) {
      const bytes = formatState(state);
      assert.equal(isEndedSize(bytes.length), state.ended === "concluded", `${state.ended}, ${length} characters`);
      assert.ok(bytes.length < JSON.stringify(state).length + 4096);
      if (length % 500 === 0) assert.deepEqual(parseState(bytes.toString()), state);
    }
  }
  assert.equal(isEndedSize(0), false, "an object of no bytes is no record");
});
