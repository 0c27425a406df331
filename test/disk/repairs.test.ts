import assert from "node:assert/strict";
import { readdir, readFile, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { Committed } from "../../src/core/staged-blob.ts";
import type { BlobStore } from "../../src/index.ts";
import { diskStore } from "../../src/disk.ts";
import { assertKept, content, digestOf, keep, writeAll } from "../../src/stores/contract/tools.ts";
import { append, begin, take, uploadsOf } from "../../src/stores/contract/upload-tools.ts";
import { someOf } from "../helpers/full-run.ts";
import { Random } from "../helpers/random.ts";
import { needing } from "../helpers/requirements.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { StoreProcess } from "../helpers/store-process.ts";
import { Strace } from "../helpers/strace.ts";

const CONTENT = { size: 300_000, seed: 5 } as const;
const BYTES = content(CONTENT.size, CONTENT.seed);
const DIGEST = digestOf(BYTES);
const CALLS = ["openat", "mkdir", "fsync", "link", "rename", "unlink"];
const DAY_MS = 24 * 60 * 60 * 1000;

/** A store's folder with a blob of which one byte has changed. */
async function corruptedFolder(): Promise<{ readonly folder: StoreFolder; readonly corrupted: Buffer }> {
  const folder = await StoreFolder.make();
  await using store = diskStore({ root: folder.path });
  await keep(store, BYTES);
  await folder.corrupt(DIGEST.hex);
  return { folder, corrupted: await readFile(folder.blob(DIGEST.hex)) };
}

async function repair(store: BlobStore): Promise<Committed> {
  await using staged = await store.stage();
  await writeAll(staged, BYTES);
  return await staged.commit(DIGEST, { judge: () => "damaged" });
}

/** The paths of what is kept in `damaged/`. */
async function keptIn(folder: StoreFolder): Promise<string[]> {
  const damaged = join(folder.path, "damaged");
  return (await readdir(damaged).catch(() => [])).map((name) => join(damaged, name));
}

test("what an upload replaces is kept under damaged/, by a plain upload and by a resumed one", async () => {
  for (const isResumed of [false, true]) {
    const { folder, corrupted } = await corruptedFolder();
    await using _folder = folder;
    await using store = diskStore({ root: folder.path, log: () => null });
    if (isResumed) {
      const uploads = uploadsOf(store);
      const id = await begin(uploads);
      await append(uploads, id, { bytes: BYTES });
      await using held = await take(uploads, id);
      assert.deepEqual(await held.commit(DIGEST, { judge: () => "damaged" }), { existed: false });
      assert.equal((await stat(folder.blob(DIGEST.hex))).nlink, 2, "the upload's own file, without a copy");
      await held.conclude("done");
    } else {
      assert.deepEqual(await repair(store), { existed: false });
    }
    await assertKept(store, BYTES);
    const [kept = "", ...others] = await keptIn(folder);
    assert.deepEqual(others, []);
    assert.ok((await readFile(kept)).equals(corrupted));
    assert.equal((await stat(kept)).mode & 0o777, 0o400);
    assert.equal((await stat(join(folder.path, "damaged"))).mode & 0o777, 0o700);
    assert.deepEqual(await folder.staged(), []);
    await store.collect();
    assert.equal((await keptIn(folder)).length, 1, "for 30 days");
    assert.deepEqual(await store.removeDamaged?.(), { blobs: 1, bytes: CONTENT.size });
    assert.deepEqual(await keptIn(folder), []);
  }
});

test("the collection removes what was replaced 30 days ago, and leaves other files", async () => {
  const { folder } = await corruptedFolder();
  await using _folder = folder;
  await using store = diskStore({ root: folder.path, log: () => null });
  await repair(store);
  const at = (days: number) => join(folder.path, "damaged", `${DIGEST.hex}-${Date.now() - days * DAY_MS}`);
  const [old, recent, other] = [at(31), at(29), join(folder.path, "damaged", "notes")];
  for (const path of [old, recent, other]) {
    await writeFile(path, "x");
    await utimes(path, 0, 0);
  }
  await store.collect();
  const left = await keptIn(folder);
  assert.equal(left.length, 3);
  assert.ok(!left.includes(old));
  assert.ok(left.includes(recent) && left.includes(other));
});

test("a symbolic link to a damaged file is moved itself, and its target stays", async () => {
  await using folder = await StoreFolder.make();
  await using store = diskStore({ root: folder.path, log: () => null });
  await keep(store, BYTES);
  await store.remove(DIGEST);
  const target = join(folder.path, "elsewhere");
  await writeFile(target, "damaged");
  await symlink(target, folder.blob(DIGEST.hex));
  assert.deepEqual(await repair(store), { existed: false });
  await assertKept(store, BYTES);
  assert.equal(await readFile(target, "utf8"), "damaged");
  const [kept = ""] = await keptIn(folder);
  assert.equal(await readFile(kept, "utf8"), "damaged");
});

for (const [name, rules] of [
  ["no room for another name", ["link:error=ENOSPC:when=2+"]],
  ["no room for the folder", ["mkdir:error=ENOSPC"]],
] as const) {
  test(`damaged bytes that cannot be kept do not prevent their repair: ${name}`, needing("strace"), async () => {
    const { folder } = await corruptedFolder();
    await using _folder = folder;
    await using store = await StoreProcess.start(folder.path, { threads: 1 });
    await store.run({ do: "put", size: 1000 });
    {
      await using _strace = await Strace.attach(store.pid, { calls: ["link", "mkdir"], inject: rules });
      const { value, logged } = await store.run({ do: "repair", ...CONTENT });
      assert.deepEqual(value, { existed: false });
      assert.match(logged[0] ?? "", /^the damaged bytes of [0-9a-f]{64} could not be kept for examination$/);
    }
    assert.equal((await store.run({ do: "read", ...CONTENT })).value, "whole");
    assert.deepEqual(await keptIn(folder), []);
    assert.deepEqual(await folder.staged(), []);
  });
}

test("without hard links, damaged bytes are kept as a copy", needing("strace"), async () => {
  const { folder, corrupted } = await corruptedFolder();
  await using _folder = folder;
  await using store = await StoreProcess.start(folder.path, { threads: 1 });
  {
    await using _strace = await Strace.attach(store.pid, { calls: ["link"], inject: ["link:error=EPERM"] });
    assert.deepEqual((await store.run({ do: "repair", ...CONTENT })).value, { existed: false });
  }
  assert.equal((await store.run({ do: "read", ...CONTENT })).value, "whole");
  const [kept = ""] = await keptIn(folder);
  assert.ok((await readFile(kept)).equals(corrupted));
});

test(
  "a process killed at any call of a repair leaves the old file or the new one, and nothing that collect does not find",
  needing("strace"),
  async (t) => {
    const moments: string[] = [];
    {
      const { folder } = await corruptedFolder();
      await using _folder = folder;
      await using store = await StoreProcess.start(folder.path, { threads: 1 });
      await using strace = await Strace.attach(store.pid, { calls: CALLS });
      await store.run({ do: "repair", ...CONTENT });
      const calls = await strace.calls();
      const thread = calls.find(({ name }) => name === "rename")?.thread;
      const counts = new Map<string, number>();
      for (const { name } of calls.filter((call) => call.thread === thread)) {
        counts.set(name, (counts.get(name) ?? 0) + 1);
        moments.push(`${name}:signal=SIGKILL:when=${counts.get(name)}`);
      }
    }
    for (const name of ["openat", "mkdir", "fsync", "link", "rename", "unlink"]) {
      assert.ok(
        moments.some((moment) => moment.startsWith(name)),
        name,
      );
    }
    const random = new Random();
    t.diagnostic(`repeat with TEST_SEED=${random.seed}`);
    const tried = someOf(moments, 10, random);
    let kills = 0;
    for (const inject of tried) {
      const { folder, corrupted } = await corruptedFolder();
      await using _folder = folder;
      {
        await using store = await StoreProcess.start(folder.path, { threads: 1 });
        await using _strace = await Strace.attach(store.pid, { calls: CALLS, inject: [inject] });
        const result = await store.run({ do: "repair", ...CONTENT }).catch(() => null);
        if (result === null) kills += 1;
      }
      const found = await readFile(folder.blob(DIGEST.hex));
      assert.ok(found.equals(BYTES) || found.equals(corrupted), inject);
      await using store = diskStore({ root: folder.path, log: () => null });
      await store.collect();
      assert.deepEqual(await folder.staged(), []);
      for (const path of await keptIn(folder)) assert.ok((await readFile(path)).equals(corrupted), inject);
      assert.deepEqual(await repair(store), { existed: false });
      await assertKept(store, BYTES);
      await store.removeDamaged?.();
      assert.deepEqual(await keptIn(folder), []);
      assert.deepEqual((await readdir(folder.fanOut(DIGEST.hex))).length, 1);
    }
    t.diagnostic(`${kills} kills`);
    assert.ok(kills >= tried.length - 2, `${kills} of ${tried.length}`);
  },
);
