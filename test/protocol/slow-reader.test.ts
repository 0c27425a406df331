import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import Fastify from "fastify";
import { fixityPlugin } from "../../src/fastify.ts";
import { type BlobReader, type BlobStore, createFixity, type Fixity } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { Service } from "../helpers/service.ts";
import { settled } from "../helpers/settled.ts";

/** Milliseconds. */
const LIMIT = 100;
/** Long enough for the limit to be over; how much longer does not matter. */
const LONG = 5 * LIMIT;
/** More than a socket and its kernel hold. */
const MUCH = Buffer.alloc(64 * 1024 ** 2);

async function linkTo(fixity: Fixity, content: Uint8Array): Promise<string> {
  const { url } = await fixity.put([content]);
  return url;
}

const get = (url: string): string => `GET ${url} HTTP/1.1\r\nHost: x\r\n\r\n`;

/** A store that gives the first byte of a blob, and after a long time the rest. */
function hesitantStore(): BlobStore {
  const store = memoryStore();
  const open = store.open.bind(store);
  return Object.assign(store, {
    open: async (...of: Parameters<BlobStore["open"]>): Promise<BlobReader | null> => {
      const reader = await open(...of);
      return reader === null ? null : hesitant(reader);
    },
  });
}

function hesitant(reader: BlobReader): BlobReader {
  return {
    size: reader.size,
    span: reader.span,
    async *[Symbol.asyncIterator]() {
      let first = true;
      for await (const chunk of reader) {
        if (first) {
          yield chunk.subarray(0, 1);
          await sleep(LONG);
        }
        yield first ? chunk.subarray(1) : chunk;
        first = false;
      }
    },
    [Symbol.asyncDispose]: () => reader[Symbol.asyncDispose](),
  };
}

function told(reader: BlobReader, closed: () => void): BlobReader {
  return {
    size: reader.size,
    span: reader.span,
    [Symbol.asyncIterator]: () => reader[Symbol.asyncIterator](),
    async [Symbol.asyncDispose]() {
      await reader[Symbol.asyncDispose]();
      closed();
    },
  };
}

test("a download whose reader takes no byte is ended, and reported as aborted", async () => {
  const told = Promise.withResolvers<boolean>();
  await using service = await Service.start({
    idleTimeout: LIMIT,
    onAnswer: (_, __, { aborted }) => told.resolve(aborted),
  });
  const url = await linkTo(service.fixity, MUCH);
  await using client = await RawClient.open(service.port);
  client.socket.pause();
  await client.send(get(url));
  assert.equal(await told.promise, true);
});

test("the time begins again with what a slow store brings late", async () => {
  const ended = Promise.withResolvers<boolean>();
  await using service = await Service.start({
    idleTimeout: LIMIT,
    store: hesitantStore(),
    onAnswer: (_, __, { aborted }) => ended.resolve(aborted),
  });
  const url = await linkTo(service.fixity, MUCH);
  await using client = await RawClient.open(service.port);
  client.socket.pause();
  await client.send(get(url));
  assert.equal(await ended.promise, true);
});

test("so is one whose answer stood behind another that was not ready", async () => {
  const first = Promise.withResolvers<void>();
  const aborted: (readonly [method: string, boolean])[] = [];
  const told = Promise.withResolvers<void>();
  await using service = await Service.start({
    idleTimeout: LIMIT,
    authorize: ({ exchange: { method } }) => (method === "HEAD" ? first.promise : undefined),
    onAnswer: ({ method }, _, report) => {
      if (aborted.push([method, report.aborted]) === 2) told.resolve();
    },
  });
  const url = await linkTo(service.fixity, MUCH);
  await using client = await RawClient.open(service.port);
  client.socket.pause();
  await client.send(`HEAD ${url} HTTP/1.1\r\nHost: x\r\n\r\n${get(url)}`);
  // the answer to GET is made, and waits for its turn
  await sleep(LONG);
  first.resolve();
  await told.promise;
  assert.deepEqual(aborted, [
    ["HEAD", false],
    ["GET", true],
  ]);
});

