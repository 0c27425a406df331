import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { chmod, stat, truncate } from "node:fs/promises";
import { dirname } from "node:path";
import { describe, test } from "node:test";
import { UploadId } from "../../src/core/upload-id.ts";
import { diskStore } from "../../src/disk.ts";
import { assertKept, content, digestOf, keep } from "../../src/stores/contract/tools.ts";
import { append, begin, bring, savedBytes, take, uploadsOf } from "../../src/stores/contract/upload-tools.ts";
import { needing } from "../helpers/requirements.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { StoreProcess } from "../helpers/store-process.ts";
import { Strace } from "../helpers/strace.ts";

const isRoot = process.getuid?.() === 0;
const WHOLE = { size: 600_000, seed: 1 };
const BYTES = content(WHOLE.size, WHOLE.seed);
const { hex: BLOB } = digestOf(BYTES);

describe("a commit of an upload", () => {
  test("makes a blob of its file without a copy, and recognises it when repeated", async () => {
    await using folder = await StoreFolder.make();
    await using store = diskStore({ root: folder.path });
    const uploads = uploadsOf(store);
    const id = await begin(uploads);
    await append(uploads, id, { bytes: BYTES });
    for (let round = 0; round < 2; round += 1) {
      await using held = await take(uploads, id);
      assert.deepEqual(await held.commit(digestOf(BYTES)), { existed: false });
      assert.equal((await stat(folder.blob(BLOB))).nlink, 2);
    }
    await using held = await take(uploads, id);
    await held.conclude("done");
    assert.equal((await stat(folder.blob(BLOB))).nlink, 1);
    assert.deepEqual(await folder.wholeBlobs(), new Set([BLOB]));
  });

  test("replaces a damaged blob", async () => {
    await using folder = await StoreFolder.make();
    await using store = diskStore({ root: folder.path, log: () => null });
    const uploads = uploadsOf(store);
    await keep(store, BYTES);
    await truncate(folder.blob(BLOB), 5);
    const id = await begin(uploads);
    await append(uploads, id, { bytes: BYTES });
    await using held = await take(uploads, id);
    assert.deepEqual(await held.commit(digestOf(BYTES)), { existed: false });
    await assertKept(store, BYTES);
    assert.ok((await savedBytes(held))?.equals(BYTES), "the upload still has its own");
  });

  for (const error of ["EPERM", "EACCES", "EINVAL"]) {
    test(`stores a copy on a file system that answers ${error} to hard links`, needing("strace"), async () => {
      await using folder = await StoreFolder.make();
      await using store = await StoreProcess.start(folder.path);
      const upload = { do: "upload", id: randomBytes(16).toString("hex") } as const;
      await store.run({ ...upload, call: "create", record: "begun" });
      await store.run({ ...upload, call: "hold" });
      await store.run({ ...upload, call: "write", of: WHOLE, from: 0, to: WHOLE.size });
      await store.run({ ...upload, call: "save", record: "whole" });
      {
        await using strace = await Strace.attach(store.pid, { calls: ["link"], inject: [`link:error=${error}`] });
        assert.deepEqual((await store.run({ ...upload, call: "commit", of: WHOLE })).value, { existed: false });
        assert.ok((await strace.calls()).some(({ injected }) => injected));
      }
      assert.deepEqual(await folder.wholeBlobs(), new Set([BLOB]));
      assert.equal((await store.run({ ...upload, call: "has", of: WHOLE })).value, true);
      assert.equal((await store.run({ ...upload, call: "conclude", record: "done" })).code, undefined);
    });
  }

  test(
    "works for a user who may not write to read-only files, and a later append begins a new file",
    { skip: !isRoot && "needs root" },
    async () => {
      await using folder = await StoreFolder.make();
      await diskStore({ root: folder.path }).check();
      for (const path of [dirname(folder.path), folder.path]) await chmod(path, 0o755);
      for (const name of ["blobs", "staging", "uploads"]) await chmod(`${folder.path}/${name}`, 0o777);
      await using store = await StoreProcess.start(folder.path);
      await store.run({ do: "become-nobody" });
      const upload = { do: "upload", id: randomBytes(16).toString("hex") } as const;
      await store.run({ ...upload, call: "create", record: "begun" });
      await store.run({ ...upload, call: "hold" });
      await store.run({ ...upload, call: "write", of: WHOLE, from: 0, to: WHOLE.size });
      assert.deepEqual((await store.run({ ...upload, call: "save", record: "whole" })).code, undefined);
      for (let round = 0; round < 2; round += 1) {
        assert.deepEqual((await store.run({ ...upload, call: "commit", of: WHOLE })).value, { existed: false });
        await store.run({ ...upload, call: "release" });
        assert.deepEqual((await store.run({ ...upload, call: "hold" })).value, {
          record: "whole",
          offset: WHOLE.size,
        });
      }
      await store.run({ ...upload, call: "write", of: WHOLE, from: 0, to: 1000 });
      assert.deepEqual((await store.run({ ...upload, call: "save", record: "more" })).code, undefined);
      assert.deepEqual(await folder.wholeBlobs(), new Set([BLOB]));
      assert.equal((await folder.uploadFiles(upload.id))?.filter((name) => name.startsWith("bytes.")).length, 2);
    },
  );
});

test("a truncated file of an upload is reported and makes no blob", async () => {
  await using folder = await StoreFolder.make();
  await using store = diskStore({ root: folder.path });
  const uploads = uploadsOf(store);
  const id = await begin(uploads);
  await append(uploads, id, { bytes: BYTES });
  const name = (await folder.uploadFiles(id.hex))?.find((each) => each.startsWith("bytes.")) ?? "";
  await truncate(`${folder.upload(id.hex)}/${name}`, 1000);
  await using held = await take(uploads, id);
  await assert.rejects(savedBytes(held), { code: "blob-damaged" });
  await assert.rejects(held.commit(digestOf(BYTES)), { code: "store-unavailable" });
  assert.equal(await store.stat(digestOf(BYTES)), null);
});

test("other files in the folder of uploads are ignored and left unchanged", async () => {
  await using folder = await StoreFolder.make();
  await using store = diskStore({ root: folder.path });
  const uploads = uploadsOf(store);
  const id = await begin(uploads);
  await using other = diskStore({ root: folder.upload(UploadId.random().hex) });
  await other.check();
  await store.collect();
  const found: string[] = [];
  for await (const { id } of uploads.list()) found.push(id.hex);
  assert.equal(found.length, 2);
  assert.ok(found.includes(id.hex));
  for (const hex of found.filter((one) => one !== id.hex)) {
    await assert.rejects(uploads.hold(UploadId.parse(hex)), { code: "store-unavailable" });
  }
});

test("unsaved bytes are overwritten, and cut off after the bytes that count", async () => {
  await using folder = await StoreFolder.make();
  await using store = diskStore({ root: folder.path });
  const uploads = uploadsOf(store);
  const id = await begin(uploads);
  await append(uploads, id, { bytes: BYTES.subarray(0, 1000) });
  {
    await using held = await take(uploads, id);
    await bring(held, content(3_000_000, 9));
  }
  await append(uploads, id, { bytes: BYTES.subarray(1000) });
  await using held = await take(uploads, id);
  await held.commit(digestOf(BYTES));
  assert.equal((await stat(folder.blob(BLOB))).size, BYTES.length);
  await assertKept(store, BYTES);
});
