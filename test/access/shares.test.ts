import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, connect, type Socket } from "node:net";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pino } from "pino";
import { diskStore } from "../../src/disk.ts";
import { fetchHandler } from "../../src/fetch.ts";
import { createFixity } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import { limitConnections } from "../../src/server/connections.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { Service, type ServiceOptions } from "../helpers/service.ts";
import { until } from "../helpers/settled.ts";

let folder = "";
before(async () => void (folder = await mkdtemp(join(tmpdir(), "fixity-test-"))));
after(() => rm(folder, { recursive: true, force: true }));

const MINUTE = 60_000;

/** Requests of clients behind a proxy on this machine. */
class Clients {
  readonly #url: string;

  constructor({ url }: { readonly url: string }) {
    this.#url = url;
  }

  /** Begins an upload with some bytes; its address, or the error that it was refused with. */
  async begin(client: string | null, bytes = "x"): Promise<string> {
    const headers = { "upload-complete": "?0", ...(client !== null && { "x-forwarded-for": client }) };
    const answer = await fetch(`${this.#url}/uploads`, { method: "POST", headers, body: bytes });
    if (answer.status === 201) return this.#url + answer.headers.get("location");
    const { code, detail } = (await answer.json()) as { code: string; detail: string };
    return `${answer.status} ${code}: ${detail}`;
  }

  async beginMany(client: string | null, count: number, bytes?: string): Promise<string[]> {
    const begun: string[] = [];
    for (let upload = 0; upload < count; upload += 1) begun.push(await this.begin(client, bytes));
    assert.ok(
      begun.every((url) => url.startsWith("http")),
      begun.at(-1) ?? "",
    );
    return begun;
  }
}

const PROXIED: ServiceOptions = { trustedProxies: ["127.0.0.1"] };

const FROM_NETWORK = /^503 too-many-uploads: .*from your network/;
const TOO_MANY = /^503 too-many-uploads: There are too many unfinished uploads/;

async function statusOf(url: string): Promise<number> {
  return (await fetch(url, { method: "HEAD" })).status;
}

test("one client cannot take all open uploads: with a quarter left, it is limited to its share", async () => {
  await using service = await Service.start({ ...PROXIED, uploads: { maxOpen: 100 } });
  const clients = new Clients(service);
  const [first = ""] = await clients.beginMany("192.0.2.1", 75);
  assert.match(await clients.begin("192.0.2.1"), FROM_NETWORK);
  await clients.beginMany("2001:db8:1:2::1", 10);
  await clients.beginMany("2001:db8:1:2::2", 6);
  assert.match(await clients.begin("2001:db8:1:2:3::"), FROM_NETWORK, "another address of the same /64");
  await clients.beginMany("2001:db8:1:3::1", 8);
  assert.match(await clients.begin("192.0.2.1"), FROM_NETWORK);
  await clients.beginMany(null, 1);
  assert.match(await clients.begin(null), TOO_MANY);
  assert.match(await clients.begin("192.0.2.3"), TOO_MANY);
  await fetch(first, { method: "DELETE" });
  assert.match(await clients.begin("192.0.2.1"), FROM_NETWORK);
  await clients.beginMany("192.0.2.3", 1);
});

test("without a trusted proxy, what a request says of its client is not believed, and loopback has no share", async () => {
  await using service = await Service.start({ uploads: { maxOpen: 40 } });
  const clients = new Clients(service);
  await clients.beginMany("192.0.2.1", 40);
  assert.match(await clients.begin("192.0.2.2"), TOO_MANY);
});

test("a Fetch host has shares if it passes the peer's address", async () => {
  const begin = async (handler: ReturnType<typeof fetchHandler>, address?: string) => {
    const init = { method: "POST", headers: { "upload-complete": "?0" }, body: "x" };
    return (await handler(new Request("http://localhost/uploads", init), { address })).status;
  };
  const uploads = { maxOpen: 20 };
  const peerAddress = (_request: Request, info: unknown) => (info as { address?: string }).address;
  await using fixity = createFixity({ store: memoryStore(), uploads });
  const telling = fetchHandler(fixity, { peerAddress });
  for (let count = 0; count < 15; count += 1) assert.equal(await begin(telling, "192.0.2.1"), 201);
  assert.equal(await begin(telling, "192.0.2.1"), 503);
  assert.equal(await begin(telling, "192.0.2.2"), 201);
  assert.equal(await begin(telling), 201);
  const silent = fetchHandler(fixity);
  for (let count = 0; count < 3; count += 1) assert.equal(await begin(silent, "192.0.2.1"), 201);
  assert.equal(await begin(silent, "192.0.2.1"), 503, "there is no room at all");
});

