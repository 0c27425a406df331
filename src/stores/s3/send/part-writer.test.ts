import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { FixityError } from "../../../core/errors.ts";
import { PartPlan } from "./part-writer.ts";

const MIB = 1024 * 1024;
const TIB = 1024 * 1024 * MIB;
/** "Amazon S3 multipart upload limits". */
const MIN_PART = 5 * MIB;
const MAX_PART = 5 * 1024 * MIB;

const DEFAULTS = { partSize: 8 * MIB, fixedPartSize: false, maxParts: 10_000, largestPart: 48 * MIB };

/** The number of parts of a file of `length` bytes, and the size of the largest one. */
function cut(plan: PartPlan, length: number): { readonly count: number; readonly largest: number } {
  let [rest, count, largest] = [length, 0, 0];
  while (rest > 0) {
    count += 1;
    const size = plan.size(count);
    largest = Math.max(largest, size);
    rest -= size;
  }
  return { count, largest };
}

function tooLarge(limit: number): (error: unknown) => true {
  return (error) => {
    assert(error instanceof FixityError);
    assert.equal(error.code, "size-limit-exceeded");
    assert.deepEqual(error.facts, { limit });
    return true;
  };
}

for (const [maxParts, most] of [
  [10_000, 5 * TIB],
  // a part has at most 5 GiB
  [1_000, 1_000 * MAX_PART],
] as const) {
  test(`files up to ${most} bytes fit ${maxParts} parts if memory allows parts that large`, () => {
    const largestPart = 6 * 1024 * MIB;
    for (const length of [1, MIB, 8 * MIB, 8 * MIB + 1, 80_000 * MIB + 1, TIB, most]) {
      const known = cut(new PartPlan({ ...DEFAULTS, maxParts, largestPart }, length), length);
      assert(known.count <= maxParts && known.largest <= MAX_PART, `${length} in ${known.count}`);
    }
    if (maxParts === 1_000) assert.throws(() => new PartPlan({ ...DEFAULTS, maxParts, largestPart }, most + 1));
  });
}

test("files of 5 TiB and unknown length fit if memory allows parts of a GiB", () => {
  const plan = new PartPlan({ ...DEFAULTS, partSize: 32 * MIB, largestPart: 1024 * MIB }, undefined);
  assert(plan.largestFile >= 5 * TIB, String(plan.largestFile / TIB));
});

test("small files have parts of the default size, whatever the limit on their number", () => {
  for (const length of [undefined, 100, 20_000 * MIB]) {
    assert.equal(new PartPlan(DEFAULTS, length).size(1), 8 * MIB);
    assert.equal(new PartPlan(DEFAULTS, length).size(1_000), 8 * MIB);
  }
});

test("with the default memory, files up to 370 GiB fit without their length and up to 468 GiB with it", () => {
  assert.equal(new PartPlan(DEFAULTS, undefined).largestFile, (8 + 16 + 32 + 7 * 48) * 1_000 * MIB);
  const most = 48 * 10_000 * MIB;
  assert.equal(cut(new PartPlan(DEFAULTS, most), most).count, 10_000);
  assert.throws(() => new PartPlan(DEFAULTS, most + 1), tooLarge(most));
});

test("parts of a fixed size do not grow, and a file that needs too many of them is refused", () => {
  const limits = { ...DEFAULTS, fixedPartSize: true, maxParts: 1_000 };
  const most = 8_000 * MIB;
  assert.throws(() => new PartPlan(limits, most + 1), tooLarge(most));
  for (const length of [undefined, 10, most]) {
    const plan = new PartPlan(limits, length);
    assert.equal(plan.size(1), 8 * MIB);
    assert.equal(plan.size(1_000), 8 * MIB);
    assert.throws(() => plan.size(1_001), tooLarge(most));
  }
});

test("for any limits and length, parts stay within the limits of S3 and memory, and none is smaller than the one before", () => {
  const limits = fc.record({
    partSize: fc.integer({ min: MIN_PART, max: 512 * MIB }),
    fixedPartSize: fc.boolean(),
    maxParts: fc.integer({ min: 1, max: 10_000 }),
    // The memory of a store always holds one and a half parts of the default size.
    factor: fc.double({ min: 1.5, max: 100, noNaN: true }),
  });
  const length = fc.option(fc.integer({ min: 0, max: 6 * TIB }), { nil: undefined });
  fc.assert(
    fc.property(limits, length, ({ factor, ...rest }, length) => {
      const largestPart = Math.floor(rest.partSize * factor);
      let plan: PartPlan;
      try {
        plan = new PartPlan({ ...rest, largestPart }, length);
      } catch (error) {
        assert(error instanceof FixityError && error.code === "size-limit-exceeded");
        assert(length !== undefined && length > Number(error.facts["limit"]));
        return;
      }
      assert(length === undefined || length <= plan.largestFile);
      let sum = 0;
      for (let number = 1; number <= rest.maxParts; number += 1) {
        const size = plan.size(number);
        assert(size >= MIN_PART && size <= largestPart && size <= MAX_PART);
        assert(number === 1 || size >= plan.size(number - 1));
        if (rest.fixedPartSize || length !== undefined) assert.equal(size, plan.size(1));
        sum += size;
      }
      assert.equal(sum, plan.largestFile);
    }),
    { numRuns: 200 },
  );
});
