import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { BytesContent } from "./node/bytes-content.ts";
import { nodeHashing } from "./node/node-hashing.ts";
import { FileParts, type Part, StreamParts } from "./parts.ts";

const join = (chunks: readonly Uint8Array<ArrayBuffer>[]): BytesContent => new BytesContent(Buffer.concat(chunks));

function partsOf(...chunks: string[]): StreamParts {
  const stream = (async function* () {
    for (const chunk of chunks) yield Buffer.from(chunk);
  })();
  return new StreamParts({ stream, hash: null, join });
}

async function shown({ content, isLast }: Part): Promise<readonly [string, boolean]> {
  return [Buffer.concat(await Array.fromAsync(content.stream())).toString(), isLast];
}

test("a file gives parts from anywhere", async () => {
  const parts = new FileParts(new BytesContent(Buffer.from("0123456789")));
  assert.deepEqual(await shown(await parts.take(0, 4)), ["0123", false]);
  assert.deepEqual(await shown(await parts.take(8, 4)), ["89", true]);
  assert.deepEqual(await shown(await parts.take(10, 4)), ["", true]);
});

test("a stream gives parts of the size asked for, whatever its chunks are", async () => {
  const parts = partsOf("01", "2345678", "", "9");
  assert.equal(parts.total, null);
  assert.deepEqual(await shown(await parts.take(0, 4)), ["0123", false]);
  assert.deepEqual(await shown(await parts.take(4, 4)), ["4567", false]);
  assert.deepEqual(await shown(await parts.take(8, 4)), ["89", true]);
  assert.equal(parts.total, 10);
});

test("a part that ends with the stream is known to be the last one", async () => {
  assert.deepEqual(await shown(await partsOf("01", "23").take(0, 4)), ["0123", true]);
  assert.deepEqual(await shown(await partsOf().take(0, 4)), ["", true]);
});

test("bytes of a stream that were lost are given again", async () => {
  const parts = partsOf("0123", "4567", "89");
  await parts.take(0, 8);
  assert.deepEqual(await shown(await parts.take(3, 4)), ["3456", false]);
  assert.deepEqual(await shown(await parts.take(3, 20)), ["3456789", true]);
  await assert.rejects(parts.take(2, 4), { code: "source-changed" });
  await assert.rejects(parts.take(11, 4), { code: "source-changed" });
});

test("each byte of a stream is hashed once, also where its buffer is used again", async () => {
  const buffer = Buffer.alloc(4);
  const stream = (async function* () {
    for (const text of ["0123", "4567", "89ab"]) {
      buffer.write(text);
      yield buffer;
    }
  })();
  const hash = nodeHashing.running();
  const parts = new StreamParts({ stream, hash, join });
  await parts.take(0, 8);
  assert.deepEqual(await shown(await parts.take(0, 20)), ["0123456789ab", true]);
  await parts.ended;
  assert.equal(await hash.digest(), createHash("sha256").update("0123456789ab").digest("hex"));
});

test("a stream that is not needed to its end is told so", async () => {
  let isClosed = false;
  const stream = (async function* () {
    try {
      for (;;) yield Buffer.from("endless");
    } finally {
      isClosed = true;
    }
  })();
  const parts = new StreamParts({ stream, hash: null, join });
  await parts.take(0, 10);
  await parts.close();
  assert.equal(isClosed, true);
});
