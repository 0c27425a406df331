import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { content } from "../../contract/tools.ts";
import { PartBuffer } from "./part-buffer.ts";
import { sha256Hex } from "../api/signer.ts";

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
