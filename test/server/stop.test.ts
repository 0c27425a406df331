import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { CHILD_ENV } from "../helpers/child-env.ts";
import { someOf } from "../helpers/full-run.ts";
import { Random } from "../helpers/random.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { fileHead, sha256 } from "../helpers/service.ts";
import { until } from "../helpers/settled.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { ask, begin, field, finalAnswer, json } from "../resumable/client.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

let folder = "";
before(async () => void (folder = await mkdtemp(join(tmpdir(), "fixity-test-"))));
after(() => rm(folder, { recursive: true, force: true }));

function start(env: Record<string, string> = {}): Promise<ServerProcess> {
  return ServerProcess.start({ dir: join(folder, "data"), env });
}

/** An upload of which the server has received half. */
async function halfAnUpload(server: ServerProcess): Promise<RawClient> {
  const client = await RawClient.open(server.port);
  await client.send("POST /uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n");
  assert.equal((await client.answer()).status, 100);
  await client.send("01234");
  return client;
}

function refusesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => resolve(true));
    socket.on("connect", () => resolve((socket.destroy(), false)));
  });
}

test("SIGTERM lets a running upload finish, refuses new connections, and exits with 0", async () => {
  await using server = await start();
  await using client = await halfAnUpload(server);
  const stopped = server.stop("SIGTERM");
  await until(() => refusesConnections(server.port));
  await client.send("56789");
  const { status, body } = await client.answer();
  assert.equal(status, 201);
  assert.equal((JSON.parse(String(body)) as { digest: string }).digest, `sha256:${sha256("0123456789")}`);
  assert.deepEqual(await stopped, { code: 0, signal: null });
});

test("SIGTERM with a drain delay: readyz refuses at once, and requests are served until it is over", async () => {
  await using server = await start({ UPLOAD_DRAIN_DELAY: "2s" });
  assert.equal((await fetch(`${server.url}/readyz`)).status, 200);
  const startedAt = performance.now();
  const stopped = server.stop("SIGTERM");
  await until(async () => (await fetch(`${server.url}/readyz`)).status === 503);
  const refusal = await fetch(`${server.url}/readyz`);
  assert.equal(((await refusal.json()) as { code: string }).code, "shutting-down");
  assert.equal((await fetch(`${server.url}/healthz`)).status, 200);
  const stored = await fetch(`${server.url}/uploads`, { method: "POST", body: "while draining" });
  assert.equal(stored.status, 201);
  assert.deepEqual(await stopped, { code: 0, signal: null });
  assert.ok(performance.now() - startedAt >= 2000, "not earlier than the delay");
  assert.match(server.output, /draining: requests are accepted for another 2 s[^]*stopping/);
});

test("Ctrl-C does not wait for the drain delay, and a second SIGTERM ends it", async () => {
  await using interrupted = await start({ UPLOAD_DRAIN_DELAY: "1h" });
  assert.deepEqual(await interrupted.stop("SIGINT"), { code: 0, signal: null });
  await using server = await start({ UPLOAD_DRAIN_DELAY: "1h" });
  process.kill(server.pid, "SIGTERM");
  await until(async () => (await fetch(`${server.url}/readyz`)).status === 503);
  assert.deepEqual(await server.stop("SIGTERM"), { code: 143, signal: null });
});

test("a server that finishes its uploads is alive, and not ready", async () => {
  await using server = await start();
  await using client = await halfAnUpload(server);
  await using probes = await RawClient.open(server.port);
  await probes.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n");
  const stopped = server.stop("SIGTERM");
  await until(() => refusesConnections(server.port));
  await probes.send("\r\n");
  assert.equal((await probes.answer()).status, 200);
  await client.send("56789");
  assert.ok([200, 201].includes((await client.answer()).status));
  assert.deepEqual(await stopped, { code: 0, signal: null });
});

/** The content of the resumable uploads in these tests. */
const WHOLE = new Random(5).bytes(8_000_000);
/** The number of its bytes that are sent before the server stops. */
const SENT = WHOLE.length - 1;

