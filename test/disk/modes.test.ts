import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import { needing } from "../helpers/requirements.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { StoreProcess } from "../helpers/store-process.ts";
import { Strace } from "../helpers/strace.ts";
import { CALLS, proveUpload, stepOf, STAGES, stepsBefore } from "./upload-stages.ts";

describe("a file system that refuses fchmod", needing("strace"), () => {
  for (const error of ["EPERM", "EACCES", "ENOSYS", "EOPNOTSUPP", "EINVAL"]) {
    test(`with ${error}: a resumed upload is completed`, async () => {
      await using folder = await StoreFolder.make();
      await using store = diskStore({ root: folder.path });
      await store.check();
      const stage = STAGES.find(({ call }) => call === "commit");
      assert.ok(stage !== undefined);
      const id = randomBytes(16).toString("hex");
      await using child = await StoreProcess.start(folder.path, { threads: 1 });
      for (const step of stepsBefore("commit", id)) assert.equal((await child.run(step)).code, undefined);
      const inject = [`fchmod:error=${error}`];
      await using strace = await Strace.attach(child.pid, { calls: [...CALLS, "fchmod"], inject });
      const result = await child.run(stepOf("commit", id));
      assert.equal(result.code, undefined, result.message);
      assert.ok((await strace.calls()).some(({ name }) => name === "fchmod"));
      assert.equal((await child.run({ do: "upload", id, call: "release" })).code, undefined);
      await proveUpload(store, id, { ...stage, old: stage.new });
    });
  }
});
