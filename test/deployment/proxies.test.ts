/** The configurations of examples/deployment for web servers in front, with real ones, TLS and HTTP/2. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage, OutgoingHttpHeaders } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { request as httpsRequest } from "node:https";
import { type AddressInfo, connect, createServer } from "node:net";
import { buffer } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { FrontServer } from "../helpers/front-server.ts";
import { freePort } from "../helpers/free-port.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { until } from "../helpers/settled.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

const HOST = "files.example.com";
const MIB = 1024 ** 2;
/** The settings that the configurations name. */
const ENV = { UPLOAD_PUBLIC_URL: `https://${HOST}`, UPLOAD_TRUSTED_PROXIES: "127.0.0.1" };

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

/** A request of a browser that believes to be at `HOST`. The caller sends the content. */
function open(front: FrontServer, method: string, path: string, headers: OutgoingHttpHeaders = {}) {
  const request = httpsRequest(front.url + path, {
    method,
    headers: { Host: HOST, ...headers },
    rejectUnauthorized: false,
    agent: false,
  });
  // a refused upload may end before all of it is sent
  request.on("error", () => undefined);
  const answer = once(request, "response").then(async ([response]: IncomingMessage[]): Promise<Answer> => {
    assert.ok(response !== undefined);
    return { status: response.statusCode ?? 0, headers: response.headers, body: await buffer(response) };
  });
  return { request, answer };
}

interface Sent {
  readonly fields?: OutgoingHttpHeaders;
  readonly body?: Uint8Array;
}

async function send(front: FrontServer, method: string, path: string, { fields, body }: Sent = {}): Promise<Answer> {
  const { request, answer } = open(front, method, path, fields);
  request.end(body);
  return answer;
}

/** Stores a text. @returns the status */
async function put(front: FrontServer, text: string): Promise<number> {
  return (await send(front, "PUT", "/uploads/a.txt", { body: Buffer.from(text) })).status;
}