test("downloads that one connection asks for together are opened one after the other, and closed when it ends", async () => {
  const store = memoryStore();
  const open = store.open.bind(store);
  const held = new Set<BlobReader>();
  let most = 0;
  const counting = Object.assign(store, {
    open: async (...of: Parameters<BlobStore["open"]>): Promise<BlobReader | null> => {
      const reader = await open(...of);
      if (reader !== null) most = Math.max(most, held.add(reader).size);
      return reader === null ? null : told(reader, () => held.delete(reader));
    },
  });
  await using service = await Service.start({ store: counting });
  const url = await linkTo(service.fixity, MUCH);
  await using client = await RawClient.open(service.port);
  client.socket.pause();
  await client.send(get(url).repeat(3));
  await sleep(LONG);
  assert.equal(held.size, 1);
  client.socket.destroy();
  assert.equal(
    await settled(
      async () => held.size,
      (count) => count === 0,
    ),
    0,
  );
  assert.equal(most, 1);
});

test("a reader that waits for a slow store is not ended", async () => {
  await using service = await Service.start({ idleTimeout: LIMIT, store: hesitantStore() });
  const url = await linkTo(service.fixity, Buffer.from("hello"));
  const response = await fetch(service.url + url);
  assert.equal(await response.text(), "hello");
});

test("the limit ends with the download: a request sent along with it has all its time", async () => {
  await using service = await Service.start({
    idleTimeout: LIMIT,
    authorize: ({ exchange: { method } }) => (method === "POST" ? sleep(LONG) : undefined),
  });
  const url = await linkTo(service.fixity, Buffer.from("hello"));
  await using client = await RawClient.open(service.port);
  await client.send(`${get(url)}POST /uploads HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx`);
  assert.equal((await client.answer()).status, 200);
  assert.equal((await client.answer()).status, 201);
});

test("the connection is kept after a download for as long as the server keeps any", async () => {
  await using service = await Service.start({ idleTimeout: LIMIT });
  const url = await linkTo(service.fixity, Buffer.from("hello"));
  await using client = await RawClient.open(service.port);
  for (let round = 0; round < 2; round += 1) {
    await client.send(get(url));
    assert.equal(String((await client.answer()).body), "hello");
    await sleep(LONG);
  }
  await using plain = await RawClient.open(service.port);
  await plain.send(`${get(url).trimEnd()}\r\nConnection: close\r\n\r\n`);
  assert.equal(String((await plain.answer()).body), "hello");
  await plain.closed();
});

for (const idleTimeout of [Infinity, 2 ** 40]) {
  test(`with a limit of ${idleTimeout} ms a download comes whole`, async () => {
    await using service = await Service.start({ idleTimeout });
    const url = await linkTo(service.fixity, MUCH);
    const response = await fetch(service.url + url);
    assert.equal((await response.arrayBuffer()).byteLength, MUCH.length);
  });
}

test("a reader that disconnects is reported, and its blob is closed", async () => {
  const told = Promise.withResolvers<boolean>();
  await using service = await Service.start({ onAnswer: (_, __, { aborted }) => told.resolve(aborted) });
  const url = await linkTo(service.fixity, MUCH);
  await using client = await RawClient.open(service.port);
  await client.send(get(url));
  await once(client.socket, "data");
  client.socket.destroy();
  assert.equal(await told.promise, true);
});

test("a download can be tried without a socket, as Fastify's inject does", async () => {
  const fixity = createFixity({ store: memoryStore() });
  await using app = Fastify();
  await app.register(fixityPlugin, { fixity });
  const { statusCode, rawPayload } = await app.inject(await linkTo(fixity, MUCH));
  assert.deepEqual([statusCode, rawPayload.length], [200, MUCH.length]);
});