const TUS = { "Tus-Resumable": "1.0.0" };
const OCTETS = { "Content-Type": "application/offset+octet-stream" };

/** A request that appends to an upload. */
interface AppendRequest {
  readonly name: string;
  readonly isTus: boolean;
  /** The fields of a request that creates the upload first; without them, the append creates it. */
  readonly created?: Readonly<Record<string, string>>;
  readonly method: "POST" | "PUT" | "PATCH";
  readonly target?: string;
  readonly fields: Readonly<Record<string, string>>;
}

const LENGTH = { "Upload-Length": String(WHOLE.length) };

const APPENDS: readonly AppendRequest[] = [
  { name: "IETF POST", isTus: false, method: "POST", fields: { "Upload-Complete": "?1" } },
  {
    name: "IETF PUT to a link",
    isTus: false,
    method: "PUT",
    target: `/uploads/${sha256(WHOLE)}.bin`,
    fields: { "Upload-Complete": "?1" },
  },
  {
    name: "IETF PATCH",
    isTus: false,
    created: { "Upload-Complete": "?0" },
    method: "PATCH",
    fields: { "Content-Type": "application/partial-upload", "Upload-Offset": "0", "Upload-Complete": "?1" },
  },
  { name: "tus creation with upload", isTus: true, method: "POST", fields: { ...TUS, ...OCTETS, ...LENGTH } },
  {
    name: "tus PATCH",
    isTus: true,
    created: { ...TUS, ...LENGTH },
    method: "PATCH",
    fields: { ...TUS, ...OCTETS, "Upload-Offset": "0" },
  },
];

/** Begins an append and sends all of it except the last byte. */
async function allButOneByte(server: ServerProcess, request: AppendRequest) {
  const { created, method, target = "/uploads", fields } = request;
  const at =
    created === undefined ? null : field(await ask(server.port, "POST", "/uploads", { fields: created }), "location");
  const client = await RawClient.open(server.port);
  await begin(client, method, at ?? target, { fields, length: WHOLE.length });
  await client.send(WHOLE.subarray(0, SENT));
  return { client, at };
}

/** Asserts that a new server on the same folder has all bytes that were sent, and completes the upload. */
async function assertResumable(dir: string, at: string): Promise<void> {
  await using again = await ServerProcess.start({ dir });
  const found = await ask(again.port, "HEAD", at, { fields: TUS });
  assert.equal(field(found, "upload-offset"), String(SENT));
  const fields = {
    "Content-Type": "application/partial-upload",
    "Upload-Offset": String(SENT),
    "Upload-Complete": "?1",
  };
  const { status, body } = await ask(again.port, "PATCH", at, { fields, body: WHOLE.subarray(SENT) });
  assert.equal(status, 201, String(body));
  assert.equal((JSON.parse(String(body)) as { digest: string }).digest, `sha256:${sha256(WHOLE)}`);
}

