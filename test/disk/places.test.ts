import assert from "node:assert/strict";
import { chmod, chown, mkdir, readdir, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import { assertKept, content, keep } from "../../src/stores/contract/tools.ts";
import { needing } from "../helpers/requirements.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { onTmpfs, readOnly, StoreProcess } from "../helpers/store-process.ts";

const SMALL = { size: 1000, seed: 1 } as const;
const isRoot = process.getuid?.() === 0;

describe("a check of the folder", () => {
  test("creates it and the folders above it, and leaves nothing staged", async () => {
    await using folder = await StoreFolder.make();
    const root = join(folder.path, "a", "b");
    await using store = diskStore({ root });
    await store.check();
    assert.deepEqual((await readdir(root)).sort(), ["blobs", "staging", "uploads"]);
    const [instance = ""] = await readdir(join(root, "staging"));
    assert.deepEqual(await readdir(join(root, "staging", instance)), []);
  });

  test("refuses a folder that is a file, is below a file, or has a file in the place of one of its folders", async () => {
    await using folder = await StoreFolder.make();
    await mkdir(folder.path);
    const file = join(folder.path, "file");
    await writeFile(file, "");
    for (const inside of ["blobs", "staging", "uploads"]) {
      await mkdir(join(folder.path, `with-${inside}`));
      await writeFile(join(folder.path, `with-${inside}`, inside), "");
    }
    const withFiles = ["with-blobs", "with-staging", "with-uploads"].map((name) => join(folder.path, name));
    for (const root of [file, join(file, "below"), ...withFiles]) {
      await using store = diskStore({ root });
      await assert.rejects(store.check(), { code: "store-misconfigured", message: /is a file/ });
    }
  });

  test("refuses a dangling link", async () => {
    await using folder = await StoreFolder.make();
    await symlink(join(folder.path, "..", "nowhere", "at", "all"), folder.path);
    await using store = diskStore({ root: folder.path });
    await assert.rejects(store.check(), { code: "store-misconfigured" });
  });

  // Linux answers so below /proc, and where a folder was removed that is still mounted, as under a container.
  const nowhere = { ...needing("/proc"), timeout: 10_000 };
  test("refuses a place where no folder can be created, although the one above exists", nowhere, async () => {
    await using folder = await StoreFolder.make();
    await symlink("/proc/self", folder.path);
    await using store = diskStore({ root: join(folder.path, "a", "b") });
    await assert.rejects(store.check(), { code: "store-unavailable" });
  });

  test("refuses a folder to which this user may not write", async () => {
    for (const inside of ["blobs", "staging", "uploads"]) {
      await using folder = await StoreFolder.make();
      await diskStore({ root: folder.path }).check();
      for (const path of [folder.path, dirname(folder.path)]) await chmod(path, 0o755);
      for (const name of ["blobs", "staging", "uploads"]) await chmod(join(folder.path, name), 0o777);
      await chmod(join(folder.path, inside), 0o555);
      await using store = await StoreProcess.start(folder.path);
      // Permissions do not hold root back.
      if (isRoot) await store.run({ do: "become-nobody" });
      const checked = await store.run({ do: "check" });
      assert.equal(checked.code, "store-misconfigured", inside);
      assert.match(checked.message ?? "", /permission/);
      const put = await store.run({ do: "put", ...SMALL });
      assert.equal(put.code, inside === "uploads" ? undefined : "store-misconfigured");
      await chmod(join(folder.path, inside), 0o755);
    }
  });

  test("passes for a user who owns only the store's folder", { skip: !isRoot && "needs root" }, async () => {
    await using folder = await StoreFolder.make();
    await mkdir(folder.path, { mode: 0o700 });
    await chown(folder.path, 65_534, 65_534);
    // The folder above may be passed through and not be read.
    await chmod(join(folder.path, ".."), 0o711);
    await using store = await StoreProcess.start(folder.path);
    await store.run({ do: "become-nobody" });
    assert.deepEqual(await store.run({ do: "check" }), { value: null, logged: [] });
    assert.deepEqual(await store.run({ do: "put", ...SMALL }), { value: { existed: false }, logged: [] });
  });

  test("refuses a read-only folder, which can still be read", needing("a mounted tmpfs"), async () => {
    await using folder = await StoreFolder.make();
    await using writable = diskStore({ root: folder.path });
    await keep(writable, content(SMALL.size, SMALL.seed));
    await using store = await StoreProcess.start(folder.path, { under: readOnly(folder.path) });
    const checked = await store.run({ do: "check" });
    assert.equal(checked.code, "store-misconfigured");
    assert.match(checked.message ?? "", /read-only/);
    assert.equal((await store.run({ do: "put", ...SMALL, seed: 2 })).code, "store-misconfigured");
    assert.equal((await store.run({ do: "remove", ...SMALL })).code, "store-misconfigured");
    assert.equal((await store.run({ do: "read", ...SMALL })).value, "whole");
    // What is there is acknowledged: nothing has to be written for that.
    assert.deepEqual((await store.run({ do: "put", ...SMALL })).value, { existed: true });
  });

  test("refuses a folder that spans two file systems", needing("a mounted tmpfs"), async () => {
    await using folder = await StoreFolder.make();
    const blobs = join(folder.path, "blobs");
    await mkdir(blobs, { recursive: true });
    await using store = await StoreProcess.start(folder.path, { under: onTmpfs(blobs, "2m") });
    for (const step of [{ do: "check" }, { do: "put", ...SMALL }] as const) {
      const result = await store.run(step);
      assert.equal(result.code, "store-misconfigured");
      assert.match(result.message ?? "", /one file system/);
    }
    assert.deepEqual(await folder.staged(), []);
  });

  test("no message names a folder or a system error", async () => {
    await using folder = await StoreFolder.make();
    await writeFile(folder.path, "");
    await using store = diskStore({ root: folder.path });
    await assert.rejects(store.check(), (error: Error) => {
      assert.doesNotMatch(error.message, /\/|E[A-Z]{3,}/);
      assert(error.cause instanceof Error, "the log has them");
      return true;
    });
  });
});

describe("options", () => {
  test("invalid options are refused at once", () => {
    for (const options of [{ root: "" }, { root: "a\0b" }, { root: "a", durability: "some" }]) {
      assert.throws(() => diskStore(options as { root: string }), { code: "invalid-option" });
    }
  });

  test("nothing is touched before the first use", async () => {
    await using folder = await StoreFolder.make();
    await using store = diskStore({ root: folder.path });
    assert.equal(store.description, `disk at ${folder.path}`);
    assert.match(diskStore({ root: folder.path, durability: "none" }).description, /not flushed/);
    await assert.rejects(stat(folder.path), { code: "ENOENT" });
  });

  test("a relative root is resolved against the working directory at the store's creation", async () => {
    await using folder = await StoreFolder.make();
    await mkdir(folder.path);
    const before = process.cwd();
    process.chdir(folder.path);
    try {
      await using store = diskStore({ root: "inside" });
      process.chdir(before);
      await keep(store, content(10));
      await using same = diskStore({ root: join(folder.path, "inside") });
      await assertKept(same, content(10));
    } finally {
      process.chdir(before);
    }
  });
});

describe("a full disk", needing("a mounted tmpfs"), () => {
  test("refuses what does not fit, frees its space at once, and continues with small uploads and reads", async () => {
    await using folder = await StoreFolder.make();
    await mkdir(folder.path);
    await using store = await StoreProcess.start(folder.path, { under: onTmpfs(folder.path, "4m") });
    await store.run({ do: "put", ...SMALL });
    for (let seed = 10; seed < 13; seed += 1) {
      const refused = await store.run({ do: "put", size: 8 * 1024 ** 2, seed });
      assert.equal(refused.code, "store-full");
      assert.deepEqual((await store.run({ do: "staged" })).value, []);
    }
    assert.deepEqual((await store.run({ do: "put", size: 2 * 1024 ** 2, seed: 20 })).value, { existed: false });
    assert.equal((await store.run({ do: "read", size: 2 * 1024 ** 2, seed: 20 })).value, "whole");
    assert.equal((await store.run({ do: "read", ...SMALL })).value, "whole");
  });

  test("a store that is full to the last byte still starts, reads, acknowledges stored content and removes", async () => {
    await using folder = await StoreFolder.make();
    await mkdir(folder.path);
    await using store = await StoreProcess.start(folder.path, { under: onTmpfs(folder.path, "1m") });
    for (const size of [20_000, 1]) {
      let kept = 0;
      while ((await store.run({ do: "put", size, seed: kept })).code !== "store-full") kept += 1;
      assert(kept > 0 && kept < 300, `${kept} of ${size} bytes`);
    }
    const checked = await store.run({ do: "check" });
    assert.deepEqual(checked, { value: null, logged: ["the store is full: blobs can be read, uploads are refused"] });
    assert.equal((await store.run({ do: "read", size: 20_000, seed: 0 })).value, "whole");
    assert.deepEqual((await store.run({ do: "put", size: 20_000, seed: 0 })).value, { existed: true });
    assert.equal((await store.run({ do: "remove", size: 20_000, seed: 0 })).value, true);
    assert.deepEqual((await store.run({ do: "put", size: 10_000, seed: 9 })).value, { existed: false });
  });
});
