import assert from "node:assert/strict";
import { access, readdir, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { formatSize } from "../../src/base/format-size.ts";
import { diskStore } from "../../src/disk.ts";
import { content, digestOf, keep } from "../../src/stores/contract/tools.ts";
import { jsonLines, runCommand } from "../helpers/command.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

const MIB = 1024 * 1024;

/** Sends the first MiB of two, and returns when some of it lies in the store's folder. */
async function sendHalf(server: ServerProcess, folder: StoreFolder): Promise<RawClient> {
  const client = await RawClient.open(server.port);
  await client.send(`POST /uploads HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${2 * MIB}\r\n\r\n`);
  await client.send(Buffer.alloc(MIB, "a"));
  while ((await stagedBytes(folder)) === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  return client;
}

async function stagedBytes(folder: StoreFolder): Promise<number> {
  const files = await Promise.all((await folder.staged()).map((path) => stat(path)));
  return files.reduce((sum, { size }) => sum + size, 0);
}

test("gc removes what a killed server was receiving, and reports how much", async () => {
  await using folder = await StoreFolder.make();
  const env = { UPLOAD_DIR: folder.path };
  for (const args of [["gc"], ["gc", "--json"]]) {
    await using server = await ServerProcess.start({ dir: folder.path });
    await using _client = await sendHalf(server, folder);
    await server.stop("SIGKILL");
    const bytes = await stagedBytes(folder);
    const { code, out, err } = await runCommand(args, { env });
    assert.deepEqual([code, err], [0, ""]);
    if (args.includes("--json")) assert.deepEqual(jsonLines(out), [{ removed: 1, bytes, failed: 0 }]);
    else assert.equal(out, `removed 1 unfinished upload, ${formatSize(bytes)}\n`);
    assert.deepEqual(await folder.staged(), []);
  }
  assert.deepEqual(await runCommand(["gc"], { env }), { code: 0, out: "nothing to remove\n", err: "" });
});

test("gc --damaged removes the damaged files that uploads have replaced, and gc leaves them", async () => {
  await using folder = await StoreFolder.make();
  const bytes = content(5000);
  {
    await using store = diskStore({ root: folder.path, log: () => null });
    await keep(store, bytes);
    await truncate(folder.blob(digestOf(bytes).hex), 2000);
    await keep(store, bytes);
  }
  const env = { UPLOAD_DIR: folder.path };
  const damaged = async () => (await readdir(join(folder.path, "damaged"))).length;
  assert.equal((await runCommand(["gc"], { env })).code, 0);
  assert.equal(await damaged(), 1);
  const { code, out } = await runCommand(["gc", "--damaged", "--json"], { env });
  assert.equal(code, 0);
  assert.deepEqual(jsonLines(out), [{ removed: 0, bytes: 0, failed: 0, damaged: { blobs: 1, bytes: 2000 } }]);
  assert.equal(await damaged(), 0);
  const again = await runCommand(["gc", "--damaged"], { env });
  assert.deepEqual(again, { code: 0, out: "nothing to remove\nno damaged files are kept\n", err: "" });
});

test("gc does not touch what a running server is receiving", async () => {
  await using folder = await StoreFolder.make();
  await using server = await ServerProcess.start({ dir: folder.path });
  await using client = await sendHalf(server, folder);
  const { code, out } = await runCommand(["gc", "--json"], { env: { UPLOAD_DIR: folder.path } });
  assert.equal(code, 0);
  assert.deepEqual(jsonLines(out), [{ removed: 0, bytes: 0, failed: 0 }]);
  await client.send(Buffer.alloc(MIB, "b"));
  assert.equal((await client.answer()).status, 201);
});

test("a mistyped folder is an error, and nothing is created there", async () => {
  await using folder = await StoreFolder.make();
  const missing = join(folder.path, "not-there");
  for (const command of ["gc", "verify"]) {
    const { code, out, err } = await runCommand([command, "--dir", missing]);
    assert.deepEqual([code, out], [2, ""]);
    assert.match(
      err,
      /^fixity: There is no store in ".*not-there": set UPLOAD_DIR or --dir to the server's folder\.\n$/,
    );
    await assert.rejects(access(missing));
  }
});

test("other settings of a server are ignored, and unknown ones are refused", async () => {
  await using folder = await StoreFolder.make();
  await using server = await ServerProcess.start({ dir: folder.path });
  await server.stop();
  const env = { UPLOAD_DIR: folder.path, HOST: "0.0.0.0", UPLOAD_TOKENS_FILE: "/not/there", PORT: "none" };
  assert.equal((await runCommand(["gc"], { env })).code, 0);
  const { code, err } = await runCommand(["gc"], { env: { UPLOAD_DIRR: folder.path } });
  assert.equal(code, 2);
  assert.match(err, /^fixity: Unknown setting UPLOAD_DIRR\. Did you mean UPLOAD_DIR\?\n$/);
  const unknown = await runCommand(["gc", "--port", "1"]);
  assert.equal(unknown.code, 2);
  assert.match(unknown.err, /unknown option '--port'/);
});
