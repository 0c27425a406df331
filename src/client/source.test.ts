import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { BytesContent } from "./node/content.ts";
import { nodeHashing } from "./node/platform.ts";
import { type Append, FileAppends, StreamAppends } from "./source.ts";

const concat = (chunks: readonly Uint8Array<ArrayBuffer>[]): BytesContent => new BytesContent(Buffer.concat(chunks));

function appendsOf(...chunks: string[]): StreamAppends {
  const stream = (async function* () {
    for (const chunk of chunks) yield Buffer.from(chunk);
  })();
  return new StreamAppends(stream, { hash: null, concat });
}

async function shown({ content, isLast }: Append): Promise<readonly [string, boolean]> {
  return [Buffer.concat(await Array.fromAsync(content.stream())).toString(), isLast];
}

test("a file yields appends from any offset", async () => {
  const appends = new FileAppends(new BytesContent(Buffer.from("0123456789")));
  assert.deepEqual(await shown(await appends.take(0, 4)), ["0123", false]);
  assert.deepEqual(await shown(await appends.take(8, 4)), ["89", true]);
  assert.deepEqual(await shown(await appends.take(10, 4)), ["", true]);
});

test("a stream yields appends of the requested size, whatever its chunks are", async () => {
  const appends = appendsOf("01", "2345678", "", "9");
  assert.equal(appends.total, null);
  assert.deepEqual(await shown(await appends.take(0, 4)), ["0123", false]);
  assert.deepEqual(await shown(await appends.take(4, 4)), ["4567", false]);
  assert.deepEqual(await shown(await appends.take(8, 4)), ["89", true]);
  assert.equal(appends.total, 10);
});

test("an append that ends with the stream is the last one", async () => {
  assert.deepEqual(await shown(await appendsOf("01", "23").take(0, 4)), ["0123", true]);
  assert.deepEqual(await shown(await appendsOf().take(0, 4)), ["", true]);
});

test("unacknowledged bytes of a stream are yielded again", async () => {
  const appends = appendsOf("0123", "4567", "89");
  await appends.take(0, 8);
  assert.deepEqual(await shown(await appends.take(3, 4)), ["3456", false]);
  assert.deepEqual(await shown(await appends.take(3, 20)), ["3456789", true]);
  await assert.rejects(appends.take(2, 4), { code: "source-changed" });
  await assert.rejects(appends.take(11, 4), { code: "source-changed" });
});

test("each byte of a stream is hashed once, also if the stream reuses its buffer", async () => {
  const buffer = Buffer.alloc(4);
  const stream = (async function* () {
    for (const text of ["0123", "4567", "89ab"]) {
      buffer.write(text);
      yield buffer;
    }
  })();
  const hash = nodeHashing.incremental();
  const appends = new StreamAppends(stream, { hash, concat });
  await appends.take(0, 8);
  assert.deepEqual(await shown(await appends.take(0, 20)), ["0123456789ab", true]);
  await appends.ended;
  assert.equal(await hash.digest(), createHash("sha256").update("0123456789ab").digest("hex"));
});

test("a stream that is not needed to its end is closed", async () => {
  let isClosed = false;
  const stream = (async function* () {
    try {
      for (;;) yield Buffer.from("endless");
    } finally {
      isClosed = true;
    }
  })();
  const appends = new StreamAppends(stream, { hash: null, concat });
  await appends.take(0, 10);
  await appends.close();
  assert.equal(isClosed, true);
});
