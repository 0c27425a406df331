import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { FixityError } from "../../../core/errors.ts";
import { content } from "../../contract/tools.ts";
import { sha256Hex } from "../api/signer.ts";
import { PartBuffer, PartPlan } from "./part-writer.ts";

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

test("the content is the bytes that were added, whatever their chunks", () => {
  const lengths = fc.array(fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 1_000, max: 30_000 })));
  fc.assert(
    fc.property(lengths, (lengths) => {
      const buffer = new PartBuffer();
      const pieces = lengths.map((length, n) => content(length, n));
      for (const piece of pieces) buffer.add(Uint8Array.from(piece));
      const whole = Buffer.concat(pieces);
      assert.equal(buffer.length, whole.length);
      assert(Buffer.concat(buffer.take().chunks).equals(whole));
      assert.equal(buffer.length, 0);
      assert.deepEqual(buffer.take().chunks, []);
    }),
    { numRuns: 50 },
  );
});

test("taken chunks are not overwritten by bytes that are added later", () => {
  const buffer = new PartBuffer();
  for (let n = 0; n < 10; n += 1) buffer.add(content(100, n));
  const taken = Buffer.concat(buffer.take().chunks);
  const copy = Buffer.from(taken);
  for (let n = 10; n < 20; n += 1) buffer.add(content(100, n));
  assert(taken.equals(copy));
});

test("single bytes cost little more memory than they are, and keep no larger buffer alive", () => {
  const buffer = new PartBuffer();
  const large = content(100_000);
  for (let at = 0; at < large.length; at += 1) buffer.add(large.subarray(at, at + 1));
  const { chunks } = buffer.take();
  assert(chunks.length < 20, `${chunks.length} chunks`);
  const kept = new Set(chunks.slice(1).map(({ buffer }) => buffer));
  assert(!kept.has(large.buffer));
  let held = 0;
  for (const { byteLength } of kept) held += byteLength;
  assert(held < 2 * large.length, `${held} bytes`);
});

test("a requested digest covers the bytes from the request to the next take", () => {
  const buffer = new PartBuffer();
  buffer.add(content(5_000));
  assert.equal(buffer.take().digest, null);
  for (let part = 1; part <= 2; part += 1) {
    buffer.hashNext();
    const pieces = [1, 40, 3_000, 0, 200].map((length, n) => content(length, 10 * part + n));
    for (const piece of pieces) buffer.add(piece);
    const { chunks, digest } = buffer.take();
    assert.equal(digest, sha256Hex(pieces));
    assert.equal(digest, sha256Hex(chunks));
  }
  buffer.add(content(10));
  assert.equal(buffer.take().digest, null);
});
