import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { constants } from "node:os";
import { describe, test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import { digestOf } from "../../src/stores/contract/tools.ts";
import { idsIn, uploadsOf } from "../../src/stores/contract/upload-tools.ts";
import type { StepResult } from "../helpers/store-child.ts";
import { isFullRun, someOf } from "../helpers/full-run.ts";
import { Random } from "../helpers/random.ts";
import { needing } from "../helpers/requirements.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { StoreProcess } from "../helpers/store-process.ts";
import { Strace } from "../helpers/strace.ts";
import { pathOf, type TracedCall } from "../helpers/trace.ts";
import { BYTES, CALLS, placesOf, proveUpload, type Stage, STAGES, stepOf, stepsBefore } from "./upload-stages.ts";

const CODES = { EIO: "store-unavailable", ENOSPC: "store-full" } as const;

interface Outcome {
  readonly id: string;
  readonly result: StepResult;
  readonly calls: readonly TracedCall[];
}

/** Does one step of a new upload while a call fails, and lets go of it. */
async function doWith(folder: StoreFolder, call: Stage["call"], inject?: string): Promise<Outcome> {
  const id = randomBytes(16).toString("hex");
  await using store = await StoreProcess.start(folder.path, { threads: 1 });
  for (const step of stepsBefore(call, id)) assert.equal((await store.run(step)).code, undefined);
  await using strace = await Strace.attach(store.pid, { calls: CALLS, ...(inject && { inject: [inject] }) });
  const result = await store.run(stepOf(call, id));
  const calls = await strace.calls();
  if (call !== "create") {
    const again = stepOf("save", id);
    if (result.code !== undefined) assert.equal((await store.run(again)).code, result.code, "it has failed for good");
    assert.equal((await store.run({ do: "upload", id, call: "release" })).code, undefined);
  }
  const token = (await folder.uploadFiles(id))?.find((name) => name.includes("-held-"));
  assert.equal(token, undefined, "it is held no more");
  return { id, result, calls };
}

describe("a system call that fails", needing("strace"), () => {
  for (const stage of STAGES) {
    for (const error of someOf(["EIO", "ENOSPC"] as const, 1)) {
      test(`with ${error} in a ${stage.call}: it is reported, and the upload continues from the last save`, async (t) => {
        await using folder = await StoreFolder.make();
        await using store = diskStore({ root: folder.path });
        await store.check();
        const { id, calls } = await doWith(folder, stage.call);
        await proveUpload(store, id, { ...stage, old: stage.new });
        const places = [...placesOf(calls, folder)].filter((place) => !place.startsWith("close:"));
        const random = new Random();
        t.diagnostic(`repeat with TEST_SEED=${random.seed}`);
        let failed = 0;
        for (const place of someOf(places, 5, random)) {
          const [name, nth] = place.split(":");
          await store.remove(digestOf(BYTES));
          const { id, result } = await doWith(folder, stage.call, `${name}:error=${error}:when=${nth}`);
          if (result.code !== undefined) {
            failed += 1;
            assert.equal(result.code, CODES[error], `${place}: ${result.message}`);
            assert.equal(result.errno, -constants.errno[error]);
            assert.doesNotMatch(result.message ?? "", /\/|\bE[A-Z]{3,}/, "no path, no system error");
          }
          await proveUpload(store, id, result.code === undefined ? { ...stage, old: stage.new } : stage);
          await folder.wholeBlobs();
        }
        t.diagnostic(`${failed} of ${places.length} failed it`);
        assert.ok(failed >= (isFullRun ? 3 : 1));
        await store.collect();
        assert.deepEqual(await idsIn(uploadsOf(store)), []);
        assert.deepEqual(await folder.uploadLeftovers(), []);
        assert.deepEqual(await folder.staged(), []);
      });
    }
  }

  test("a file whose flush failed is not flushed again by its holder, and its bytes do not count", async () => {
    await using folder = await StoreFolder.make();
    const { id, result, calls } = await doWith(folder, "save", "fdatasync:error=EIO:when=1");
    assert.equal(result.code, "store-unavailable");
    const bytes = calls.filter((call) => pathOf(call)?.includes("/bytes.") === true);
    assert.equal(
      bytes.findIndex(({ injected }) => injected),
      bytes.findLastIndex(({ name }) => name === "fdatasync"),
    );
    await using store = diskStore({ root: folder.path });
    const saved = STAGES.find(({ call }) => call === "save");
    assert.ok(saved !== undefined);
    await proveUpload(store, id, { ...saved, new: saved.old });
  });
});
