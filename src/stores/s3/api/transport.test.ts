import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { test } from "node:test";
import { content } from "../../contract/tools.ts";
import { parseEndpoint } from "./client-options.ts";
import { Transport, type WireRequest } from "./transport.ts";

const MIB = 1024 * 1024;

const TIMEOUTS = { connect: 5_000, answer: 10_000, idle: 10_000, completion: 10_000, look: 10_000, retries: 10_000 };

const REQUEST: WireRequest = {
  method: "GET",
  path: "/bucket/a",
  headers: {},
  body: null,
  length: 0,
  isLongRunning: false,
  signal: undefined,
};

/** An HTTP server, and a transport to it. */
class Wire implements AsyncDisposable {
  readonly transport: Transport;
  readonly sockets = new Set<Socket>();
  readonly log: string[] = [];
  readonly #server: Server;

  private constructor(server: Server, connections: number, timeouts: typeof TIMEOUTS) {
    this.#server = server;
    server.on("connection", (socket) => this.sockets.add(socket));
    const { port } = server.address() as AddressInfo;
    const endpoint = parseEndpoint({ bucket: "bucket", endpoint: `http://127.0.0.1:${port}` });
    this.transport = new Transport({ endpoint, connections, timeouts, log: (message) => void this.log.push(message) });
  }

  static async start(listener: RequestListener, connections = 4, timeouts = TIMEOUTS): Promise<Wire> {
    const server = createServer(listener);
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    return new Wire(server, connections, timeouts);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.transport.destroy();
    this.#server.closeAllConnections();
    await once(this.#server.close(), "close");
  }
}

async function contentOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

test("a response is read as a whole: its status, its fields and its text", async () => {
  await using wire = await Wire.start((request, response) => {
    if (request.url === "/none") {
      response.writeHead(204, { "X-A": "b" }).end();
      return;
    }
    response.writeHead(200, { "X-A": ["b", "c"] });
    // a byte order mark, and a character in two chunks
    response.write(Buffer.from([0xef, 0xbb, 0xbf, 0x61, 0xc3]));
    setTimeout(() => response.end(Buffer.from([0xa9])), 20);
  });
  const response = await wire.transport.send(REQUEST).response;
  assert.deepEqual(
    { status: response.status, text: response.text, a: response.header("x-a") },
    {
      status: 200,
      text: "aé",
      a: "b",
    },
  );
  const none = await wire.transport.send({ ...REQUEST, path: "/none" }).response;
  assert.deepEqual([none.status, none.text, none.header("x-a")], [204, "", "b"]);
});

test("a body is sent unchanged and with its length, whatever its chunks", async () => {
  const tell = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const sent = await contentOf(request);
    const { "content-length": length, "transfer-encoding": encoding = null } = request.headers;
    response.end(JSON.stringify({ length, encoding, same: sent.equals(whole) }));
  };
  await using wire = await Wire.start((request, response) => void tell(request, response));
  let whole = Buffer.alloc(0);
  for (const sizes of [[1], [4096], [256 * 1024], [256 * 1024 + 1], [10, 20], [0, 5], [MIB, 3, 2 * MIB]]) {
    const body = sizes.map((size, n) => content(size, n));
    whole = Buffer.concat(body);
    const request = { ...REQUEST, method: "PUT", body, length: whole.length };
    const { text } = await wire.transport.send(request).response;
    assert.deepEqual(JSON.parse(text), { length: String(whole.length), encoding: null, same: true }, String(sizes));
  }
});

test("one connection is reused, also after a HEAD", async () => {
  await using wire = await Wire.start((request, response) => {
    response.setHeader("Content-Length", "5");
    response.end(request.method === "HEAD" ? "" : "bytes");
  }, 1);
  for (const method of ["HEAD", "GET", "HEAD", "HEAD", "PUT"]) {
    const { status, text } = await wire.transport.send({ ...REQUEST, method }).response;
    assert.deepEqual([status, text], [200, method === "HEAD" ? "" : "bytes"]);
  }
  assert.equal(wire.sockets.size, 1);
});

