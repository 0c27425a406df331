import assert from "node:assert/strict";
import { type AddressInfo } from "node:net";
import { test } from "node:test";
import express from "express";
import Fastify from "fastify";
import { Hono } from "hono";
import { fixityPlugin } from "../../src/fastify.ts";
import { fetchHandler } from "../../src/fetch.ts";
import { createFixity, type Fixity } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import { type HandlerOptions, nodeHandler } from "../../src/node.ts";
import { honoListener } from "../helpers/hosts.ts";
import { listen } from "../helpers/listen.ts";
import { fileHead, formOf, sha256 } from "../helpers/service.ts";

const JSON_TYPE = { "content-type": "application/json" };
const CONTENT = '{"a":1}';

/** One service, and what its log is told. */
class Logged {
  readonly fixity: Fixity = createFixity({ store: memoryStore() });
  readonly errors: string[] = [];
  readonly options: HandlerOptions = {
    onAnswer: (_exchange, { note }) => void (note?.error && this.errors.push(note.error.message)),
  };
}

/** Uploads by every route, to a service behind something that reads the content. */
async function refusesAll({ fixity, errors }: Logged, call: (path: string, init: RequestInit) => Promise<Response>) {
  const { boundary, body } = formOf([{ head: fileHead(), content: "form" }]);
  const upload = await fixity.uploads?.create({});
  assert.ok(upload);
  const at = `/uploads/in-progress/${upload.id.hex}`;
  const tus = { "tus-resumable": "1.0.0", "content-type": "application/offset+octet-stream" };
  const partial = { "content-type": "application/partial-upload", "upload-offset": "0", "upload-complete": "?1" };
  const requests: [string, string, Record<string, string>, string][] = [
    ["POST", "/uploads", JSON_TYPE, CONTENT],
    ["POST", "/uploads", { "content-type": `multipart/form-data; boundary=${boundary}` }, body.toString()],
    ["PUT", `/uploads/${sha256(CONTENT)}`, JSON_TYPE, CONTENT],
    ["POST", "/uploads", { ...JSON_TYPE, "upload-complete": "?1" }, CONTENT],
    ["POST", "/uploads", { ...tus, "upload-length": "7" }, CONTENT],
    ["PATCH", at, partial, CONTENT],
    ["PATCH", at, { ...tus, "upload-offset": "0" }, CONTENT],
  ];
  for (const [method, path, headers, content] of requests) {
    const answer = await call(path, { method, headers, body: content });
    const { code, detail } = (await answer.json()) as { code: string; detail: string };
    assert.deepEqual([answer.status, code], [500, "content-already-read"], `${method} ${JSON.stringify(headers)}`);
    assert.match(detail, /Register fixity before/);
    assert.equal(errors.pop(), detail, "and the log says so");
  }
  assert.deepEqual(await Array.fromAsync(fixity.list()), []);
  assert.equal((await fixity.uploads?.find(upload.id))?.offset, 0);
}

test("Express: content that a body parser has read is one clear error", async () => {
  const logged = new Logged();
  const app = express();
  app.use(express.raw({ type: () => true }), nodeHandler(logged.fixity, logged.options));
  await using server = await listen(app);
  await refusesAll(logged, (path, init) => fetch(server.url + path, init));
});

test("Express: content that a body parser leaves alone, or that is empty, is stored", async () => {
  const { fixity } = new Logged();
  const app = express();
  app.use(express.json(), nodeHandler(fixity));
  await using server = await listen(app);
  const post = async (init: RequestInit): Promise<number> => {
    const answer = await fetch(`${server.url}/uploads`, { method: "POST", ...init });
    return answer.status;
  };
  assert.equal(await post({ body: "text" }), 201);
  assert.equal(await post({ body: "", headers: { ...JSON_TYPE } }), 201);
  assert.equal(await post({ body: CONTENT, headers: JSON_TYPE }), 500);
});

test("content that was partly read, or decoded to text, is refused", async () => {
  const { fixity } = new Logged();
  const handler = nodeHandler(fixity);
  await using half = await listen((request, response) => {
    request.once("data", () => {
      request.pause();
      handler(request, response);
    });
  });
  await using text = await listen((request, response) => {
    request.setEncoding("utf8");
    handler(request, response);
  });
  for (const { url } of [half, text]) {
    const answer = await fetch(`${url}/uploads`, { method: "POST", body: Buffer.alloc(3_000_000) });
    assert.equal(((await answer.json()) as { code: string }).code, "content-already-read");
  }
});

test("Fastify: content that a hook, or the app's own parser, has read is one clear error", async () => {
  for (const way of ["hook", "parser"] as const) {
    const logged = new Logged();
    const app = Fastify({ forceCloseConnections: true });
    if (way === "hook") {
      app.addHook("onRequest", async (request) => void (await Array.fromAsync(request.raw)));
      await app.register(fixityPlugin, { ...logged.options, fixity: logged.fixity });
    } else {
      const handler = nodeHandler(logged.fixity, logged.options);
      app.removeAllContentTypeParsers();
      app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
      app.all("/uploads", (request, reply) => handler(request.raw, reply.hijack().raw));
      app.all("/uploads/*", (request, reply) => handler(request.raw, reply.hijack().raw));
    }
    await app.listen({ port: 0, host: "127.0.0.1" });
    const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
    try {
      await refusesAll(logged, (path, init) => fetch(url + path, init));
    } finally {
      await app.close();
    }
  }
});

test("Fetch: a request whose body is used, or is being read, is one clear error", async () => {
  const used = new Logged();
  const handler = fetchHandler(used.fixity, used.options);
  await refusesAll(used, async (path, init) => {
    const request = new Request(`http://x.test${path}`, init);
    await request.arrayBuffer();
    return handler(request);
  });
  const locked = new Logged();
  await refusesAll(locked, async (path, init) => {
    const request = new Request(`http://x.test${path}`, init);
    request.body?.getReader();
    return fetchHandler(locked.fixity, locked.options)(request);
  });
});

test("Hono: content that a middleware has read is one clear error", async () => {
  const logged = new Logged();
  const handler = fetchHandler(logged.fixity, logged.options);
  const app = new Hono();
  app.use(async (context, next) => {
    await context.req.arrayBuffer();
    await next();
  });
  app.all("/uploads/*", (context) => handler(context.req.raw));
  await using server = await listen(await honoListener(app.fetch));
  await refusesAll(logged, (path, init) => fetch(server.url + path, init));
});
