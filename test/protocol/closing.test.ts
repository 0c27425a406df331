/** A service that its program closes: `fixity.close()`, over every adapter of Node's. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, test } from "node:test";
import Fastify from "fastify";
import { fetchHandler } from "../../src/fetch.ts";
import { fixityPlugin } from "../../src/fastify.ts";
import { createFixity, type Fixity } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import { nodeHandler } from "../../src/node.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { Service, sha256 } from "../helpers/service.ts";
import { ask, begin, field, finalAnswer, json } from "../resumable/client.ts";

const LINK = `/uploads/${sha256("hello")}`;
const UPLOAD = `/uploads/in-progress/${"0".repeat(32)}`;
const TUS = { "Tus-Resumable": "1.0.0" };

/** A request for everything that the service answers. */
const REQUESTS: readonly (readonly [method: string, target: string, fields?: Record<string, string>])[] = [
  ["GET", LINK],
  ["HEAD", LINK],
  ["GET", `${LINK}?view`],
  ["DELETE", LINK],
  ["OPTIONS", "/uploads"],
  ["PUT", LINK],
  ["POST", "/uploads", { "Content-Type": "text/plain" }],
  ["POST", "/uploads", { "Content-Type": "multipart/form-data; boundary=b" }],
  ["POST", "/uploads", { "Upload-Complete": "?0" }],
  ["POST", "/uploads", { ...TUS, "Upload-Length": "5" }],
  ["HEAD", UPLOAD],
  ["HEAD", UPLOAD, TUS],
  ["PATCH", UPLOAD, { "Content-Type": "application/partial-upload", "Upload-Offset": "0", "Upload-Complete": "?1" }],
  ["PATCH", UPLOAD, { ...TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0" }],
  ["DELETE", UPLOAD, TUS],
];

for (const adapter of ["node", "fastify"] as const) {
  describe(`a service that is being closed (${adapter})`, () => {
    for (const [method, target, fields = {}] of REQUESTS) {
      test(`refuses ${method} ${target} ${JSON.stringify(fields)}, and keeps no connection`, async () => {
        await using service = await Service.start({ adapter });
        await service.fixity.close();
        const answer = await ask(service.port, method, target, {
          fields,
          ...(method === "GET" || method === "HEAD" ? {} : { body: "hello" }),
        });
        assert.equal(answer.status, 503);
        assert.equal(field(answer, "connection"), "close");
        assert.ok(Number(field(answer, "retry-after")) > 0);
        if (method !== "HEAD") assert.equal(json(answer)["code"], "shutting-down");
      });
    }

    test("ends the connection of an upload that it lets finish", async () => {
      await using service = await Service.start({ adapter });
      await using client = await RawClient.open(service.port);
      await begin(client, "POST", "/uploads", { fields: { Expect: "100-continue" }, length: 10 });
      assert.equal((await client.answer()).status, 100);
      const closed = service.fixity.close();
      await client.send("0123456789");
      const answer = await client.answer();
      assert.deepEqual([answer.status, answer.fields.get("connection")], [201, "close"]);
      await client.closed();
      await closed;
    });
  });
}

/** Begins an append of ten bytes, of which the service has taken five. */
async function halfAnAppend(port: number): Promise<RawClient> {
  const client = await RawClient.open(port);
  await begin(client, "POST", "/uploads", {
    fields: { "Upload-Complete": "?1", Expect: "100-continue" },
    length: 10,
  });
  assert.equal((await client.answer()).status, 100);
  await client.send("01234");
  return client;
}

async function assertSavedHalf(client: RawClient, { store }: Fixity): Promise<void> {
  const answer = await finalAnswer(client);
  assert.equal(answer.status, 503);
  assert.equal(field(answer, "upload-offset"), "5");
  const [id, ...others] = await Array.fromAsync(store.uploads?.list() ?? [], (listed) => listed.id);
  assert.ok(id !== undefined && others.length === 0);
  assert.ok(field(answer, "location").endsWith(id.hex));
  assert.equal((await store.uploads?.read(id))?.offset, 5);
}

test("a Fastify app that is closed closes the service", async () => {
  const fixity = createFixity({ store: memoryStore() });
  const app = Fastify();
  await app.register(fixityPlugin, { fixity, view: true });
  await app.listen({ port: 0, host: "127.0.0.1" });
  await using client = await halfAnAppend((app.server.address() as AddressInfo).port);
  const closed = app.close();
  await assertSavedHalf(client, fixity);
  client.socket.end();
  await closed;
  await assert.rejects(fixity.put(Buffer.from("hello")), { code: "shutting-down" });
});

test("a Fastify app leaves a service open if closesWithApp is false", async () => {
  const fixity = createFixity({ store: memoryStore() });
  const app = Fastify();
  await app.register(fixityPlugin, { fixity, view: true, closesWithApp: false });
  await app.ready();
  await app.close();
  await fixity.put(Buffer.from("hello"));
});

test("a node:http server and its service are closed together", async () => {
  const fixity = createFixity({ store: memoryStore() });
  const server = createServer(nodeHandler(fixity, { view: true })).listen(0, "127.0.0.1");
  await once(server, "listening");
  await using client = await halfAnAppend((server.address() as AddressInfo).port);
  const gone = new Promise<void>((resolve) => void server.close(() => resolve()));
  const closed = fixity.close();
  await assertSavedHalf(client, fixity);
  client.socket.end();
  await Promise.all([closed, gone]);
});

test("a handler of the Fetch standard's types answers an interrupted append", async () => {
  const fixity = createFixity({ store: memoryStore() });
  const handle = fetchHandler(fixity, { view: true });
  const reached = Promise.withResolvers<void>();
  let pulls = 0;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      pulls += 1;
      if (pulls === 1) return controller.enqueue(Buffer.from("01234"));
      reached.resolve();
      await new Promise(() => {});
    },
  });
  const init = { method: "POST", body, duplex: "half" as const, headers: { "Upload-Complete": "?1" } };
  const answer = handle(new Request("http://a/uploads", init));
  await reached.promise;
  await fixity.close();
  const { status, headers } = await answer;
  assert.deepEqual([status, headers.get("upload-offset")], [503, "5"]);
});
