/** `/openapi.json` of the standalone server. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";
import { request } from "node:http";
import { test } from "node:test";
import { Validator } from "@seriousme/openapi-schema-validator";
import { pino } from "pino";
import { createFixity } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import type { OpenApiDocument } from "../../src/openapi.ts";
import { buildApp } from "../../src/server/app.ts";
import { readConfig } from "../../src/settings/config.ts";
import { compareAnswers } from "../helpers/described-answers.ts";

type Env = Readonly<Record<string, string>>;

/** A server in this process, which compares its answers with its own document. */
class Server implements AsyncDisposable {
  readonly url: string;
  readonly document: OpenApiDocument;
  readonly #close: () => Promise<void>;

  private constructor(url: string, document: OpenApiDocument, close: () => Promise<void>) {
    this.url = url;
    this.document = document;
    this.#close = close;
  }

  static async start(env: Env = {}): Promise<Server> {
    const config = readConfig({ env });
    const { prefix, publicUrl, maxSize } = config;
    const fixity = createFixity({
      store: memoryStore(),
      prefix,
      maxSize,
      ...(publicUrl !== undefined && { publicUrl }),
    });
    const log = pino({ level: "silent" });
    const stopping = new AbortController().signal;
    const app = await buildApp(fixity, config, { log, tokens: () => config.tokens, draining: stopping, stopping });
    await app.listen({ host: "127.0.0.1", port: 0 });
    const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
    const document = (await (await fetch(`${url}/openapi.json`)).json()) as OpenApiDocument;
    const assertDescribed = compareAnswers(app.server, url, () => document);
    return new Server(url, document, async () => {
      app.server.closeAllConnections();
      await app.close();
      assertDescribed();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }
}

test("the document of the server is valid, and has the server's own paths and all uploads", async () => {
  await using server = await Server.start({ UPLOAD_PREFIX: "/files", UPLOAD_PUBLIC_URL: "https://a.example" });
  const { valid, errors } = await new Validator().validate({ ...server.document });
  assert.ok(valid, JSON.stringify(errors ?? []));
  const paths = Object.keys(server.document.paths);
  for (const path of ["/", "/healthz", "/readyz", "/openapi.json", "/page/{name}", "/files", "/files/{file}"]) {
    assert.ok(paths.includes(path), path);
  }
  assert.deepEqual(server.document.servers, [{ url: "https://a.example" }]);
});

test("everything that the server itself answers is described", async () => {
  for (const env of [{}, { UPLOAD_TOKENS: "name=a-secret-0123456789" }, { UPLOAD_OPEN: "yes" }] as Env[]) {
    await using server = await Server.start(env);
    const accept = "text/html";
    const statuses = new Set<number>();
    for (const path of [
      "/",
      "/healthz",
      "/readyz",
      "/openapi.json",
      "/page/none.js",
      "/nowhere",
      "/uploads",
      "/uploads/a",
    ]) {
      for (const method of ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"]) {
        for (const headers of [{}, { accept }, { "if-none-match": "*" }, { "tus-resumable": "1.0.0" }] as Env[]) {
          const response = await fetch(server.url + path, { method, headers, redirect: "manual" });
          statuses.add(response.status);
          await response.arrayBuffer();
        }
      }
    }
    assert.ok(statuses.has(200) && statuses.has(304) && statuses.has(404) && statuses.has(405));
  }
});

test("the document is revalidated by its ETag, HEAD has its fields, and it is compressed on request", async () => {
  await using server = await Server.start();
  const address = `${server.url}/openapi.json`;
  const response = await fetch(address, { headers: { "accept-encoding": "identity" } });
  const text = await response.text();
  assert.equal(response.headers.get("content-type"), "application/json; charset=utf-8");
  assert.equal(response.headers.get("cache-control"), "no-cache");
  const etag = response.headers.get("etag") ?? "";
  assert.equal((await fetch(address, { headers: { "if-none-match": etag } })).status, 304);
  const head = await fetch(address, { method: "HEAD", headers: { "accept-encoding": "identity" } });
  assert.equal(head.headers.get("content-length"), String(Buffer.byteLength(text)));
  const sent = request(address, { headers: { "accept-encoding": "gzip" } }).end();
  const [zipped] = (await once(sent, "response")) as [AsyncIterable<Buffer> & { headers: Env }];
  assert.equal(zipped.headers["content-encoding"], "gzip");
  assert.equal(gunzipSync(Buffer.concat(await Array.fromAsync(zipped))).toString(), text);
  assert.equal((await fetch(address, { method: "POST", body: "" })).status, 405);
});

test("pages of every origin may read it, except in local mode", async () => {
  await using local = await Server.start();
  await using open = await Server.start({ UPLOAD_OPEN: "yes" });
  const allowed = async ({ url }: Server): Promise<string | null> =>
    (await fetch(`${url}/openapi.json`)).headers.get("access-control-allow-origin");
  assert.deepEqual([await allowed(local), await allowed(open)], [null, "*"]);
});

test("it names the ways to authenticate if there are any", async () => {
  await using guarded = await Server.start({ UPLOAD_TOKENS: "name=a-secret-0123456789" });
  await using open = await Server.start({ UPLOAD_OPEN: "yes" });
  assert.deepEqual(Object.keys(guarded.document.components["securitySchemes"] ?? {}), [
    "bearer",
    "basic",
    "signedLink",
  ]);
  assert.equal(open.document.components["securitySchemes"], undefined);
});

test("the uploads cannot have the path of the document", async () => {
  await assert.rejects(Server.start({ UPLOAD_PREFIX: "/openapi.json" }), { code: "invalid-option" });
});
