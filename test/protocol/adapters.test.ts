import assert from "node:assert/strict";
import type { RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import express from "express";
import Fastify from "fastify";
import { Hono } from "hono";
import { fixityPlugin } from "../../src/fastify.ts";
import { fetchHandler } from "../../src/fetch.ts";
import { createFixity } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import { type AccessRequest, nodeHandler } from "../../src/node.ts";
import { listen } from "../helpers/listen.ts";
import { sha256 } from "../helpers/service.ts";

const HELLO = "hello, world";
const HEX = sha256(HELLO);

/** What every way of embedding must do alike. */
async function exercise(
  call: (path: string, init?: RequestInit) => Promise<Response>,
  prefix = "/uploads",
): Promise<void> {
  const form = new FormData();
  form.append("upload", new File([HELLO], "a.txt", { type: "text/plain" }));
  const created = await call(prefix, { method: "POST", body: form });
  assert.equal(created.status, 201);
  assert.equal(created.headers.get("location"), `${prefix}/${HEX}.txt`);
  const raw = await call(`${prefix}?filename=b.png`, { method: "POST", body: HELLO });
  assert.equal(raw.status, 200);
  assert.equal((await call(`${prefix}/${HEX}`, { method: "PUT", body: HELLO })).status, 200);

  const whole = await call(`${prefix}/${HEX}.txt`);
  assert.equal(await whole.text(), HELLO);
  const part = await call(`${prefix}/${HEX}.txt`, { headers: { range: "bytes=0-4" } });
  assert.deepEqual([part.status, await part.text()], [206, "hello"]);
  const head = await call(`${prefix}/${HEX}.txt`, { method: "HEAD" });
  assert.deepEqual([head.status, head.headers.get("content-length"), await head.text()], [200, "12", ""]);
  const same = await call(`${prefix}/${HEX}.txt`, { headers: { "if-none-match": `"${HEX}"` } });
  assert.deepEqual([same.status, await same.text()], [304, ""]);

  const view = await call(`${prefix}/${HEX}.txt?view`);
  assert.deepEqual([view.status, view.headers.get("content-type")], [200, "text/html; charset=utf-8"]);
  assert.match(await view.text(), new RegExp(`<code id="digest">${HEX}</code>`));
  const seen = await call(`${prefix}/${HEX}.txt?view`, { method: "HEAD" });
  assert.deepEqual([seen.status, seen.headers.get("etag"), await seen.text()], [200, view.headers.get("etag"), ""]);

  await exerciseResumable(call, prefix);

  const put = await call(`${prefix}/Gr%C3%BC%C3%9Fe.txt`, {
    method: "PUT",
    body: HELLO,
    headers: { accept: "text/html" },
  });
  assert.deepEqual([put.status, put.headers.get("location")], [200, `${prefix}/${HEX}.txt`]);
  assert.equal(((await put.json()) as { name: string }).name, "Grüße.txt");
  const lost = await call(`${prefix}/nothing-here`, { headers: { accept: "text/html" } });
  assert.deepEqual([lost.status, lost.headers.get("content-type")], [404, "text/html; charset=utf-8"]);
  const absent = await call(`${prefix}/${sha256("absent")}`);
  assert.deepEqual([absent.status, absent.headers.get("content-type")], [404, "application/problem+json"]);
  const tooLarge = await call(prefix, { method: "POST", body: Buffer.alloc(3 * 1024 ** 2) });
  assert.deepEqual([tooLarge.status, ((await tooLarge.json()) as { code: string }).code], [413, "size-limit-exceeded"]);
}

/** Uploads that are resumed, in both protocols: their addresses lie one segment deeper. */
async function exerciseResumable(
  call: (path: string, init?: RequestInit) => Promise<Response>,
  prefix = "/uploads",
): Promise<void> {
  const tus = { "tus-resumable": "1.0.0" };
  const begun = await call(prefix, { method: "POST", headers: { ...tus, "upload-length": "12" } });
  const at = begun.headers.get("location") ?? assert.fail("no Location");
  assert.match(at, new RegExp(`^${prefix}/in-progress/[0-9a-f]{32}$`));
  const octets = { ...tus, "content-type": "application/offset+octet-stream", "upload-offset": "0" };
  const first = await call(at, { method: "PATCH", headers: octets, body: HELLO.slice(0, 5) });
  assert.deepEqual([first.status, first.headers.get("upload-offset")], [204, "5"]);
  const seen = await call(at, { method: "HEAD" });
  assert.deepEqual([seen.status, seen.headers.get("upload-offset"), await seen.text()], [204, "5", ""]);
  assert.equal((await call(at, { method: "OPTIONS" })).headers.get("tus-version"), "1.0.0");
  const partial = { "content-type": "application/partial-upload", "upload-offset": "5", "upload-complete": "?1" };
  const done = await call(at, { method: "PATCH", headers: partial, body: HELLO.slice(5) });
  assert.ok(done.status === 201 || done.status === 200);
  assert.equal(done.headers.get("location"), `${prefix}/${HEX}`);
  const followed = await call(at, { redirect: "manual" });
  assert.deepEqual([followed.status, followed.headers.get("location")], [303, `${prefix}/${HEX}`]);
  assert.equal((await call(at, { method: "DELETE" })).status, 204);
  assert.equal((await call(at, { method: "HEAD" })).status, 404);
}

const service = (prefix = "/uploads"): ReturnType<typeof createFixity> =>
  createFixity({ store: memoryStore(), maxSize: 1024 ** 2, prefix });

test("bare node:http serves the uploads, and answers 404 for everything else", async () => {
  await using server = await listen(nodeHandler(service(), { view: true }));
  await exercise((path, init) => fetch(server.url + path, init));
  const other = await fetch(`${server.url}/uploadsx`);
  assert.deepEqual([other.status, ((await other.json()) as { code: string }).code], [404, "not-found"]);
});

test("in Express the app keeps its own routes and body parsers", async () => {
  const app = express();
  app.use(nodeHandler(service(), { view: true }));
  app.use(express.json());
  app.post("/api", (request, response) => void response.json(request.body));
  await using server = await listen(app);
  await exercise((path, init) => fetch(server.url + path, init));
  const api = await fetch(`${server.url}/api`, {
    method: "POST",
    body: '{"a":1}',
    headers: { "content-type": "application/json" },
  });
  assert.deepEqual(await api.json(), { a: 1 });
});

test("behind middleware of Express that replaces write and end, as express-session does", async () => {
  const app = express();
  app.use((_request, response, next) => {
    const write = response.write.bind(response);
    const end = response.end.bind(response);
    response.write = (chunk: unknown) => write(chunk, "utf8");
    response.end = (chunk?: unknown) => {
      if (typeof chunk === "string" || chunk instanceof Uint8Array) response.write(chunk);
      else assert.equal(chunk, undefined);
      return end();
    };
    next();
  });
  const authorize = ({ exchange }: AccessRequest): boolean => exchange.fields.get("x-refuse") === undefined;
  app.use(nodeHandler(createFixity({ store: memoryStore(), maxSize: 1024 ** 2 }), { authorize, view: true }));
  await using server = await listen(app);
  await exercise((path, init) => fetch(server.url + path, init));
  // answered before the content has arrived, with a connection that is kept and one that is closed
  for (const size of [10_000, 1_000_000]) {
    const init = { method: "POST", body: Buffer.alloc(size), headers: { "x-refuse": "yes" } };
    const refused = await fetch(`${server.url}/uploads`, init);
    assert.deepEqual([refused.status, ((await refused.json()) as { code: string }).code], [401, "unauthorized"]);
  }
});

test("under a mount path of Express, with the same path as prefix", async () => {
  const app = express();
  app.use("/api/files", nodeHandler(service("/api/files"), { view: true }));
  await using server = await listen(app);
  await exercise((path, init) => fetch(server.url + path, init), "/api/files");
});

test("in Fastify the app keeps its own routes, body parsers and hooks", async () => {
  const app = Fastify({ bodyLimit: 1000 });
  const seen: string[] = [];
  app.addHook("onRequest", async (request) => void seen.push(request.method));
  await app.register(fixityPlugin, { fixity: service(), view: true });
  app.post("/api", async (request) => request.body);
  await app.listen({ port: 0, host: "127.0.0.1" });
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
  try {
    await exercise((path, init) => fetch(url + path, init));
    const headers = { "content-type": "application/json" };
    const api = await fetch(`${url}/api`, { method: "POST", body: '{"a":1}', headers });
    assert.deepEqual(await api.json(), { a: 1 });
    assert.ok(seen.includes("PUT"));
  } finally {
    app.server.closeAllConnections();
    await app.close();
  }
});

test("two services in one Fastify app each answer Expect on their own paths", async () => {
  const app = Fastify();
  await app.register(fixityPlugin, { fixity: service("/a"), view: true });
  await app.register(fixityPlugin, { fixity: service("/b"), view: true });
  await app.listen({ port: 0, host: "127.0.0.1" });
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
  try {
    for (const prefix of ["/a", "/b"]) await exercise((path, init) => fetch(url + path, init), prefix);
  } finally {
    app.server.closeAllConnections();
    await app.close();
  }
});

test("as a function of the Fetch standard", async () => {
  const handler = fetchHandler(service(), { view: true });
  await exercise((path, init) => handler(new Request(`http://example.test${path}`, init)));
});

test("in Hono", async () => {
  const handler = fetchHandler(service(), { view: true });
  const app = new Hono();
  app.all("/uploads/*", (context) => handler(context.req.raw));
  app.get("/", (context) => context.text("home"));
  await exercise(async (path, init) => app.request(path, init));
  assert.equal(await (await app.request("/")).text(), "home");
});

test("in Hono over a real server", async () => {
  const handler = fetchHandler(service(), { view: true });
  const app = new Hono();
  app.all("/uploads/*", (context) => handler(context.req.raw));
  // its types ask for those of a browser, so they are left out
  const name: string = "@hono/node-server";
  const { getRequestListener } = (await import(name)) as {
    getRequestListener: (fetch: unknown) => RequestListener;
  };
  await using server = await listen(getRequestListener(app.fetch));
  await exercise((path, init) => fetch(server.url + path, init));
});

test("a Fetch upload that breaks off resumes from the bytes that arrived", async () => {
  const handler = fetchHandler(service(), { view: true });
  const call = (path: string, init: RequestInit): Promise<Response> =>
    handler(new Request(`http://x.test${path}`, init));
  const begun = await call("/uploads", { method: "POST", headers: { "upload-complete": "?0" } });
  const at = begun.headers.get("location") ?? assert.fail("no Location");
  let pulls = 0;
  const body = new ReadableStream({
    pull(controller) {
      pulls += 1;
      if (pulls === 1) controller.enqueue(Buffer.from(HELLO.slice(0, 5)));
      else controller.error(new Error("gone"));
    },
  });
  const partial = { "content-type": "application/partial-upload", "upload-complete": "?1" };
  const broken = await call(at, {
    method: "PATCH",
    headers: { ...partial, "upload-offset": "0" },
    body,
    duplex: "half",
  });
  assert.equal(((await broken.json()) as { code: string }).code, "upload-aborted");
  assert.equal((await call(at, { method: "HEAD" })).headers.get("upload-offset"), "5");
  const done = await call(at, { method: "PATCH", headers: { ...partial, "upload-offset": "5" }, body: HELLO.slice(5) });
  assert.equal(((await done.json()) as { digest: string }).digest, `sha256:${HEX}`);
});

test("a prefix of several segments, a public URL, and what a request says of its host", async () => {
  const fixity = createFixity({ store: memoryStore(), prefix: "/api/v1/files", publicUrl: "https://cdn.example/x/" });
  await using server = await listen(nodeHandler(fixity));
  const base = "https://cdn.example/x/api/v1/files";
  const told = { "x-forwarded-host": "evil.example", forwarded: "host=evil.example", "x-forwarded-proto": "ftp" };
  const begun = await fetch(`${server.url}/api/v1/files`, {
    method: "POST",
    headers: { ...told, "tus-resumable": "1.0.0", "upload-length": "5" },
  });
  const location = begun.headers.get("location") ?? assert.fail("no Location");
  assert.match(location, new RegExp(`^${base}/in-progress/[0-9a-f]{32}$`));
  const at = server.url + new URL(location).pathname.slice("/x".length);
  const octets = { "content-type": "application/offset+octet-stream", "tus-resumable": "1.0.0", "upload-offset": "0" };
  const done = await fetch(at, { method: "PATCH", headers: { ...told, ...octets }, body: "hello" });
  assert.equal(done.headers.get("content-location"), `${base}/${sha256("hello")}`);
});

test("a Fetch request that breaks off stores nothing", async () => {
  const fixity = service();
  const handler = fetchHandler(fixity);
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(Buffer.from("half"));
      controller.error(new Error("gone"));
    },
  });
  const answer = await handler(new Request("http://x.test/uploads", { method: "POST", body, duplex: "half" }));
  assert.equal(((await answer.json()) as { code: string }).code, "upload-aborted");
  assert.deepEqual(await Array.fromAsync(fixity.list()), []);
});

test("a Fetch download that is cancelled frees the blob", async () => {
  const store = memoryStore();
  const fixity = createFixity({ store });
  const { url } = await fixity.put(Buffer.alloc(1024 ** 2));
  const open = store.open.bind(store);
  let disposed = 0;
  store.open = async (...args) => {
    const reader = await open(...args);
    if (reader === null) return null;
    const dispose = reader[Symbol.asyncDispose].bind(reader);
    reader[Symbol.asyncDispose] = async () => {
      disposed++;
      await dispose();
    };
    return reader;
  };
  const answer = await fetchHandler(fixity)(new Request(`http://x.test${url}`));
  const stream = answer.body?.getReader();
  await stream?.read();
  await stream?.cancel();
  assert.equal(disposed, 1);
});