for (const kind of ["memory", "disk"] as const) {
  test(`where no room is left, small uploads that were left for ten minutes make room (${kind})`, async (t) => {
    t.mock.timers.enable({ apis: ["Date"], now: Date.now() });
    const store = kind === "memory" ? memoryStore() : diskStore({ root: join(folder, "evict") });
    await using service = await Service.start({ ...PROXIED, store, uploads: { maxOpen: 4 } });
    const clients = new Clients(service);
    const large = await clients.begin("192.0.2.1", "x".repeat(1024 * 1024));
    const small = await clients.begin("192.0.2.1", "x".repeat(1024 * 1024 - 1));
    const running = await clients.begin("192.0.2.2");
    await using appending = await RawClient.open(service.port);
    const head = `PATCH ${new URL(running).pathname} HTTP/1.1\r\nHost: x\r\nUpload-Offset: 1\r\nUpload-Complete: ?0\r\n`;
    await appending.send(`${head}Content-Type: application/partial-upload\r\nContent-Length: 10\r\n\r\n12345`);
    t.mock.timers.setTime(Date.now() + 9 * MINUTE);
    const fresh = await clients.begin("192.0.2.3");
    assert.match(await clients.begin("192.0.2.4"), TOO_MANY, "none was left for ten minutes");
    t.mock.timers.setTime(Date.now() + 2 * MINUTE);
    const admitted = await clients.begin("192.0.2.4");
    assert.equal(await statusOf(small), 404, "it made room");
    for (const kept of [large, fresh, admitted]) assert.equal(await statusOf(kept), 204);
    assert.match(await clients.begin("192.0.2.5"), TOO_MANY);
    await appending.send("67890");
    assert.equal((await appending.answer()).status, 204, "what is appended to is not evicted");
    assert.equal(await statusOf(running), 204);
  });
}

test("an upload that another instance has continued is not evicted", async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() });
  const store = memoryStore();
  await using service = await Service.start({ store, uploads: { maxOpen: 1 } });
  await using other = await Service.start({ store });
  const clients = new Clients(service);
  const upload = await clients.begin(null);
  t.mock.timers.setTime(Date.now() + 11 * MINUTE);
  const { pathname } = new URL(upload);
  const headers = { "upload-offset": "1", "upload-complete": "?0", "content-type": "application/partial-upload" };
  assert.equal((await fetch(other.url + pathname, { method: "PATCH", headers, body: "y" })).status, 204);
  assert.match(await clients.begin(null), TOO_MANY);
  assert.equal(await statusOf(upload), 204);
});

/** Sends an upload without its end; the status of an early answer, or `null` where the rest is awaited. */
async function hang(port: number, client: string, clients: RawClient[]): Promise<void> {
  const raw = await RawClient.open(port);
  clients.push(raw);
  await raw.send(`POST /uploads HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: ${client}\r\nContent-Length: 10\r\n\r\n12345`);
}

test("one client cannot take all running requests: with a quarter left, it is limited to its share", async () => {
  let running = 0;
  const authorize = () => void (running += 1);
  await using service = await Service.start({ ...PROXIED, maxRequests: 40, authorize });
  const hanging: RawClient[] = [];
  const post = async (client: string) => {
    const headers = { "x-forwarded-for": client };
    const answer = await fetch(`${service.url}/uploads`, { method: "POST", body: "content", headers });
    return { status: answer.status, retry: answer.headers.get("retry-after"), body: await answer.json() };
  };
  try {
    for (let count = 0; count < 30; count += 1) await hang(service.port, "192.0.2.1", hanging);
    await until(async () => running === 30);
    const refused = await post("192.0.2.1");
    assert.deepEqual([refused.status, refused.retry], [429, "5"]);
    assert.match(JSON.stringify(refused.body), /"code":"too-many-requests".*16 requests from your network are running/);
    assert.equal((await post("192.0.2.2")).status, 201);
    for (const raw of hanging.slice(0, 15)) {
      await raw.send("67890");
      assert.ok([200, 201].includes((await raw.answer()).status));
    }
    assert.equal((await post("192.0.2.1")).status, 200, "plenty is left");
  } finally {
    for (const raw of hanging) await raw[Symbol.asyncDispose]();
  }
  // requests that were cut off are not counted any more
  await until(async () => {
    const answers = await Promise.all(Array.from({ length: 40 }, () => post("192.0.2.1")));
    return answers.every(({ status }) => status === 200);
  });
});

