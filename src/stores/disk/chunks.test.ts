import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { behind } from "./chunks.ts";

test("what a write left over is all that it did not take, wherever it stopped", () => {
  const chunks = fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 8 });
  fc.assert(
    fc.property(chunks, fc.nat(200), (all, stop) => {
      const whole = Buffer.concat(all);
      const taken = Math.min(stop, whole.length);
      assert.deepEqual(Buffer.concat(behind(all, taken)), whole.subarray(taken));
    }),
  );
});

test("what is left over does not copy the bytes", () => {
  const [left] = behind([Uint8Array.of(1, 2), Uint8Array.of(3, 4)], 3);
  assert(left !== undefined);
  assert.deepEqual([left.byteOffset, left.length], [1, 1]);
});
