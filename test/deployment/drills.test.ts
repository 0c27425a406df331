/**
 * The table "When something breaks" of docs/deployment.md: each fault is made, what clients and the
 * log show is compared with its row, and the remedy is tried. Other tests go deeper, where named.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cp, mkdir, rm, stat } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand } from "../helpers/command.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { until } from "../helpers/settled.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { onTmpfs } from "../helpers/store-process.ts";
import { KEYS, ScriptedServer } from "../s3/scripted-server.ts";

const MIB = 1024 ** 2;

/** The status of an upload, and the code of its problem. */
async function put(server: ServerProcess, body: string | Buffer): Promise<string> {
  const response = await fetch(`${server.url}/uploads/a.txt`, { method: "PUT", body });
  const { code } = (await response.json()) as { code?: string };
  return code === undefined ? String(response.status) : `${response.status} ${code}`;
}

/** The text behind a link, or the status and code of the answer. */
async function read(server: ServerProcess, content: string): Promise<string> {
  const response = await fetch(`${server.url}/uploads/${sha256(content)}.txt`);
  const text = await response.text();
  return response.ok ? text : `${response.status} ${(JSON.parse(text) as { code: string }).code}`;
}

async function isReady(server: ServerProcess): Promise<boolean> {
  return (await fetch(`${server.url}/readyz`)).status === 200;
}

/** Waits until the log contains a text. */
function logged(server: ServerProcess, text: string): Promise<void> {
  return until(async () => server.output.includes(text));
}

// test/crash/full-disk.test.ts has every route
void test(
  "disk full: large uploads are 507, small ones and reads go on, and room helps",
  needing("a mounted tmpfs"),
  async () => {
    await using folder = await StoreFolder.make();
    await mkdir(folder.path);
    await using server = await ServerProcess.start({ dir: folder.path, under: onTmpfs(folder.path, "8m") });
    assert.equal(await put(server, "kept"), "201");
    assert.equal(await put(server, Buffer.alloc(12 * MIB)), "507 store-full");
    await logged(server, '"code":"store-full"');
    assert.ok(server.output.includes("ENOSPC"));
    assert.deepEqual([await put(server, "small"), await read(server, "kept")], ["201", "kept"]);
    const inside = ["--mount", "--target", String(server.pid)];
    execFileSync("nsenter", [...inside, "mount", "-o", "remount,size=32m", folder.path]);
    assert.equal(await put(server, Buffer.alloc(12 * MIB)), "201");
  },
);

void test(
  "disk read-only: uploads are 500, reads go on, and no restart is needed",
  needing("a mounted tmpfs"),
  async () => {
    await using folder = await StoreFolder.make();
    await mkdir(folder.path);
    await using server = await ServerProcess.start({ dir: folder.path, under: onTmpfs(folder.path, "8m") });
    const remount = (mode: "ro" | "rw"): void => {
      const inside = ["--mount", "--target", String(server.pid)];
      execFileSync("nsenter", [...inside, "mount", "-o", `remount,bind,${mode}`, folder.path]);
    };
    assert.equal(await put(server, "kept"), "201");
    remount("ro");
    assert.equal(await put(server, "new"), "500 store-misconfigured");
    await logged(server, "EROFS");
    assert.equal(await read(server, "kept"), "kept");
    await until(async () => !(await isReady(server)));
    remount("rw");
    await until(() => isReady(server));
    assert.equal(await put(server, "new"), "201");
  },
);

/** A server over a scripted bucket. */
async function overBucket(bucket: ScriptedServer): Promise<{ server: ServerProcess; env: Record<string, string> }> {
  const env = {
    UPLOAD_BUCKET_NAME: "scripted",
    UPLOAD_BUCKET_ENDPOINT: bucket.endpoint,
    UPLOAD_BUCKET_ACCESS_KEY: KEYS.accessKey,
    UPLOAD_BUCKET_SECRET_KEY: KEYS.secretKey,
  };
  return { server: await ServerProcess.start({ dir: "/nonexistent", env }), env };
}