/** Counts the connections to a port. */
async function counting(target: number) {
  let count = 0;
  const server = createServer((socket) => {
    count++;
    const upstream = connect(target, "127.0.0.1");
    for (const [from, to] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      from.on("error", () => to.destroy()).on("close", () => to.destroy());
      from.pipe(to);
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    count: () => count,
    [Symbol.dispose]: () => void server.close(),
  };
}

for (const program of ["nginx", "caddy"] as const) {
  void describe(`${program} with the configuration of examples/deployment`, needing(program, "openssl"), () => {
    let folder: StoreFolder;
    let server: ServerProcess;
    let front: FrontServer;

    before(async () => {
      folder = await StoreFolder.make();
      const env = { ...ENV, UPLOAD_MAX_SIZE: "8MiB", UPLOAD_IDLE_TIMEOUT: "2s" };
      server = await ServerProcess.start({ dir: folder.path, env });
      front = await FrontServer.deployed(program, [server.port]);
    });

    after(async () => {
      await front[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    });

    void test("an upload reaches the service while its client still sends", async () => {
      const bytes = randomBytes(6 * MIB);
      const { request, answer } = open(front, "POST", "/uploads?filename=a.bin", { "Content-Length": bytes.length });
      request.write(bytes.subarray(0, 2 * MIB));
      await until(async () => (await folder.staged()).length === 1);
      request.end(bytes.subarray(2 * MIB));
      const { status, body } = await answer;
      assert.equal(status, 201);
      const { url } = JSON.parse(body.toString()) as { url: string };
      assert.equal(url, `https://${HOST}/uploads/${sha256(bytes)}.bin`);
      const read = await send(front, "GET", new URL(url).pathname);
      assert.ok(bytes.equals(read.body));
    });

    void test("an upload over HTTP/2, and its range and tag", async () => {
      const bytes = randomBytes(3 * MIB);
      const session = connectHttp2(front.url, { rejectUnauthorized: false });
      const upload = session.request({ ":method": "PUT", ":path": "/uploads/b.bin", ":authority": HOST });
      const headers = once(upload, "response") as Promise<[Record<string, string | number>]>;
      upload.end(bytes);
      assert.equal((await headers)[0][":status"], 201);
      await buffer(upload);
      session.close();
      const path = `/uploads/${sha256(bytes)}.bin`;
      const part = await send(front, "GET", path, { fields: { Range: "bytes=1000-1999", "Accept-Encoding": "gzip" } });
      assert.deepEqual([part.status, part.headers["content-range"]], [206, `bytes 1000-1999/${bytes.length}`]);
      assert.ok(part.body.equals(bytes.subarray(1000, 2000)));
      assert.equal(
        (await send(front, "GET", path, { fields: { "If-None-Match": String(part.headers.etag) } })).status,
        304,
      );
    });

    void test("the service refuses what is too large, also without a declared length", async () => {
      for (const fields of [{ "Content-Length": 9 * MIB }, { "Transfer-Encoding": "chunked" }]) {
        const answer = await send(front, "POST", "/uploads", { fields, body: Buffer.alloc(9 * MIB) });
        assert.equal(answer.status, 413);
        assert.equal((JSON.parse(answer.body.toString()) as { code: string }).code, "size-limit-exceeded");
      }
    });

    void test("the service ends an upload that stalls, and its client gets the answer", async () => {
      const { request, answer } = open(front, "POST", "/uploads", { "Content-Length": 5 * MIB });
      request.write(Buffer.alloc(MIB));
      const { status, body } = await answer;
      assert.equal(status, 408);
      assert.equal((JSON.parse(body.toString()) as { code: string }).code, "upload-stalled");
      request.destroy();
    });

    void test("the service sees the host of the browser: its own pages may upload, those of others not", async () => {
      const upload = (Host: string, Origin: string) =>
        send(front, "POST", "/uploads", { fields: { Host, Origin, "Content-Length": 5 }, body: Buffer.from("hello") });
      assert.ok([200, 201].includes((await upload(HOST, `https://${HOST}`)).status));
      assert.equal((await upload(HOST, "https://evil.example")).status, 403);
      assert.equal((await upload("evil.example", "https://evil.example")).status, 421);
    });

    void test("an upload whose connection breaks is resumed", async () => {
      const bytes = randomBytes(4 * MIB);
      const fields = { "Tus-Resumable": "1.0.0", "Upload-Length": bytes.length };
      const { headers } = await send(front, "POST", "/uploads", { fields });
      const { pathname } = new URL(String(headers.location), `https://${HOST}`);
      const append = { "Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream" };
      const { request, answer } = open(front, "PATCH", pathname, {
        ...append,
        "Upload-Offset": 0,
        "Content-Length": bytes.length,
      });
      answer.catch(() => null);
      request.write(bytes.subarray(0, 2 * MIB));
      await once(request, "drain");
      request.destroy();
      let offset = 0;
      await until(async () => {
        const state = await send(front, "HEAD", pathname, { fields: { "Tus-Resumable": "1.0.0" } });
        offset = Number(state.headers["upload-offset"]);
        return offset > 0;
      });
      const rest = { ...append, "Upload-Offset": offset, "Content-Length": bytes.length - offset };
      assert.equal((await send(front, "PATCH", pathname, { fields: rest, body: bytes.subarray(offset) })).status, 204);
      assert.ok(bytes.equals((await send(front, "GET", `/uploads/${sha256(bytes)}`)).body));
    });

    void test("connections to the service are used again", async () => {
      using counted = await counting(server.port);
      await using front = await FrontServer.deployed(program, [counted.port]);
      for (let round = 0; round < 10; round++) {
        assert.equal(await put(front, `${round}`), 201);
      }
      assert.equal(counted.count(), 1);
    });
  });

  void test(`${program}: an instance is stopped, and another one answers`, needing(program, "openssl"), async () => {
    await using folder = await StoreFolder.make();
    await using first = await ServerProcess.start({ dir: folder.path, env: ENV });
    await using second = await ServerProcess.start({ dir: folder.path, env: ENV });
    await using front = await FrontServer.deployed(program, [first.port, second.port]);
    const path = `/uploads/${sha256("before")}.txt`;
    assert.equal(await put(front, "before"), 201);
    assert.deepEqual(await first.stop(), { code: 0, signal: null });
    assert.equal((await send(front, "GET", path)).status, 200);
    // Caddy 2.6 cannot send the body of an upload again that it could not send, until its check has noticed
    if (program === "caddy") await until(async () => isNoticed(front.log, first.port));
    for (let round = 0; round < 6; round++) {
      assert.equal((await send(front, "GET", path)).status, 200);
      assert.equal(await put(front, `after ${round}`), 201);
    }
  });
}

/** Whether Caddy has logged that its check of an instance has failed. */
function isNoticed(log: string, port: number): boolean {
  return log.split("\n").some((line) => line.includes("health_checker.active") && line.includes(`127.0.0.1:${port}`));
}

void test("Caddy: a read waits while the only instance restarts", needing("caddy", "openssl"), async () => {
  await using folder = await StoreFolder.make();
  const env = { ...ENV, PORT: String(await freePort()) };
  const before = await ServerProcess.start({ dir: folder.path, env });
  await using front = await FrontServer.deployed("caddy", [before.port]);
  assert.equal(await put(front, "kept"), 201);
  await before.stop();
  const read = send(front, "GET", `/uploads/${sha256("kept")}.txt`);
  await using _after = await ServerProcess.start({ dir: folder.path, env });
  assert.deepEqual([(await read).status, (await read).body.toString()], [200, "kept"]);
});
