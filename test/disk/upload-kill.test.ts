import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import { digestOf } from "../../src/stores/contract/tools.ts";
import { idsIn, uploadsOf } from "../../src/stores/contract/upload-tools.ts";
import { isFullRun, someOf } from "../helpers/full-run.ts";
import { Random } from "../helpers/random.ts";
import { needing } from "../helpers/requirements.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { StoreProcess } from "../helpers/store-process.ts";
import { Strace } from "../helpers/strace.ts";
import { BYTES, CALLS, placesOf, proveUpload, type Stage, STAGES, stepOf, stepsBefore } from "./upload-stages.ts";

/** Does one step of a new upload under strace; whether it was answered, and where it can be killed. */
async function doTraced(folder: StoreFolder, call: Stage["call"], inject?: string) {
  const id = randomBytes(16).toString("hex");
  // One thread for file work: then a trace's count of a call is the upload's, and not that of one thread of many.
  await using store = await StoreProcess.start(folder.path, { threads: 1 });
  for (const step of stepsBefore(call, id)) assert.equal((await store.run(step)).code, undefined);
  await using strace = await Strace.attach(store.pid, { calls: CALLS, ...(inject && { inject: [inject] }) });
  const answered = await store.run(stepOf(call, id)).then(
    ({ code }) => code === undefined,
    () => false,
  );
  if (!answered) await store.kill();
  return { id, answered, places: placesOf(await strace.calls(), folder) };
}

describe("a process that is killed at any call", needing("strace"), () => {
  for (const stage of STAGES) {
    test(`of a ${stage.call} leaves the upload in its old or its new state`, async (t) => {
      await using folder = await StoreFolder.make();
      await using store = diskStore({ root: folder.path });
      await store.check();
      const { id, answered, places } = await doTraced(folder, stage.call);
      assert.ok(answered);
      await proveUpload(store, id, { ...stage, old: stage.new });
      const random = new Random();
      t.diagnostic(`repeat with TEST_SEED=${random.seed}`);
      let kills = 0;
      for (const place of someOf([...places], 6, random)) {
        const [name, nth] = place.split(":");
        await store.remove(digestOf(BYTES));
        const killed = await doTraced(folder, stage.call, `${name}:signal=SIGKILL:when=${nth}`);
        // a name may be called more often in one run than in another, beside those of the step
        if (!killed.answered) kills += 1;
        await proveUpload(store, killed.id, killed.answered ? { ...stage, old: stage.new } : stage);
        await folder.wholeBlobs();
      }
      t.diagnostic(`${kills} kills of ${places.size}: ${[...places].join(" ")}`);
      assert.ok(kills >= (isFullRun ? 5 : 1));
      await store.collect();
      assert.deepEqual(await idsIn(uploadsOf(store)), []);
      assert.deepEqual(await folder.uploadLeftovers(), []);
      assert.deepEqual(await folder.staged(), []);
    });
  }
});