// test/s3/scripted-outage-http.test.ts and outage.full.test.ts: what uploads that run meanwhile see
void test("bucket unreachable: the server waits for it, and another one does not start", async () => {
  await using bucket = await ScriptedServer.start();
  const { server, env } = await overBucket(bucket);
  await using _server = server;
  assert.equal(await put(server, "before"), "201");
  let during = Promise.resolve("not begun");
  await bucket.awayDuring(async () => {
    during = put(server, "during");
    await until(async () => !(await isReady(server)));
    const doctor = await runCommand(["doctor"], { env });
    assert.equal(doctor.code, 1);
    assert.match(doctor.out, /FAIL {2}The endpoint responds/);
    const started = await runCommand(["serve"], { env });
    assert.equal(started.code, 2);
    assert.match(started.err, /Cannot use UPLOAD_BUCKET_NAME=scripted: Nothing listens at/);
  });
  assert.equal(await during, "201");
  await until(() => isReady(server));
  assert.equal(await read(server, "during"), "during");
});

for (const [code, fault] of [
  ["InvalidAccessKeyId", "keys of the bucket lost"],
  ["RequestTimeTooSkewed", "wrong clock"],
] as const) {
  void test(`${fault}: uploads are 500, the log has the provider's code, and it passes`, async () => {
    await using bucket = await ScriptedServer.start();
    const { server } = await overBucket(bucket);
    await using _server = server;
    assert.equal(await put(server, "before"), "201");
    const refusal = { status: 403, body: `<Error><Code>${code}</Code><Message>no</Message></Error>` };
    for (const operation of ["PutObject", "ListObjectsV2"]) bucket.always(operation, refusal);
    assert.equal(await put(server, "new"), "500 store-misconfigured");
    await logged(server, code);
    await until(async () => !(await isReady(server)));
    for (const operation of ["PutObject", "ListObjectsV2"]) bucket.always(operation, null);
    await until(() => isReady(server));
    assert.equal(await put(server, "new"), "201");
  });
}

// test/verification has every kind of damage and of repair
void test("bit rot and a deleted file: errors and never wrong bytes; a backup and uploads repair", async () => {
  await using folder = await StoreFolder.make();
  const backup = join(folder.path, "..", "backup");
  await using server = await ServerProcess.start({ dir: folder.path, env: { UPLOAD_CACHE: "0" } });
  const texts = ["rots", "rots too", "is deleted", "is deleted too"];
  for (const text of texts) assert.equal(await put(server, text), "201");
  await cp(join(folder.path, "blobs"), join(backup, "blobs"), { recursive: true });
  const [rots = "", rotsToo = "", deleted = "", deletedToo = ""] = texts;
  for (const text of [rots, rotsToo]) await folder.corrupt(sha256(text));
  for (const text of [deleted, deletedToo]) await rm(folder.blob(sha256(text)));
  for (const text of [rots, rotsToo]) assert.equal(await read(server, text), "500 blob-damaged");
  for (const text of [deleted, deletedToo]) assert.equal(await read(server, text), "404 blob-not-found");
  await logged(server, `a stored file is damaged and is no longer served: sha256:${sha256(rots)}`);

  const repair = ["verify", sha256(rots), sha256(deleted), "--repair-from", backup];
  const repaired = await runCommand(repair, { env: { UPLOAD_DIR: folder.path } });
  assert.equal(repaired.code, 0, repaired.out + repaired.err);
  for (const text of [rotsToo, deletedToo]) assert.equal(await put(server, text), "201");
  for (const text of texts) assert.equal(await read(server, text), text);
  assert.equal((await runCommand(["verify"], { env: { UPLOAD_DIR: folder.path } })).code, 0);
});

// test/crash has every moment
void test("an instance killed: what it acknowledged is there, and what it left goes at the next start", async () => {
  await using folder = await StoreFolder.make();
  await using first = await ServerProcess.start({ dir: folder.path });
  assert.equal(await put(first, "kept"), "201");
  const socket = connect(first.port, "127.0.0.1").on("error", () => undefined);
  socket.write(`POST /uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${5 * MIB}\r\n\r\n`);
  socket.write(Buffer.alloc(2 * MIB));
  await until(async () => (await folder.staged()).length > 0);
  await first.stop("SIGKILL");
  await using second = await ServerProcess.start({ dir: folder.path });
  await until(async () => (await folder.staged()).length === 0);
  assert.equal(await read(second, "kept"), "kept");
  assert.ok((await stat(folder.blob(sha256("kept")))).isFile());
  socket.destroy();
});
