import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { UploadId } from "../../src/core/upload-id.ts";
import { diskStore } from "../../src/disk.ts";
import { assertKept, content, digestOf } from "../../src/stores/contract/tools.ts";
import { append, assertRead, assertSaved, bring, take, uploadsOf } from "../../src/stores/contract/upload-tools.ts";
import { isFullRun, someOf } from "../helpers/full-run.ts";
import { Random } from "../helpers/random.ts";
import { needing } from "../helpers/requirements.ts";
import { settled } from "../helpers/settled.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { StoreProcess } from "../helpers/store-process.ts";
import { Strace } from "../helpers/strace.ts";

const MIB = 1024 ** 2;
const OURS = { size: 3 * MIB, seed: 1 };
const THEIRS = { size: 3 * MIB, seed: 2 };
const SUPERSEDED = "upload-superseded";

const newId = (): string => randomBytes(16).toString("hex");

function idOf(hex: string): UploadId {
  return UploadId.parse(hex);
}

/** A process that holds an upload whose first mebibyte is saved, and has written another, of other content, behind it. */
async function holding(folder: StoreFolder, id: string, threads = 4): Promise<StoreProcess> {
  const store = await StoreProcess.start(folder.path, { threads });
  const upload = { do: "upload", id } as const;
  await store.run({ ...upload, call: "create", record: "begun" });
  await store.run({ ...upload, call: "hold" });
  await store.run({ ...upload, call: "write", of: OURS, from: 0, to: MIB });
  await store.run({ ...upload, call: "save", record: "one" });
  await store.run({ ...upload, call: "write", of: THEIRS, from: MIB, to: 2 * MIB });
  return store;
}

/** Takes the upload from wherever it is, brings what is missing of `OURS`, and makes it a blob. */
async function finish(folder: StoreFolder, id: string): Promise<void> {
  await using store = diskStore({ root: folder.path });
  const uploads = uploadsOf(store);
  const bytes = content(OURS.size, OURS.seed);
  const { offset = 0 } = (await uploads.read(idOf(id))) ?? {};
  await append(uploads, idOf(id), { bytes: bytes.subarray(offset), record: "whole" });
  await using held = await take(uploads, idOf(id));
  assert.deepEqual(await held.commit(digestOf(bytes)), { existed: false });
  await assertKept(store, bytes);
  await held.conclude("done");
  assert.deepEqual(await folder.wholeBlobs(), new Set([digestOf(bytes).hex]));
}

describe("an upload that another process holds", () => {
  test("is released on request, with everything that had arrived", async () => {
    await using folder = await StoreFolder.make();
    const id = newId();
    await using other = await StoreProcess.start(folder.path);
    const upload = { do: "upload", id } as const;
    await other.run({ ...upload, call: "create", record: "begun" });
    await other.run({ ...upload, call: "hold", polite: "given up" });
    await other.run({ ...upload, call: "write", of: OURS, from: 0, to: 2 * MIB + 1 });
    await using store = diskStore({ root: folder.path });
    await using held = await take(uploadsOf(store), idOf(id));
    assert.deepEqual([held.record, held.offset], ["given up", 2 * MIB + 1]);
    assert.equal((await other.run({ ...upload, call: "save", record: "late" })).code, "internal-error");
    await held[Symbol.asyncDispose]();
    assert.deepEqual(await folder.uploadLeftovers(), []);
    await finish(folder, id);
  });

  test("is taken at once if that process is dead, and continues in the same file", async () => {
    await using folder = await StoreFolder.make();
    const id = newId();
    await using dying = await holding(folder, id);
    await dying.kill();
    const before = await folder.uploadFiles(id);
    await using store = diskStore({ root: folder.path });
    {
      await using held = await take(uploadsOf(store), idOf(id));
      assert.deepEqual([held.record, held.offset], ["one", MIB]);
      // A dead process is not asked.
      assert.deepEqual(await folder.uploadLeftovers(), []);
      await bring(held, content(OURS.size, OURS.seed).subarray(MIB, MIB + 10));
      await held.save("two");
    }
    const bytesIn = (names: readonly string[] | null) => names?.filter((name) => name.startsWith("bytes."));
    assert.deepEqual(bytesIn(await folder.uploadFiles(id)), bytesIn(before), "no copy, no second file");
    await assertSaved(uploadsOf(store), idOf(id), {
      bytes: content(OURS.size, OURS.seed).subarray(0, MIB + 10),
      record: "two",
    });
    await finish(folder, id);
  });

  test("is taken from a stopped process, and what that process does later affects nothing", async () => {
    await using folder = await StoreFolder.make();
    const id = newId();
    await using stopped = await holding(folder, id);
    stopped.stop();
    await using store = diskStore({ root: folder.path });
    const uploads = uploadsOf(store);
    const bytes = content(OURS.size, OURS.seed);
    const upload = { do: "upload", id } as const;
    {
      await using held = await take(uploads, idOf(id));
      assert.deepEqual([held.record, held.offset], ["one", MIB]);
      await bring(held, bytes.subarray(MIB, 2 * MIB));
      await held.save("two");
      stopped.goOn();
      await stopped.run({ ...upload, call: "write", of: THEIRS, from: 2 * MIB, to: 3 * MIB });
      assert.equal((await stopped.run({ ...upload, call: "save", record: "theirs" })).code, SUPERSEDED);
      await bring(held, bytes.subarray(2 * MIB));
      await held.save("three");
    }
    assert.equal((await stopped.run({ ...upload, call: "commit", of: THEIRS })).code, SUPERSEDED);
    assert.equal((await stopped.run({ ...upload, call: "release" })).code, undefined);
    await assertSaved(uploads, idOf(id), { bytes, record: "three" });
    await finish(folder, id);
  });

  test("whose stopped holder had saved nothing continues with one file", async () => {
    await using folder = await StoreFolder.make();
    const id = newId();
    await using stopped = await StoreProcess.start(folder.path);
    const upload = { do: "upload", id } as const;
    await stopped.run({ ...upload, call: "create", record: "begun" });
    await stopped.run({ ...upload, call: "hold" });
    await stopped.run({ ...upload, call: "write", of: THEIRS, from: 0, to: MIB });
    stopped.stop();
    await using store = diskStore({ root: folder.path });
    await append(uploadsOf(store), idOf(id), { bytes: content(OURS.size, OURS.seed), record: "all" });
    const files = (await folder.uploadFiles(id))?.filter((name) => name.startsWith("bytes.")) ?? [];
    assert.equal(files.length, 1);
    const inode = (await stat(`${folder.upload(id)}/${files[0]}`)).ino;
    await finish(folder, id);
    assert.equal((await stat(folder.blob(digestOf(content(OURS.size, OURS.seed)).hex))).ino, inode, "not copied");
    stopped.goOn();
    assert.equal((await stopped.run({ ...upload, call: "save", record: "theirs" })).code, SUPERSEDED);
    await folder.wholeBlobs();
  });
});