describe("an append that runs when the server is stopped", () => {
  for (const request of someOf(APPENDS, 3)) {
    const signals = request.method === "PATCH" ? (["SIGTERM", "SIGINT"] as const) : (["SIGTERM"] as const);
    for (const signal of someOf(signals, 1)) {
      test(`keeps every byte and is answered at once: ${request.name}, ${signal}`, async () => {
        await using place = await StoreFolder.make();
        await using server = await ServerProcess.start({ dir: place.path });
        const { client, at } = await allButOneByte(server, request);
        const stopped = server.stop(signal);
        const answer = await finalAnswer(client);
        assert.equal(answer.status, 503, String(answer.body));
        assert.equal(json(answer)["code"], "shutting-down");
        assert.equal(field(answer, "upload-offset"), String(SENT));
        assert.equal(field(answer, "connection"), "close");
        assert.ok(Number(field(answer, "retry-after")) > 0);
        if (request.isTus) assert.equal(field(answer, "tus-resumable"), "1.0.0");
        else assert.equal(field(answer, "upload-complete"), "?0");
        const location = at ?? field(answer, "location");
        client.socket.end();
        assert.deepEqual(await stopped, { code: 0, signal: null });
        assert.doesNotMatch(server.output, /"level":"error"/);
        await assertResumable(place.path, location);
      });
    }
  }

  test("keeps every byte if its client disconnects meanwhile", async () => {
    await using place = await StoreFolder.make();
    await using server = await ServerProcess.start({ dir: place.path });
    const { client, at } = await allButOneByte(server, APPENDS[4] ?? assert.fail());
    const stopped = server.stop("SIGTERM");
    client.socket.destroy();
    assert.deepEqual(await stopped, { code: 0, signal: null });
    await assertResumable(place.path, at ?? assert.fail());
  });

  test("keeps every byte if there is no time to finish", async () => {
    await using place = await StoreFolder.make();
    await using server = await ServerProcess.start({ dir: place.path, env: { UPLOAD_SHUTDOWN_TIMEOUT: "0s" } });
    const { client, at } = await allButOneByte(server, APPENDS[2] ?? assert.fail());
    const stopped = server.stop("SIGTERM");
    assert.equal(field(await finalAnswer(client), "upload-offset"), String(SENT));
    client.socket.end();
    assert.deepEqual(await stopped, { code: 0, signal: null });
    await assertResumable(place.path, at ?? assert.fail());
  });

  test("keeps no byte, and reports so, if its bytes count only as a whole", async () => {
    await using place = await StoreFolder.make();
    await using server = await ServerProcess.start({ dir: place.path });
    const at = field(await ask(server.port, "POST", "/uploads", { fields: { "Upload-Complete": "?0" } }), "location");
    await using client = await RawClient.open(server.port);
    const digest = `sha-256=:${Buffer.from(sha256("0123456789"), "hex").toString("base64")}:`;
    await begin(client, "PATCH", at, {
      fields: {
        "Content-Type": "application/partial-upload",
        "Upload-Offset": "0",
        "Upload-Complete": "?0",
        "Content-Digest": digest,
        Expect: "100-continue",
      },
      length: 10,
    });
    assert.equal((await client.answer()).status, 100);
    await client.send("01234");
    const stopped = server.stop("SIGTERM");
    const answer = await finalAnswer(client);
    assert.deepEqual([answer.status, field(answer, "upload-offset")], [503, "0"]);
    client.socket.end();
    assert.deepEqual(await stopped, { code: 0, signal: null });
  });
});

/** Plain uploads of ten bytes, of which the first half is sent. */
const HALVES: Readonly<Record<string, readonly [head: string, half: string]>> = {
  "a raw POST": ["POST /uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n", "01234"],
  "a chunked POST": [
    "POST /uploads HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
    "5\r\n01234\r\n",
  ],
  "a PUT": [`PUT /uploads/${sha256("0123456789")} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n`, "01234"],
  "a form, in the middle of the file": [formHead(400), `${filePart()}01234`],
  "a form, before the file": [formHead(400), '--B\r\nContent-Disposition: form-data; name="note"\r\n\r\nhel'],
  "a form, after the file": [formHead(400), `${filePart()}0123456789\r\n--B\r\n`],
  "an upload larger than memory holds": [
    "POST /uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000001\r\n\r\n",
    "x".repeat(3_000_000),
  ],
};

function formHead(length: number): string {
  const type = "multipart/form-data; boundary=B";
  return `POST /uploads HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\n\r\n`;
}

function filePart(): string {
  return `--B\r\n${fileHead()}\r\n\r\n`;
}

describe("an upload that cannot be resumed and does not finish in time", () => {
  for (const [name, [head, half]] of someOf(Object.entries(HALVES), 3)) {
    test(`is answered with the reason and leaves nothing behind: ${name}`, async () => {
      await using place = await StoreFolder.make();
      await using server = await ServerProcess.start({ dir: place.path, env: { UPLOAD_SHUTDOWN_TIMEOUT: "100ms" } });
      await using client = await RawClient.open(server.port);
      await client.send(head.replace("Host: localhost", "Host: localhost\r\nExpect: 100-continue"));
      assert.equal((await client.answer()).status, 100);
      await client.send(half);
      const stopped = server.stop("SIGTERM");
      const answer = await client.answer();
      assert.equal(answer.status, 503);
      assert.equal((JSON.parse(String(answer.body)) as { code: string }).code, "shutting-down");
      assert.equal(answer.fields.get("connection"), "close");
      client.socket.end();
      assert.deepEqual(await stopped, { code: 0, signal: null });
      assert.deepEqual(await place.staged(), []);
      assert.deepEqual(await place.wholeBlobs(), new Set());
    });
  }
});

