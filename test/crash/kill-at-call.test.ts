import assert from "node:assert/strict";
import { test } from "node:test";
import { isFullRun, someOf } from "../helpers/full-run.ts";
import { Random } from "../helpers/random.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { Strace } from "../helpers/strace.ts";
import { linkTo, type Route } from "../helpers/upload-routes.ts";
import { Ledger } from "./ledger.ts";

const withStrace = needing("strace");
const KIB = 1024;

/** Everything that an upload does to files. */
const CALLS = ["openat", "mkdir", "write", "writev", "fsync", "fdatasync", "link", "rename", "unlink", "close"];

/** One thread for file work: then a trace's count of a call is the upload's, and not that of one thread of many. */
const ENV = { UV_THREADPOOL_SIZE: "1" };

interface Scene {
  readonly folder: StoreFolder;
  readonly ledger: Ledger;
  readonly content: Buffer;
  readonly route: Route;
}

/** Uploads under strace; what was traced, of the calls on this upload's paths alone. */
async function uploadTraced({ folder, ledger, content, route }: Scene, server: ServerProcess, inject?: string) {
  const hex = sha256(content);
  // the first upload of a server also flushes the folders above the store's own, once
  await ledger.upload(server, "raw", Buffer.from("the first"));
  const paths = [...(await folder.nextStaged(3)), folder.blob(hex), folder.fanOut(hex), folder.blobs, folder.path];
  await using strace = await Strace.attach(server.pid, { calls: CALLS, paths, ...(inject && { inject: [inject] }) });
  const told = await ledger.upload(server, route, content);
  if (told === null) await server.exit;
  return { told, calls: await strace.calls() };
}

/** How often an upload makes each of its calls. */
async function countCalls(route: Route, content: Buffer): Promise<Map<string, number>> {
  await using folder = await StoreFolder.make();
  await using server = await ServerProcess.start({ dir: folder.path, env: ENV });
  const { told, calls } = await uploadTraced({ folder, ledger: new Ledger(folder), content, route }, server);
  assert.equal(told?.status, 201);
  const counts = new Map<string, number>();
  for (const { name } of calls) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

for (const [route, size] of [
  ["form", 10 * KIB],
  ["raw", KIB * KIB],
] as const) {
  test(
    `a server killed at any call of an upload (${route}, ${size / KIB} KiB) leaves nothing behind`,
    withStrace,
    async (t) => {
      const random = new Random();
      t.diagnostic(`repeat with TEST_SEED=${random.seed}`);
      const counts = await countCalls(route, random.bytes(size));
      for (const name of ["openat", "mkdir", "fsync", "link", "unlink", "close"]) assert.ok(counts.has(name), name);
      await using folder = await StoreFolder.make();
      const ledger = new Ledger(folder);
      let abandoned = 0;
      let kills = 0;
      const moments = [...counts].flatMap(([name, count]) =>
        Array.from({ length: count }, (_, index) => ({ name, nth: index + 1 })),
      );
      for (const { name, nth } of someOf(moments, 9, random)) {
        await using server = await ServerProcess.start({ dir: folder.path, env: ENV });
        await ledger.proveRecent(server);
        const scene = { folder, ledger, route, content: folder.firstInFolder(() => random.bytes(size)) };
        const { told } = await uploadTraced(scene, server, `${name}:signal=SIGKILL:when=${nth}`);
        // how many batches are written depends on how the bytes come in; the one that was counted may not be there now
        if (told !== null && (name === "write" || name === "writev")) continue;
        assert.equal(told, null, `killed at ${name} ${nth}, nothing was promised`);
        assert.equal((await server.exit).signal, "SIGKILL");
        abandoned += (await folder.staged()).length;
        kills += 1;
      }
      await using server = await ServerProcess.start({ dir: folder.path });
      await ledger.proveRecent(server);
      await ledger.proveAll(server);
      t.diagnostic(`${kills} kills left ${abandoned} staged files: ${JSON.stringify(Object.fromEntries(counts))}`);
      assert.ok(abandoned >= (isFullRun ? 5 : 1), "there was something to clean up");
    },
  );
}

/** @returns `false` if the server was killed at another call than the one that sends its response */
async function killAtResponse(): Promise<boolean> {
  await using folder = await StoreFolder.make();
  const ledger = new Ledger(folder);
  const content = new Random(1).bytes(400 * KIB);
  {
    await using server = await ServerProcess.start({ dir: folder.path });
    const inject = ["write:signal=SIGKILL", "writev:signal=SIGKILL"];
    await using strace = await Strace.attach(server.pid, { calls: ["write", "writev"], mainThreadOnly: true, inject });
    assert.equal(await ledger.upload(server, "raw", content), null);
    await server.exit;
    const [call] = await strace.calls();
    if (!/"HTTP\/1\.1 201 /.test(call?.args ?? "")) return false;
    assert.deepEqual(await folder.staged(), []);
  }
  await using server = await ServerProcess.start({ dir: folder.path });
  assert.equal((await fetch(server.url + linkTo(content))).status, 200);
  assert.deepEqual(await folder.wholeBlobs(), new Set([sha256(content)]));
  await ledger.proveRecent(server);
  return true;
}

test(
  "a server killed at the first byte of its response has stored what it was about to acknowledge",
  withStrace,
  async () => {
    // On a busy machine the main thread may write something else first, such as a wakeup of another thread.
    for (let tries = 1; !(await killAtResponse()); tries += 1)
      assert.ok(tries < 5, "it was never killed at its response");
  },
);
