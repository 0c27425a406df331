import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { ByteRange } from "./byte-range.ts";

test("a range selects the bytes that slicing selects", () => {
  const bytes = fc.nat(40);
  fc.assert(
    fc.property(bytes, bytes, fc.option(bytes, { nil: null }), (size, first, last) => {
      const range = ByteRange.between(first, last);
      if (last !== null && last < first) return assert.equal(range, null);
      const all = Array.from({ length: size }, (_, index) => index);
      const expected = all.slice(first, last === null ? undefined : last + 1);
      const span = range?.within(size) ?? { start: 0, end: 0 };
      assert.deepEqual(all.slice(span.start, span.end), expected);
    }),
  );
});

test("a suffix selects the last bytes, or the whole of a shorter blob", () => {
  assert.deepEqual(ByteRange.suffix(3)?.within(10), { start: 7, end: 10 });
  assert.deepEqual(ByteRange.suffix(30)?.within(10), { start: 0, end: 10 });
  assert.equal(ByteRange.suffix(0)?.within(10), null);
  assert.equal(ByteRange.suffix(1)?.within(0), null);
});

test("positions other than whole numbers are no range", () => {
  for (const wrong of [-1, 0.5, Number.NaN, Infinity, 2 ** 53]) {
    assert.equal(ByteRange.between(wrong), null);
    assert.equal(ByteRange.between(0, wrong), null);
    assert.equal(ByteRange.suffix(wrong), null);
  }
});

test("a range outside the blob is refused, stating the blob's size", () => {
  const range = ByteRange.between(10) ?? undefined;
  assert.throws(() => ByteRange.resolve(range, 10), { code: "range-not-satisfiable", facts: { size: 10 } });
  assert.deepEqual(ByteRange.resolve(undefined, 10), { start: 0, end: 10 });
  assert.deepEqual(ByteRange.resolve(ByteRange.over({ start: 2, end: 5 }), 10), { start: 2, end: 5 });
});

test("a range is formatted as in a Range field", () => {
  assert.equal(String(ByteRange.between(0, 99)), "0-99");
  assert.equal(String(ByteRange.between(100)), "100-");
  assert.equal(String(ByteRange.suffix(500)), "-500");
});