test("a download that is running when the server stops is completed", async () => {
  await using place = await StoreFolder.make();
  await using server = await ServerProcess.start({ dir: place.path });
  const bytes = new Random(6).bytes(20_000_000);
  const stored = await fetch(`${server.url}/uploads`, { method: "POST", body: bytes });
  const { url } = (await stored.json()) as { url: string };
  const client = await RawClient.open(server.port);
  client.socket.pause();
  await client.send(`GET ${url} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  await once(client.socket, "readable");
  const stopped = server.stop("SIGTERM");
  await until(() => refusesConnections(server.port));
  client.socket.resume();
  const { status, body } = await client.answer();
  assert.equal(status, 200);
  assert.equal(sha256(body), sha256(bytes));
  assert.deepEqual(await stopped, { code: 0, signal: null });
});

for (const [first, second, code] of [
  ["SIGTERM", "SIGTERM", 143],
  ["SIGTERM", "SIGINT", 130],
] as const) {
  test(`after ${first}, ${second} exits at once`, async () => {
    await using server = await start();
    await using _client = await halfAnUpload(server);
    const stopped = server.stop(first);
    await until(() => refusesConnections(server.port));
    process.kill(server.pid, second);
    assert.deepEqual(await stopped, { code, signal: null });
  });
}

test("idle connections do not delay the stop", async () => {
  await using server = await start();
  await using client = await RawClient.open(server.port);
  await client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
  assert.equal((await client.answer()).status, 200);
  assert.deepEqual(await server.stop("SIGINT"), { code: 0, signal: null });
});

test("a request on an open connection while the server stops gets a problem document or no response", async () => {
  await using server = await ServerProcess.start({ dir: join(folder, "kept") });
  await using busy = await halfAnUpload(server);
  await using other = await halfAnUpload(server);
  const stopped = server.stop("SIGTERM");
  await until(() => refusesConnections(server.port));
  await other.send("56789GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
  assert.equal((await other.answer()).status, 201);
  await busy.send("56789");
  assert.equal((await busy.answer()).status, 200);
  assert.deepEqual(await stopped, { code: 0, signal: null });
});

/** A server whose output is a pipe that is never read. */
async function startUnread(name: string) {
  const env = { ...CHILD_ENV, PORT: "0", UPLOAD_DIR: join(folder, name) };
  const child = spawn(process.execPath, [MAIN, "serve"], { env, stdio: ["ignore", "pipe", "pipe"] });
  const exit = once(child, "exit");
  const [greeting] = (await once(child.stderr, "data")) as [Buffer];
  const [url = ""] = /http:\/\/[\d.:]+/.exec(greeting.toString()) ?? [];
  return { child, url, exit };
}

test("a log that nobody reads does not prevent the server from stopping", async () => {
  const { child, url, exit } = await startUnread("unread");
  // more lines than fit into a pipe: 64 KiB
  const path = `/${"x".repeat(150)}`;
  for (let round = 0; round < 20; round += 1) {
    await Promise.all(Array.from({ length: 50 }, async () => (await fetch(url + path)).arrayBuffer()));
  }
  child.kill("SIGTERM");
  assert.deepEqual(await exit, [0, null]);
});

test("a log whose reader is gone does not end the server", async () => {
  const { child, url, exit } = await startUnread("gone");
  child.stdout.destroy();
  child.stderr.destroy();
  for (let round = 0; round < 3; round += 1) assert.equal((await fetch(`${url}/nowhere`)).status, 404);
  child.kill("SIGTERM");
  assert.deepEqual(await exit, [0, null]);
});