/** A server whose connections are limited, with clients whose addresses the test makes up. */
async function limitedServer(most: number, trustedProxies: readonly string[], peers: () => string | undefined) {
  const lines: string[] = [];
  const log = pino({ base: null }, { write: (line: string) => void lines.push(line) });
  const server = limitConnections(createServer(), { maxConnections: most, trustedProxies, log, peerOf: peers });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const open: Socket[] = [];
  const isOpen = async () => {
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    open.push(socket);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const accepted = (at: Socket): void => resolve(!at.destroyed);
    const dropped = (): void => resolve(false);
    server.on("connection", accepted).on("drop", dropped);
    const result = await promise;
    server.off("connection", accepted).off("drop", dropped);
    return result;
  };
  const close = async () => {
    for (const socket of open) socket.destroy();
    server.close();
    await once(server, "close");
  };
  return { isOpen, lines, open, close };
}

test("one client cannot take all connections, and all together cannot take more than the limit", async () => {
  let peer: string | undefined = "192.0.2.1";
  const { isOpen, lines, open, close } = await limitedServer(40, ["10.0.0.0/8"], () => peer);
  for (let count = 0; count < 30; count += 1) assert.ok(await isOpen());
  assert.ok(!(await isOpen()), "the share of one client");
  peer = "192.0.2.2";
  assert.ok(await isOpen(), "another client");
  for (peer of ["10.0.0.1", "127.0.0.1", "::1", undefined]) assert.ok(await isOpen() && await isOpen(), peer ?? "none"); // prettier-ignore
  peer = "192.0.2.3";
  assert.ok(await isOpen());
  assert.ok(!(await isOpen()), "the limit of all");
  assert.equal(lines.length, 1, "refused connections do not fill the log");
  assert.match(lines[0] ?? "", /"refused":1,"open":30,"limit":40/);
  for (const socket of open.splice(0, 30)) socket.destroy();
  await until(isOpen);
  await close();
});

test(
  "the number of connections follows from the limit of descriptors, and none is left over",
  needing("/proc"),
  async () => {
    const most = Math.floor((400 - 64) / 3);
    const under = ["prlimit", "--nofile=400:400", "--"];
    await using server = await ServerProcess.start({ dir: join(folder, "descriptors"), under });
    const clients: RawClient[] = [];
    const before = await server.openFiles();
    const form = "POST /uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n";
    for (let count = 0; count < 2 * most; count += 1) {
      const client = await RawClient.open(server.port);
      clients.push(client);
      await client.send(`${form}${"x".repeat(1000)}`);
    }
    // those beyond the limit were closed at once
    await until(async () => clients.filter(({ socket }) => socket.readableEnded || socket.destroyed).length === most);
    assert.ok((await server.openFiles()) < 400 - 20, `${await server.openFiles()} descriptors`);
    for (const client of clients) await client[Symbol.asyncDispose]();
    await until(async () => (await server.openFiles()) <= before + 1);
    assert.equal((await fetch(`${server.url}/healthz`)).status, 200);
    assert.match(server.output, /connections were refused/);
  },
);

test("a range of proxies that cannot be read ends the start with a message", async () => {
  const start = ServerProcess.start({ dir: join(folder, "ranges"), env: { UPLOAD_TRUSTED_PROXIES: "10.0.0.0/99" } });
  await assert.rejects(
    start,
    /UPLOAD_TRUSTED_PROXIES must be addresses or ranges such as 10.0.0.0\/8, .* not "10.0.0.0\/99"/,
  );
});
