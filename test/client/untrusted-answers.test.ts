/** Responses that fixity does not send: endless ones, receipts of something else, bodies that a proxy has compressed. */
import assert from "node:assert/strict";
import type { RequestListener, ServerResponse } from "node:http";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { type ClientOptions, createClient } from "../../src/client/node.ts";
import { FrontServer } from "../helpers/front-server.ts";
import { listen } from "../helpers/listen.ts";
import { needing } from "../helpers/requirements.ts";
import { Service, sha256 } from "../helpers/service.ts";

const MIB = 1024 * 1024;
const WAYS: Readonly<Record<string, Partial<ClientOptions>>> = {
  "Node's HTTP client": {},
  "a custom fetch": { fetch: (...given) => fetch(...given) },
};

let service: Service;
before(async () => {
  service = await Service.start();
});
after(async () => service[Symbol.asyncDispose]());

/** Sends endlessly, as fast as the client reads, and counts the bytes. */
function pour(response: ServerResponse, counted: { bytes: number }): void {
  const chunk = Buffer.alloc(65_536, " ");
  const more = (): void => {
    while (!response.destroyed) {
      counted.bytes += chunk.length;
      if (!response.write(chunk)) return void response.once("drain", more);
    }
  };
  more();
}

for (const [way, options] of Object.entries(WAYS)) {
  test(`an endless response is aborted after 1 MiB, by ${way}`, { timeout: 60_000 }, async () => {
    for (const [method, status] of [
      ["POST", 201],
      ["POST", 500],
      ["PATCH", 200],
      ["GET", 404],
      ["GET", 500],
      ["GET", 307],
    ] as const) {
      const counted = { bytes: 0 };
      const listener: RequestListener = (request, response) => {
        request.resume();
        if (request.method === method) return pour(response.writeHead(status, { Location: "x:" }), counted);
        const fields = { "Upload-Complete": "?0", "Upload-Offset": "0", Location: "/uploads/in-progress/1" };
        response.writeHead(request.method === "POST" ? 201 : request.method === "DELETE" ? 204 : 404, fields).end();
      };
      await using server = await listen(listener);
      const client = createClient({ endpoint: `${server.url}/uploads`, retry: { attempts: 0 }, ...options });
      const work =
        method === "GET" ? client.download(sha256("a")) : client.upload(Buffer.alloc(method === "POST" ? 1 : 3 * MIB));
      await assert.rejects(work, { code: "unexpected-answer", status }, `${method}, ${status}`);
      if (method === "GET")
        await assert.rejects(client.stat(sha256("a")), { code: /^(?:unexpected-answer|not-found)$/ });
      // the system's buffers between the two ends add to it
      assert.ok(counted.bytes < 64 * MIB, `${method}, ${status}: ${counted.bytes}`);
    }
  });

  test(`a receipt must have an http(s) link to the bytes that were sent, by ${way}`, async () => {
    const bytes = Buffer.from("what is sent");
    const hex = sha256(bytes);
    const right = {
      url: `/uploads/${hex}.txt`,
      digest: `sha256:${hex}`,
      size: bytes.length,
      type: "text/plain",
      integrity: "",
    };
    let receipt: unknown = right;
    await using server = await listen((request, response) => {
      request.resume();
      response.writeHead(201).end(JSON.stringify(receipt));
    });
    const outcome = async (declare?: false): Promise<string> => {
      const client = createClient({ endpoint: `${server.url}/uploads`, retry: { attempts: 0 }, ...options });
      return client.upload(bytes, { declare }).then(
        ({ url }) => url,
        (error: unknown) => (error as { code: string }).code,
      );
    };
    assert.equal(await outcome(), `${server.url}/uploads/${hex}.txt`);
    for (const url of [
      "javascript:alert(1)",
      `javascript:alert(1)/${hex}`,
      `data:text/html,/${hex}`,
      `ftp://files.test/${hex}`,
      `file:///uploads/${hex}`,
      `https://user:password@files.test/uploads/${hex}`,
      `/uploads/${hex}?view`,
      `/uploads/${hex}#top`,
      `/uploads/${sha256("other")}.txt`,
      `/uploads/${hex}/more`,
      `/uploads/?${hex}`,
      "/uploads/",
      "",
      "http://",
    ]) {
      receipt = { ...right, url };
      assert.equal(await outcome(), "unexpected-answer", url);
      assert.equal(await outcome(false), "unexpected-answer", url);
    }
    // UPLOAD_PUBLIC_URL is often another host than the endpoint's
    receipt = { ...right, url: `https://files.test/uploads/${hex}` };
    assert.equal(await outcome(), `https://files.test/uploads/${hex}`);
    const other = sha256("other");
    receipt = { ...right, digest: `sha256:${other}`, url: `/uploads/${other}` };
    assert.equal(await outcome(), "digest-mismatch");
    for (const wrong of [{ digest: `sha512:${hex}` }, { digest: hex }, { size: -1 }, { size: 1.5 }, { url: 7 }]) {
      receipt = { ...right, ...wrong };
      assert.match(await outcome(false), /^(?:unexpected-answer|digest-mismatch)$/, JSON.stringify(wrong));
    }
    for (const nothing of [null, [], "text", 7, {}]) {
      receipt = nothing;
      assert.equal(await outcome(), "unexpected-answer");
    }
  });
}

