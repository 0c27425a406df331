import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { ByteSpan } from "../../core/byte-range.ts";
import { FixityError } from "../../core/errors.ts";
import { isPlainRange, parseRange, resolveRanges } from "./range.ts";

const parsed = (text: string): readonly string[] | null => parseRange(text)?.map(String) ?? null;

/** What is sent of a blob: `start-end` of each span, both included, `null` for the whole. */
function sent(text: string, size: number): readonly string[] | null {
  const ranges = parseRange(text);
  if (ranges === null) return null;
  return resolveRanges(ranges, size)?.map(({ start, end }) => `${start}-${end - 1}`) ?? null;
}

const isUnsatisfiable = (error: unknown): boolean =>
  error instanceof FixityError && error.code === "range-not-satisfiable" && error.facts["size"] === 100;

test("range sets may have white space, empty elements and a unit in any case", () => {
  assert.deepEqual(parsed("bytes=0-0"), ["0-0"]);
  assert.deepEqual(parsed("Bytes=,0-1, 5-\t,-7 ,"), ["0-1", "5-", "-7"]);
});

test("another unit or a malformed set is ignored", () => {
  const malformed = ["bytes", "bytes=", "bytes=,", "bytes=-", "bytes=a-b", "bytes=0", "bytes=0-1-2", "bytes=0-1;2-3"];
  for (const text of ["", "items=0-1", "0-1", "bytes 0-1", "bytes =0-1", "bytes=--1", "bytes=+1-2", ...malformed]) {
    assert.equal(parsed(text), null, text);
  }
  assert.equal(parsed("bytes=0-1, x"), null);
});

test("single ranges are resolved as nginx resolves them", () => {
  assert.deepEqual(sent("bytes=0-0", 100), ["0-0"]);
  assert.deepEqual(sent("bytes=99-", 100), ["99-99"]);
  assert.deepEqual(sent("bytes=90-1000", 100), ["90-99"]);
  assert.deepEqual(sent("bytes=-1000", 100), ["0-99"]);
  for (const text of ["bytes=-0", "bytes=100-", "bytes=5-2", "bytes=100-200, -0, 5-2"]) {
    assert.throws(() => sent(text, 100), isUnsatisfiable, text);
  }
});

test("numbers of any length are positions beyond the end", () => {
  const huge = "9".repeat(400);
  assert.deepEqual(sent(`bytes=1-${huge}`, 100), ["1-99"]);
  assert.deepEqual(sent(`bytes=-${huge}`, 100), ["0-99"]);
  assert.throws(() => sent(`bytes=${huge}-`, 100), isUnsatisfiable);
});

test("unsatisfiable ranges are dropped if others can be satisfied", () => {
  assert.deepEqual(sent("bytes=200-, 5-2, 1-2", 100), ["1-2"]);
});

test("overlapping and adjacent ranges are joined, the others keep their order", () => {
  assert.deepEqual(sent("bytes=50-59, 0-9, 10-19, 55-64, 30-39", 100), ["50-64", "0-19", "30-39"]);
  assert.deepEqual(sent("bytes=0-9, 20-29, 40-49, 5-44", 100), ["0-49"]);
  assert.deepEqual(sent("bytes=0-9, 11-19", 100), ["0-9", "11-19"]);
});

test("more than 16 ranges, or a flood of overlapping ones, give the whole blob", () => {
  const many = (count: number, spec: (index: number) => string): string =>
    `bytes=${Array.from({ length: count }, (_, index) => spec(index)).join(",")}`;
  const apart = (count: number): string => many(count, (index) => `${index * 2}-${index * 2}`);
  assert.equal(sent(apart(16), 100)?.length, 16);
  assert.equal(sent(apart(17), 100), null);
  assert.equal(
    sent(
      many(1300, (index) => `5-${index}`),
      100,
    ),
    null,
  );
});

test("exactly the requested bytes are sent, and none twice", () => {
  const size = 40;
  const spec = fc.oneof(
    fc.tuple(fc.nat(50), fc.nat(50)).map(([first, last]) => `${first}-${last}`),
    fc.nat(50).map((first) => `${first}-`),
    fc.nat(50).map((length) => `-${length}`),
  );
  fc.assert(
    fc.property(fc.array(spec, { minLength: 1, maxLength: 20 }), (specs) => {
      const wanted = new Set<number>();
      for (const spec of specs) for (const position of positionsOf(spec, size)) wanted.add(position);
      const ranges = parseRange(`bytes=${specs.join(",")}`);
      assert.ok(ranges !== null);
      if (wanted.size === 0) {
        assert.throws(() => resolveRanges(ranges, size), FixityError);
        return;
      }
      const spans = resolveRanges(ranges, size);
      if (spans === null) {
        assert.ok(countRuns(wanted) > 16);
        return;
      }
      const found = spans.flatMap(positionsIn);
      assert.deepEqual(
        found.toSorted((a, b) => a - b),
        [...wanted].toSorted((a, b) => a - b),
      );
      assert.equal(spans.length, countRuns(wanted));
    }),
    { numRuns: 500 },
  );
});

/** The rule of RFC 9110, section 14.1.2, byte by byte. */
function positionsOf(spec: string, size: number): readonly number[] {
  const all = Array.from({ length: size }, (_, position) => position);
  const [first = "", last = ""] = spec.split("-");
  if (first === "") return all.filter((position) => position >= size - Number(last));
  const end = last === "" ? Infinity : Number(last);
  return all.filter((position) => position >= Number(first) && position <= end);
}

function positionsIn({ start, end }: ByteSpan): readonly number[] {
  return Array.from({ length: end - start }, (_, i) => start + i);
}

function countRuns(positions: ReadonlySet<number>): number {
  return [...positions].filter((position) => !positions.has(position - 1)).length;
}

test("a plain range is one that every server parses alike", () => {
  for (const text of ["bytes=0-0", "bytes=5-", "bytes=-5", "bytes=0-999999999999999"]) assert(isPlainRange(text), text);
  for (const text of [
    "bytes=0-0,2-3",
    "bytes=0-0,",
    "bytes= 0-0",
    "Bytes=0-0",
    "bytes=5-2",
    "bytes=-",
    "bytes=a-b",
    "bytes=0-9999999999999999",
    "lines=0-0",
    "",
  ]) {
    assert(!isPlainRange(text), text);
  }
});