test("a truncated response fails, and its status is known", async () => {
  await using wire = await Wire.start((_request, response) => {
    response.writeHead(200, { "Content-Length": "100" });
    response.write("half");
    setTimeout(() => response.destroy(), 20);
  });
  const reader = wire.transport.send(REQUEST);
  assert.equal(reader.status, null);
  await assert.rejects(reader.response);
  assert.equal(reader.status, 200);
});

test("an endless response is cut off", async () => {
  await using wire = await Wire.start((_request, response) => {
    const more = (): void => void response.write(Buffer.alloc(MIB), (error) => (error ? null : more()));
    more();
  });
  await assert.rejects(wire.transport.send(REQUEST).response, /longer than 8388608 bytes/);
});

/** Sends a byte every few milliseconds, and never the last one. */
function trickle(response: ServerResponse): void {
  response.writeHead(200, { "Content-Length": "1000000" });
  const timer = setInterval(() => response.write("x"), 5);
  response.on("close", () => clearInterval(timer));
}

for (const isLongRunning of [false, true]) {
  test(`a response that trickles in has a deadline as a whole${isLongRunning ? ", also if long-running" : ""}`, async () => {
    const closed = Promise.withResolvers<void>();
    const timeouts = { ...TIMEOUTS, [isLongRunning ? "completion" : "answer"]: 300 };
    await using wire = await Wire.start(
      (_request, response) => {
        response.on("close", () => closed.resolve());
        trickle(response);
      },
      4,
      timeouts,
    );
    const reader = wire.transport.send({ ...REQUEST, isLongRunning });
    await assert.rejects(reader.response, /not complete within 300 ms/);
    assert.equal(reader.status, 200);
    await closed.promise;
  });
}

test("a series of informational responses does not extend the deadline", async () => {
  await using wire = await Wire.start(
    (_request, response) => {
      const timer = setInterval(() => response.writeProcessing(), 5);
      response.on("close", () => clearInterval(timer));
    },
    4,
    { ...TIMEOUTS, answer: 300 },
  );
  await assert.rejects(wire.transport.send(REQUEST).response);
});

test("a header section that trickles in has a deadline", async () => {
  await using wire = await Wire.start(
    (_request, response) => {
      const { socket } = response;
      socket?.write("HTTP/1.1 200 OK\r\nX-A: ");
      const timer = setInterval(() => socket?.write("x"), 5);
      socket?.on("error", () => null).on("close", () => clearInterval(timer));
    },
    4,
    { ...TIMEOUTS, answer: 300 },
  );
  await assert.rejects(wire.transport.send(REQUEST).response);
});

test("an aborted signal ends a request at once, in any state", async () => {
  const begun = Promise.withResolvers<void>();
  await using wire = await Wire.start((request, response) => {
    if (request.url === "/bucket/begun") response.writeHead(200).flushHeaders();
    if (request.url === "/bucket/quick") response.end();
    else begun.resolve();
  }, 1);
  const reasons = ["begun", "waiting", "before"].map((name) => new Error(name));
  const [first, second, third] = reasons.map((reason) => ({ reason, abort: new AbortController() }));
  assert(first !== undefined && second !== undefined && third !== undefined);
  third.abort.abort(third.reason);
  const one = wire.transport.send({ ...REQUEST, path: "/bucket/begun", signal: first.abort.signal }).response;
  const two = wire.transport.send({ ...REQUEST, signal: second.abort.signal }).response;
  const three = wire.transport.send({ ...REQUEST, signal: third.abort.signal }).response;
  const four = wire.transport.send({ ...REQUEST, path: "/bucket/quick" }).response;
  await assert.rejects(three, third.reason);
  await begun.promise;
  second.abort.abort(second.reason);
  await assert.rejects(two, second.reason);
  first.abort.abort(first.reason);
  await assert.rejects(one, first.reason);
  // none of them keeps the connection
  assert.equal((await four).status, 200);
});