/** Whether a process stands still: a tracer holds it up now and then, but not for long. */
async function standsStill(pid: number): Promise<boolean> {
  for (let looks = 0; looks < 5; looks += 1) {
    const state = (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ")[1];
    if (!/^[tT]/.test(state ?? "")) return false;
    await sleep(20);
  }
  return true;
}

/** The system calls after which a holder is stopped, before the next one. */
const WRITES = ["write", "pwritev", "pwrite64", "fdatasync", "fsync", "openat", "close", "rename"];
const STOPS = { save: WRITES, commit: ["openat", "fchmod", "ftruncate", "fsync", "link"], conclude: WRITES } as const;

describe("a holder that is stopped in the middle", needing("strace"), () => {
  for (const call of ["save", "commit", "conclude"] as const) {
    test(`of a ${call}, after any system call, changes nothing for its successor`, async (t) => {
      let stops = 0;
      const random = new Random();
      t.diagnostic(`repeat with TEST_SEED=${random.seed}`);
      for (const stop of someOf(STOPS[call], 4, random)) {
        await using folder = await StoreFolder.make();
        const id = newId();
        await using stopped = await holding(folder, id, 1);
        const inject = [`${stop}:signal=SIGSTOP:when=1`];
        await using strace = await Strace.attach(stopped.pid, { calls: [stop], inject });
        const upload = { do: "upload", id } as const;
        const running = stopped.run(
          call === "commit" ? { ...upload, call, of: { ...OURS, size: MIB } } : { ...upload, call, record: "theirs" },
        );
        let answered = false;
        void running.then(() => (answered = true));
        await settled(async () => answered || (await standsStill(stopped.pid)), Boolean);
        if (answered) {
          assert.equal((await running).code, undefined, `there is no ${stop} in a ${call}`);
          continue;
        }
        stops += 1;
        await using store = diskStore({ root: folder.path });
        const uploads = uploadsOf(store);
        const taken = (await uploads.hold(idOf(id))) ?? assert.fail("the upload is there");
        // a conclusion that has become visible is reported, and not taken
        await using held = taken.status === "held" ? taken : null;
        const { record } = taken;
        const offset = held?.offset ?? 0;
        await strace.calls();
        stopped.goOn();
        assert.equal((await running).code, SUPERSEDED, `${call} after ${stop}`);
        // what was taken over has not changed
        await assertRead(uploads, idOf(id), { record, offset });
        await held?.[Symbol.asyncDispose]();
        const theirs = await stopped.run({ ...upload, call: "has", of: OURS });
        assert.notEqual(theirs.value, true);
        assert.ok(record === "one" || record === "theirs");
        assert.equal(offset, record === "one" ? MIB : call === "save" ? 2 * MIB : 0);
      }
      assert.ok(stops >= (isFullRun ? 4 : 1), `stopped at ${stops} calls`);
    });
  }
});
