import assert from "node:assert/strict";
import { link, mkdir, readdir, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { describe, test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import { assertKept, content, digestOf, keep, writeAll } from "../../src/stores/contract/tools.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { StoreProcess } from "../helpers/store-process.ts";

const MIB = 1024 ** 2;

/** Puts a folder's last sign of life into the past. */
async function silence(path: string, hours: number): Promise<void> {
  const then = new Date(Date.now() - hours * 3_600_000);
  await utimes(path, then, then);
}

describe("what a dead process has left behind", () => {
  test("is removed by the next collection, which counts its bytes", async () => {
    await using folder = await StoreFolder.make();
    await using dying = await StoreProcess.start(folder.path);
    await dying.run({ do: "put", size: 1000, seed: 1 });
    for (const seed of [2, 3]) await dying.run({ do: "stage", size: 2 * MIB, seed });
    await using store = diskStore({ root: folder.path });
    assert.deepEqual(await store.collect(), { staged: 0, bytes: 0 }, "it is alive");
    assert.equal((await folder.staged()).length, 2);
    await dying.kill();
    const { staged, bytes } = await store.collect();
    assert.equal(staged, 2);
    assert(bytes > 2 * MIB && bytes <= 4 * MIB, `${bytes} bytes`);
    assert.deepEqual(await folder.instances(), []);
    await assertKept(store, content(1000, 1));
  });

  test("is removed by the check at the start", async () => {
    await using folder = await StoreFolder.make();
    await using dying = await StoreProcess.start(folder.path);
    await dying.run({ do: "stage", size: 2 * MIB });
    await dying.kill();
    await using store = diskStore({ root: folder.path });
    await store.check();
    assert.deepEqual(await folder.staged(), []);
  });

  test("is counted once by concurrent collectors", async () => {
    await using folder = await StoreFolder.make();
    await using dying = await StoreProcess.start(folder.path);
    for (let seed = 0; seed < 20; seed += 1) await dying.run({ do: "stage", size: MIB, seed });
    await dying.kill();
    await using one = diskStore({ root: folder.path });
    await using other = diskStore({ root: folder.path });
    const collected = await Promise.all([one.collect(), other.collect(), one.collect()]);
    assert.equal(
      collected.reduce((sum, { staged }) => sum + staged, 0),
      20,
    );
    assert.deepEqual(await folder.instances(), []);
  });

  test("is removed and not counted if it is a second name of a blob", async () => {
    await using folder = await StoreFolder.make();
    await using dying = await StoreProcess.start(folder.path);
    await dying.run({ do: "put", size: 1000, seed: 1 });
    await dying.kill();
    // As after a crash between the publication and the end of the staging name.
    const [instance = ""] = await folder.instances();
    await link(folder.blob(digestOf(content(1000, 1)).hex), join(instance, "1"));
    await using store = diskStore({ root: folder.path });
    assert.deepEqual(await store.collect(), { staged: 0, bytes: 0 });
    assert.deepEqual(await folder.instances(), []);
    await assertKept(store, content(1000, 1));
  });
});

describe("an owner that cannot be observed", () => {
  test("counts as alive while it gives a sign within the hour", async () => {
    await using folder = await StoreFolder.make();
    await using store = diskStore({ root: folder.path });
    await store.check();
    const stranger = join(folder.path, "staging", "0123456789abcdef-17-4711-00000000");
    await mkdir(stranger);
    await writeFile(join(stranger, "1"), "half");
    assert.deepEqual(await store.collect(), { staged: 0, bytes: 0 });
    await silence(stranger, 0.9);
    assert.deepEqual(await store.collect(), { staged: 0, bytes: 0 });
    await silence(stranger, 1.1);
    assert.deepEqual(await store.collect(), { staged: 1, bytes: 4 });
  });

  test("does not count as dead by a clock that runs behind", async () => {
    await using folder = await StoreFolder.make();
    await using store = diskStore({ root: folder.path });
    await store.check();
    const stranger = join(folder.path, "staging", "0123456789abcdef-17-4711-00000000");
    await mkdir(stranger);
    await silence(stranger, -50);
    await store.collect();
    assert((await folder.instances()).includes(stranger));
  });
});

describe("clocks that disagree with the file system's", () => {
  for (const hours of [25, -25]) {
    test(`a process whose clock is ${hours} h ahead removes the files of dead owners and of no live one`, async () => {
      await using folder = await StoreFolder.make();
      await diskStore({ root: folder.path }).check();
      const name = (number: number): string => `0123456789abcdef-17-4711-0000000${number}`;
      const staging = (number: number): string => join(folder.path, "staging", name(number));
      const scratch = (number: number): string => join(folder.path, "uploads", name(number));
      const wanted = (number: number): string => join(folder.path, "uploads", "wanted", name(number));
      await mkdir(join(folder.path, "uploads", "wanted"), { recursive: true });
      for (const number of [1, 2]) {
        await mkdir(staging(number));
        await writeFile(join(staging(number), "1"), "half");
        await mkdir(scratch(number));
        await writeFile(wanted(number), "");
      }
      for (const path of [staging(2), scratch(2), wanted(2)]) await silence(path, 1.1);
      await using child = await StoreProcess.start(folder.path, { clockAhead: hours * 3_600_000 });
      assert.deepEqual((await child.run({ do: "collect" })).value, { staged: 1, bytes: 4 });
      for (const path of [staging(1), scratch(1), wanted(1)]) await stat(path);
      for (const path of [staging(2), scratch(2), wanted(2)]) await assert.rejects(stat(path), { code: "ENOENT" });
    });
  }

  test("a sign of life has the file system's time, whatever the owner's clock says", async (t) => {
    await using folder = await StoreFolder.make();
    t.mock.timers.enable({ apis: ["setInterval", "Date"], now: Date.now() + 25 * 3_600_000 });
    await using store = diskStore({ root: folder.path });
    await store.check();
    const [instance = ""] = await folder.instances();
    const { mtimeMs: made } = await stat(instance);
    await utimes(instance, 0, 0);
    t.mock.timers.tick(5 * 60_000);
    let touched = 0;
    while (touched === 0) ({ mtimeMs: touched } = await stat(instance));
    assert.ok(touched >= made && touched - made < 3_600_000, "not the owner's time");
    await store.check();
    assert.deepEqual(await folder.staged(), []);
  });
});

describe("a live store", () => {
  test("keeps its uploads whatever their age", async () => {
    await using folder = await StoreFolder.make();
    await using living = await StoreProcess.start(folder.path);
    await living.run({ do: "stage", size: 2 * MIB });
    const [instance = ""] = await folder.instances();
    await silence(instance, 1000);
    await using store = diskStore({ root: folder.path });
    const collected = await store.collect();
    assert.deepEqual(collected, process.platform === "linux" ? { staged: 0, bytes: 0 } : { staged: 1, bytes: 2 * MIB });
  });

  test("survives the removal of its staging folder: staged uploads fail, later ones are stored", async () => {
    await using folder = await StoreFolder.make();
    await using store = diskStore({ root: folder.path });
    await using staged = await store.stage();
    const bytes = content(2 * MIB);
    await writeAll(staged, bytes);
    for (const instance of await folder.instances()) await rm(instance, { recursive: true });
    await assert.rejects(staged.commit(digestOf(bytes)), { code: "store-unavailable" });
    assert.equal(await store.stat(digestOf(bytes)), null);
    assert.deepEqual(await keep(store, bytes), { existed: false });
    await assertKept(store, bytes);
  });

  test("survives the removal of the folders of its blobs", async () => {
    await using folder = await StoreFolder.make();
    await using store = diskStore({ root: folder.path });
    for (const path of ["blobs", "."]) {
      await keep(store, content(1000));
      await rename(join(folder.path, path), join(folder.path, "..", `away-${basename(path)}`));
      assert.deepEqual(await keep(store, content(1000)), { existed: false });
      await assertKept(store, content(1000));
    }
  });

  test("removes its staging folder when it is disposed of, and stores nothing afterwards", async () => {
    await using folder = await StoreFolder.make();
    const store = diskStore({ root: folder.path });
    const [running, small] = [await store.stage(), await store.stage()];
    await writeAll(running, content(2 * MIB));
    await small.write(content(10));
    await keep(store, content(1000));
    await store[Symbol.asyncDispose]();
    assert.deepEqual(await folder.instances(), []);
    await assert.rejects(running.commit(digestOf(content(2 * MIB))), { code: "store-unavailable" });
    await assert.rejects(small.commit(digestOf(content(10))), { code: "store-unavailable" });
    await running.abort();
    assert.deepEqual(await folder.instances(), []);
    assert.deepEqual(await folder.wholeBlobs(), new Set([digestOf(content(1000)).hex]));
  });

  test("ignores files of other programs", async () => {
    await using folder = await StoreFolder.make();
    await using store = diskStore({ root: folder.path });
    await store.check();
    await keep(store, content(10));
    const { hex } = digestOf(content(10));
    const foreign = ["blobs/README", `blobs/${hex}`, `blobs/zz/${hex}`, `blobs/00/${hex.replace(/^../, "11")}`]
      .concat([`blobs/${hex.slice(0, 2)}/note.txt`, `blobs/${hex.slice(0, 2)}/${hex}.png`])
      .concat(["staging/lost+found/1", "staging/note.txt", "staging/00-1-2-3/1"]);
    for (const path of foreign) {
      await mkdir(join(folder.path, path, ".."), { recursive: true });
      await writeFile(join(folder.path, path), "not ours");
    }
    await store.collect();
    const found: string[] = [];
    for await (const { digest } of store.list()) found.push(digest.hex);
    assert.deepEqual(found, [hex]);
    const left = await readdir(folder.path, { recursive: true });
    for (const path of foreign) assert(left.includes(path), path);
  });
});

describe("two processes over one folder", () => {
  test("commit the same content concurrently into one blob, and all succeed", async () => {
    await using folder = await StoreFolder.make();
    await using one = await StoreProcess.start(folder.path);
    await using other = await StoreProcess.start(folder.path);
    for (const size of [1000, 2 * MIB]) {
      const step = { do: "put-together", size, seeds: Array.from({ length: 16 }, () => 5) } as const;
      const results = await Promise.all([one.run(step), other.run(step)]);
      const committed = results.flatMap(({ value }) => value as { existed: boolean }[]);
      assert.equal(committed.length, 32);
      assert.equal(committed.filter(({ existed }) => !existed).length, 1);
    }
    assert.equal((await folder.wholeBlobs()).size, 2);
    assert.deepEqual(await folder.staged(), []);
  });

  test("see each other as alive", async () => {
    await using folder = await StoreFolder.make();
    await using one = await StoreProcess.start(folder.path);
    await one.run({ do: "stage", size: 2 * MIB });
    await using other = await StoreProcess.start(folder.path);
    assert.deepEqual(await other.run({ do: "check" }), { value: null, logged: [] });
    assert.equal((await folder.staged()).length, 1);
  });
});
