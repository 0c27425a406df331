import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { RawClient } from "../helpers/raw-client.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { until } from "../helpers/settled.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

let folder = "";
before(async () => void (folder = await mkdtemp(join(tmpdir(), "fixity-test-"))));
after(() => rm(folder, { recursive: true, force: true }));

function start(env: Record<string, string> = {}): Promise<ServerProcess> {
  return ServerProcess.start({ dir: join(folder, "data"), env });
}

/** An upload of which half has been sent, and taken. */
async function halfAnUpload(server: ServerProcess): Promise<RawClient> {
  const client = await RawClient.open(server.port);
  await client.send("POST /uploads HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n");
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

test("SIGTERM lets a running upload finish, takes no new ones, and ends with 0", async () => {
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

test("an upload that does not finish in time is cut off, and nothing of it stays", async () => {
  await using server = await start({ UPLOAD_SHUTDOWN_TIMEOUT: "300ms" });
  await using client = await halfAnUpload(server);
  assert.deepEqual(await server.stop("SIGTERM"), { code: 0, signal: null });
  assert.match(server.output, /what is still running is cut off/);
  await client.closed();
  await using again = await start();
  assert.equal((await fetch(`${again.url}/uploads/${sha256("01234")}`)).status, 404);
});

for (const [first, second, code] of [
  ["SIGTERM", "SIGTERM", 143],
  ["SIGTERM", "SIGINT", 130],
] as const) {
  test(`after ${first}, ${second} ends at once`, async () => {
    await using server = await start();
    await using _client = await halfAnUpload(server);
    const stopped = server.stop(first);
    await until(() => refusesConnections(server.port));
    process.kill(server.pid, second);
    assert.deepEqual(await stopped, { code, signal: null });
  });
}

test("connections that are only kept alive do not hold the stop", async () => {
  await using server = await start();
  await using client = await RawClient.open(server.port);
  await client.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
  assert.equal((await client.answer()).status, 200);
  assert.deepEqual(await server.stop("SIGINT"), { code: 0, signal: null });
});

test("a request on a kept connection, sent while the server stops, is refused with a problem or not at all", async () => {
  await using server = await ServerProcess.start({ dir: join(folder, "kept") });
  await using busy = await halfAnUpload(server);
  await using other = await halfAnUpload(server);
  const stopped = server.stop("SIGTERM");
  await until(() => refusesConnections(server.port));
  await other.send("56789GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
  assert.equal((await other.answer()).status, 201);
  await busy.send("56789");
  assert.equal((await busy.answer()).status, 200);
  assert.deepEqual(await stopped, { code: 0, signal: null });
});

/** A server whose output is not read, and is not a file. */
async function startUnread(name: string) {
  const env = { PATH: process.env["PATH"], PORT: "0", UPLOAD_DIR: join(folder, name) };
  const child = spawn(process.execPath, [MAIN, "serve"], { env, stdio: ["ignore", "pipe", "pipe"] });
  const exit = once(child, "exit");
  const [greeting] = (await once(child.stderr, "data")) as [Buffer];
  const [url = ""] = /http:\/\/[\d.:]+/.exec(greeting.toString()) ?? [];
  return { child, url, exit };
}

test("a log that nobody reads keeps no server from stopping", async () => {
  const { child, url, exit } = await startUnread("unread");
  // more lines than fit into a pipe: 64 KiB
  const path = `/${"x".repeat(150)}`;
  for (let round = 0; round < 20; round += 1) {
    await Promise.all(Array.from({ length: 50 }, async () => (await fetch(url + path)).arrayBuffer()));
  }
  child.kill("SIGTERM");
  assert.deepEqual(await exit, [0, null]);
});

test("a log whose reader is gone ends no server", async () => {
  const { child, url, exit } = await startUnread("gone");
  child.stdout.destroy();
  child.stderr.destroy();
  for (let round = 0; round < 3; round += 1) assert.equal((await fetch(`${url}/nowhere`)).status, 404);
  child.kill("SIGTERM");
  assert.deepEqual(await exit, [0, null]);
});
