/** Downloads reuse the memory of chunks that have been sent: what arrives must still be the file. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { get, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { after, before, test } from "node:test";
import { content } from "../../src/stores/contract/tools.ts";
import { createFixity, type Fixity } from "../../src/index.ts";
import { diskStore } from "../../src/disk.ts";
import { nodeHandler } from "../../src/node.ts";
import { listen } from "../helpers/listen.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

const BYTES = content(4 * 1024 ** 2);

const stack = new AsyncDisposableStack();
const services: Fixity[] = [];
let url: string;

before(async () => {
  const folder = stack.use(await StoreFolder.make());
  // Verified once, and hashed on each way out.
  for (const verifyReads of ["daily", "always"] as const) {
    const store = stack.use(diskStore({ root: folder.path, durability: "none" }));
    services.push(stack.use(createFixity({ store, verifyReads })));
  }
  ({ url } = await (services[0] ?? assert.fail()).put(BYTES));
});

after(() => stack[Symbol.asyncDispose]());

test("a client that reads slowly receives the file", async () => {
  for (const fixity of services) {
    await using server = await listen(nodeHandler(fixity));
    const response = await request(new URL(url, server.url));
    const chunks: Buffer[] = [];
    for await (const chunk of response) {
      chunks.push(chunk as Buffer);
      // The server sends on meanwhile, until the buffers between the two are full.
      await new Promise(setImmediate);
    }
    assert(Buffer.concat(chunks).equals(BYTES));
  }
});

test("a write of middleware may keep chunks after it was called", async () => {
  for (const fixity of services) {
    await using server = await listen(keepingChunks(nodeHandler(fixity)));
    const response = await request(new URL(url, server.url));
    assert(Buffer.concat(await Array.fromAsync(response as AsyncIterable<Buffer>)).equals(BYTES));
  }
});

/** Sends what a handler writes only at its end, with a `write` that reports success at once. */
function keepingChunks(handler: RequestListener): RequestListener {
  return (request, response) => {
    const kept: Uint8Array[] = [];
    const end = response.end.bind(response) as (content: Uint8Array) => ServerResponse;
    response.write = (chunk: Uint8Array) => kept.push(chunk) > 0;
    response.end = () => end(Buffer.concat(kept));
    handler(request, response);
  };
}

async function request(url: URL): Promise<IncomingMessage> {
  const [response] = (await once(get(url), "response")) as [IncomingMessage];
  return response;
}
