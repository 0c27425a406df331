/** Where the client's own header fields go when a service refers to another address: to the endpoint's origin, nowhere else. */
import assert from "node:assert/strict";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { test } from "node:test";
import { type Client, type ClientOptions, createClient } from "../../src/client/node.ts";
import { listen } from "../helpers/listen.ts";
import { sha256 } from "../helpers/service.ts";

const BYTES = Buffer.from("the bytes of the file");
const HEX = sha256(BYTES);
const SECRETS = {
  Authorization: "Bearer secret",
  "X-Api-Key": "secret",
  "X-CSRF-Token": "secret",
  Cookie: "session=secret",
  Accept: "application/x-secret",
};
const HEAD = { ETag: `"${HEX}"`, "Content-Length": BYTES.length, "Content-Type": "text/plain" };

/** Each way in which the client sends requests. */
const WAYS: Readonly<Record<string, Partial<ClientOptions>>> = {
  "Node's HTTP client": {},
  "a custom fetch": { fetch: (...given) => fetch(...given) },
};

/** What a server was asked: the method, and whether anything in the request was the client's own. */
type Seen = readonly [method: string, hasSecret: boolean];

function seeing(seen: Seen[], listener: RequestListener): RequestListener {
  return (request, response) => {
    seen.push([request.method ?? "", request.rawHeaders.some((text) => text.includes("secret"))]);
    request.resume();
    listener(request, response);
  };
}

function clientAt(url: string, options: Partial<ClientOptions>): Client {
  return createClient({ endpoint: `${url}/uploads`, headers: SECRETS, retry: { attempts: 0 }, ...options });
}

/** Answers as a store does, with ranges. */
function serve({ method, headers }: IncomingMessage, response: ServerResponse): void {
  const [, from] = /^bytes=(\d+)-/.exec(headers.range ?? "") ?? [];
  if (from === undefined) return void response.writeHead(200, HEAD).end(method === "HEAD" ? undefined : BYTES);
  const rest = BYTES.subarray(Number(from));
  const range = `bytes ${from}-${BYTES.length - 1}/${BYTES.length}`;
  response.writeHead(206, { ...HEAD, "Content-Length": rest.length, "Content-Range": range }).end(rest);
}

function redirecting(to: () => string): RequestListener {
  return ({ url = "" }, response) => void response.writeHead(307, { Location: to() + url }).end();
}

for (const [way, options] of Object.entries(WAYS)) {
  test(`redirected reads are followed to another origin without the client's fields, by ${way}`, async () => {
    const there: Seen[] = [];
    const here: Seen[] = [];
    await using target = await listen(seeing(there, serve));
    await using service = await listen(
      seeing(
        here,
        redirecting(() => target.url),
      ),
    );
    const client = clientAt(service.url, options);
    assert.equal((await client.stat(HEX))?.size, BYTES.length);
    const { stream, size } = await client.download(HEX);
    assert.equal(size, BYTES.length);
    assert.deepEqual(Buffer.concat(await Array.fromAsync(stream)), BYTES);
    const rest = await client.download(HEX, { have: firstBytes() });
    assert.deepEqual(Buffer.concat(await Array.fromAsync(rest.stream)), BYTES.subarray(4));
    assert.deepEqual(here, [
      ["HEAD", true],
      ["GET", true],
      ["GET", true],
    ]);
    assert.deepEqual(there, [
      ["HEAD", false],
      ["GET", false],
      ["GET", false],
    ]);
  });

  test(`the fields are sent again when a redirect leads back, and for redirects within the origin, by ${way}`, async () => {
    const there: Seen[] = [];
    const here: Seen[] = [];
    await using target = await listen(
      seeing(there, (_, response) => {
        response.writeHead(302, { Location: `${service.url}/back/${HEX}` }).end();
      }),
    );
    await using service = await listen(
      seeing(here, (request, response) => {
        if (request.url?.startsWith("/back") === true) return serve(request, response);
        if (request.url?.startsWith("/moved") === true) return redirecting(() => target.url)(request, response);
        response.writeHead(301, { Location: `/moved/${HEX}` }).end();
      }),
    );
    const client = clientAt(service.url, options);
    assert.equal((await client.stat(HEX))?.size, BYTES.length);
    const { stream } = await client.download(HEX);
    assert.deepEqual(Buffer.concat(await Array.fromAsync(stream)), BYTES);
    assert.deepEqual(
      there.map(([, hasSecret]) => hasSecret),
      [false, false],
    );
    assert.deepEqual(
      here.map(([, hasSecret]) => hasSecret),
      [true, true, true, true, true, true],
    );
  });

  test(`a redirect of content is never followed, by ${way}`, async () => {
    const there: Seen[] = [];
    await using target = await listen(seeing(there, (_, response) => void response.writeHead(500).end()));
    await using service = await listen(redirecting(() => target.url));
    const client = clientAt(service.url, options);
    for (const size of [3, 3 * 1024 * 1024]) {
      await assert.rejects(client.upload(Buffer.alloc(size)), { code: "unexpected-answer", status: 307 });
    }
    assert.deepEqual(there, []);
  });

  test(`an upload whose Location is at another origin is sent there without the client's fields, by ${way}`, async () => {
    const there: Seen[] = [];
    await using target = await listen(
      seeing(there, (request, response) => {
        const fields = { "Upload-Complete": "?0", "Upload-Offset": "0" };
        if (request.method === "HEAD") response.writeHead(204, fields).end();
        else response.writeHead(request.method === "DELETE" ? 204 : 400, { "Upload-Complete": "?1" }).end();
      }),
    );
    await using service = await listen((request, response) => {
      request.resume();
      response.writeHead(201, { Location: `${target.url}/uploads/in-progress/1`, "Upload-Complete": "?0" }).end();
    });
    await assert.rejects(clientAt(service.url, options).upload(Buffer.alloc(3 * 1024 * 1024)), { status: 400 });
    assert.ok(there.some(([method]) => method === "PATCH"));
    assert.ok(there.some(([method]) => method === "DELETE"));
    assert.ok(there.every(([, hasSecret]) => !hasSecret));
  });

  test(`a redirect in a circle, or to a URL that is not http, is an error, by ${way}`, async () => {
    const seen: Seen[] = [];
    await using circle = await listen(
      seeing(seen, ({ url }, response) => {
        response.writeHead(308, { Location: url }).end();
      }),
    );
    await assert.rejects(clientAt(circle.url, options).stat(HEX), { code: "unexpected-answer", status: 308 });
    assert.equal(seen.length, 6);
    await assert.rejects(clientAt(circle.url, options).download(HEX), { code: "unexpected-answer", status: 308 });
    assert.equal(seen.length, 12);
    await using odd = await listen(
      (_, response) => void response.writeHead(307, { Location: "file:///etc/hosts" }).end(),
    );
    await assert.rejects(clientAt(odd.url, options).stat(HEX), { code: "unexpected-answer", status: 307 });
    await assert.rejects(clientAt(odd.url, options).download(HEX), { code: "unexpected-answer", status: 307 });
    await using creation = await listen((request, response) => {
      request.resume();
      response.writeHead(201, { Location: "file:///tmp/upload", "Upload-Complete": "?0" }).end();
    });
    await assert.rejects(clientAt(creation.url, options).upload(Buffer.alloc(3 * 1024 * 1024)), {
      code: "unexpected-answer",
    });
  });
}

async function* firstBytes(): AsyncGenerator<Uint8Array> {
  yield BYTES.subarray(0, 4);
}
