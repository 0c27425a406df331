/** The client in Node, reading: what comes in is what the link names, or an error. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { RequestListener } from "node:http";
import { test } from "node:test";
import { type Client, createClient, FixityClientError } from "../../src/client/node.ts";
import { BreakingProxy } from "../helpers/breaking-proxy.ts";
import { listen } from "../helpers/listen.ts";
import { Service, sha256 } from "../helpers/service.ts";

const MIB = 1024 * 1024;
const RETRY = { minDelay: 1, maxDelay: 10, attempts: 5 };

function clientOf({ url }: { readonly url: string }): Client {
  return createClient({ endpoint: `${url}/uploads`, retry: { ...RETRY, stallTimeout: 300 } });
}

async function read(stream: ReadableStream<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(stream));
}

test("a file is found by URL, path, last segment or digest", async () => {
  await using service = await Service.start();
  const client = clientOf(service);
  const { url, digest, integrity } = await client.upload(Buffer.from("hello"), { filename: "a.txt" });
  const facts = { digest, size: 5, integrity };
  for (const link of [url, new URL(url), new URL(url).pathname, new URL(url).pathname.slice("/uploads/".length)]) {
    const type = "text/plain; charset=utf-8";
    assert.deepEqual(await client.stat(link), { url, type, ...facts });
    const { stream, ...told } = await client.download(link);
    assert.deepEqual(told, { url, type, ...facts, offset: 0 });
    assert.equal((await read(stream)).toString(), "hello");
  }
  const bare = await client.stat(digest);
  assert.deepEqual(bare, { url: url.replace(".txt", ""), type: "application/octet-stream", ...facts });
});

test("stat returns null for a missing file, and download fails", async () => {
  await using service = await Service.start();
  const client = clientOf(service);
  const absent = sha256("absent");
  assert.equal(await client.stat(absent), null);
  await assert.rejects(client.download(absent), { name: "FixityClientError", code: "blob-not-found", status: 404 });
});

test("stat takes another kind of server neither for an empty service nor for a full one", async () => {
  await using service = await Service.start();
  const absent = sha256("absent");
  const elsewhere = createClient({ endpoint: `${service.url}/elsewhere` });
  await assert.rejects(elsewhere.stat(absent), { code: "not-found", status: 404 });
  for (const [status, code] of [
    [200, "unexpected-answer"],
    [404, "not-found"],
    [302, "unexpected-answer"],
  ] as const) {
    await using site = await listen((_request, response) => {
      response.writeHead(status, { "Content-Type": "text/html", "Content-Length": 14 }).end("<h1>Hello</h1>");
    });
    await assert.rejects(clientOf(site).stat(absent), { code, status }, `${status}`);
  }
});

test("a redirected read is followed, and the token stays at its origin", async () => {
  const bytes = Buffer.from("moved");
  const seen: (string | undefined)[] = [];
  const fields = { ETag: `"${sha256(bytes)}"`, "Content-Length": bytes.length };
  await using target = await listen((request, response) => {
    seen.push(request.headers.authorization);
    response.writeHead(200, fields).end(bytes);
  });
  await using old = await listen((request, response) => {
    seen.push(request.headers.authorization);
    const location = request.url?.startsWith("/loop") === true ? request.url : `${target.url}${request.url}`;
    response.writeHead(308, { Location: location }).end();
  });
  const clientAt = (path: string): Client =>
    createClient({ endpoint: `${old.url}${path}`, headers: { Authorization: "Bearer secret" } });
  assert.equal((await clientAt("/uploads").stat(sha256(bytes)))?.size, bytes.length);
  assert.deepEqual(seen, ["Bearer secret", undefined]);
  await assert.rejects(clientAt("/loop").stat(sha256(bytes)), { code: "unexpected-answer", status: 308 });
  // content goes where its owner sends it, or nowhere
  seen.length = 0;
  await assert.rejects(clientAt("/uploads").upload(bytes), { code: "unexpected-answer", status: 308 });
  assert.deepEqual(seen, ["Bearer secret"]);
});

test("an invalid link is refused", async () => {
  const client = clientOf({ url: "http://127.0.0.1:1" });
  for (const link of [
    "",
    "a",
    sha256("a").toUpperCase(),
    `${sha256("a")}/b`,
    `ftp://a/${sha256("a")}`,
    `${sha256("a")}.%61`,
  ]) {
    await assert.rejects(client.stat(link), { code: "invalid-link" }, link);
    await assert.rejects(client.download(link), { code: "invalid-link" }, link);
  }
});

test("a download resumes where its connection broke", async () => {
  await using service = await Service.start();
  await using proxy = await BreakingProxy.start(service.port, { down: 700_000 });
  const bytes = randomBytes(4 * MIB);
  const { digest } = await clientOf(service).upload(bytes);
  const { stream } = await clientOf(proxy).download(digest);
  assert.ok((await read(stream)).equals(bytes));
  assert.ok(proxy.broken >= 4, `${proxy.broken}`);
});

test("a stalled download resumes over another connection", async () => {
  await using service = await Service.start();
  await using proxy = await BreakingProxy.start(service.port, { down: 100_000, holds: true, times: 1 });
  const bytes = randomBytes(4 * MIB);
  const { digest } = await clientOf(service).upload(bytes);
  const { stream } = await clientOf(proxy).download(digest);
  assert.ok((await read(stream)).equals(bytes));
});

test("bytes of an earlier download are verified, and not fetched again", async () => {
  await using service = await Service.start();
  const client = clientOf(service);
  const bytes = randomBytes(2 * MIB);
  const { digest } = await client.upload(bytes);
  const first = async function* (end: number): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, 1000);
    yield bytes.subarray(1000, end);
  };
  for (const at of [1_000_000, 2 * MIB]) {
    const { stream, offset, size } = await client.download(digest, { have: first(at) });
    assert.deepEqual([offset, size], [at, 2 * MIB]);
    assert.ok((await read(stream)).equals(bytes.subarray(at)));
  }
  const wrong = await client.download(digest, {
    have: (async function* () {
      yield randomBytes(1000);
    })(),
  });
  await assert.rejects(read(wrong.stream), { code: "digest-mismatch", retryable: true });
  await assert.rejects(
    client.download(digest, {
      have: (async function* () {
        yield Buffer.alloc(2 * MIB + 1);
      })(),
    }),
    { code: "digest-mismatch" },
  );
});

test("a download of wrong bytes fails at its end", async () => {
  const right = randomBytes(100_000);
  const wrong = Buffer.from(right);
  wrong[99_999] = (wrong[99_999] ?? 0) ^ 1;
  await using server = await listen((_request, response) => response.end(wrong));
  const { stream } = await clientOf(server).download(sha256(right));
  await assert.rejects(read(stream), (error: unknown) => {
    assert.ok(error instanceof FixityClientError);
    assert.equal(error.code, "digest-mismatch");
    return true;
  });
});

test("a download resumes from a server that ignores ranges", async () => {
  const bytes = randomBytes(300_000);
  let requests = 0;
  await using server = await listen((_request, response) => {
    requests += 1;
    response.writeHead(200, { "Content-Length": bytes.length });
    if (requests > 1) response.end(bytes);
    else response.write(bytes.subarray(0, 200_000), () => setTimeout(() => response.destroy(), 50));
  });
  const { stream } = await clientOf(server).download(sha256(bytes));
  assert.ok((await read(stream)).equals(bytes));
  assert.equal(requests, 2);
});

test("a token is sent to the service's origin only", async () => {
  const seen: (string | undefined)[] = [];
  const listener: RequestListener = (request, response) => {
    seen.push(request.headers.authorization);
    response
      .setHeader("ETag", `"${sha256("a")}"`)
      .setHeader("Content-Length", 1)
      .end("a");
  };
  await using home = await listen(listener);
  await using elsewhere = await listen(listener);
  const client = createClient({ endpoint: `${home.url}/uploads`, headers: { Authorization: "Bearer secret" } });
  for (const { url } of [home, elsewhere]) await client.stat(`${url}/uploads/${sha256("a")}`);
  for (const { url } of [home, elsewhere]) await read((await client.download(`${url}/uploads/${sha256("a")}`)).stream);
  assert.deepEqual(seen, ["Bearer secret", undefined, "Bearer secret", undefined]);
});

test("a download ends when it is aborted or its stream is cancelled", async () => {
  await using service = await Service.start();
  const client = clientOf(service);
  const { digest } = await client.upload(randomBytes(8 * MIB));
  const stop = new AbortController();
  const { stream } = await client.download(digest, { signal: stop.signal });
  const reader = stream.getReader();
  await reader.read();
  stop.abort();
  await assert.rejects(
    async () => {
      while (!(await reader.read()).done);
    },
    { code: "aborted" },
  );
  const other = await client.download(digest);
  await other.stream.cancel();
  await assert.rejects(client.download(digest, { signal: AbortSignal.abort() }), { code: "aborted" });
});