const TEXT = "a line of text that compresses well\n".repeat(10_000);

test("behind an nginx that compresses text, files are read uncompressed", needing("nginx"), async () => {
  const config =
    "server { listen 80; gzip on; gzip_types *; gzip_proxied any; location / { proxy_pass http://127.0.0.1:3000; } }";
  await using front = await FrontServer.nginxWith(config, { "http://127.0.0.1:3000": service.url });
  const endpoint = `http://127.0.0.1:${front.port}/uploads`;
  for (const text of [TEXT, ""]) {
    const { digest } = await createClient({ endpoint: `${service.url}/uploads` }).upload(Buffer.from(text), {
      type: "text/plain",
    });
    const link = `${endpoint}/${digest.slice(7)}.txt`;
    const shown = await fetch(link);
    if (text !== "") assert.equal(shown.headers.get("content-encoding"), "gzip", "it does compress");
    await shown.text();
    // a browser's fetch sends its own Accept-Encoding, whatever the page sets
    const asBrowser: typeof fetch = (url, init) => {
      const headers = new Headers(init?.headers);
      headers.set("Accept-Encoding", headers.has("Range") ? "identity" : "gzip");
      return fetch(url, { ...init, headers });
    };
    for (const own of [undefined, asBrowser]) {
      const client = createClient({ endpoint, fetch: own, retry: { attempts: 0 } });
      assert.equal((await client.stat(link))?.size, text.length);
      const { stream, size } = await client.download(link);
      assert.equal(Buffer.concat(await Array.fromAsync(stream)).toString(), text);
      assert.equal(size, own === undefined || text === "" ? text.length : null);
    }
  }
});

test("the digest decides about a file of unknown length, and about one that is longer than announced", async () => {
  const hex = sha256(TEXT);
  const zipped = gzipSync(TEXT);
  const etag = { ETag: `"${hex}"` };
  const answers: Readonly<Record<string, RequestListener>> = {
    compressed: (_, response) =>
      void response
        .writeHead(200, { ...etag, "Content-Encoding": "gzip", "Content-Length": zipped.length })
        .end(zipped),
    "without length": (_, response) => {
      response.writeHead(200, etag).write(TEXT.slice(0, 1000));
      response.end(TEXT.slice(1000));
    },
  };
  for (const [name, listener] of Object.entries(answers)) {
    await using server = await listen(listener);
    const client = createClient({ endpoint: `${server.url}/uploads`, retry: { attempts: 0 } });
    const { stream, size } = await client.download(hex);
    assert.equal(size, null, name);
    assert.equal(Buffer.concat(await Array.fromAsync(stream)).toString(), TEXT, name);
    const wrong = await client.download(sha256("another file"));
    await assert.rejects(Array.fromAsync(wrong.stream), { code: "digest-mismatch" }, name);
  }
  await using endless = await listen(({ headers }, response) => {
    const [, from] = /^bytes=(\d+)-/.exec(headers.range ?? "") ?? [];
    const range = { "Content-Range": `bytes ${from}-10/11` };
    pour(response.writeHead(from === undefined ? 200 : 206, { ...etag, ...range }), { bytes: 0 });
  });
  const client = createClient({ endpoint: `${endless.url}/uploads`, retry: { attempts: 0 } });
  const have = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from("a");
  };
  const { stream, size } = await client.download(hex, { have: have() });
  assert.equal(size, 11);
  await assert.rejects(Array.fromAsync(stream), { code: "digest-mismatch" });
});
