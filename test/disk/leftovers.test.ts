/** Files whose removal fails: nothing else fails by that, and the same process removes them later. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { stat } from "node:fs/promises";
import { describe, test } from "node:test";
import { content, digestOf } from "../../src/stores/contract/tools.ts";
import { isFullRun } from "../helpers/full-run.ts";
import { needing } from "../helpers/requirements.ts";
import type { Step } from "../helpers/store-child.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { StoreProcess } from "../helpers/store-process.ts";
import { Strace } from "../helpers/strace.ts";
import { stepOf, stepsBefore } from "./upload-stages.ts";

const REMOVALS = ["unlink", "rmdir"];

/** Work that removes files, and what it leaves where no removal succeeds. */
interface Work {
  readonly name: string;
  readonly before: readonly Step[];
  readonly steps: readonly Step[];
  readonly left: (folder: StoreFolder) => Promise<number>;
  /** How many of them the collection counts: staging files that are no second name of a blob. */
  readonly collected?: number;
}

const staged = async (folder: StoreFolder): Promise<number> => (await folder.staged()).length;

const SMALL = { size: 1000, seed: 2 } as const;
const LARGE = { size: 3 * 1024 ** 2, seed: 3 } as const;
const ID = randomBytes(16).toString("hex");
const MANY = (from: number): Step => ({
  do: "put-together",
  size: 1000,
  seeds: Array.from({ length: 32 }, (_, index) => from + index),
});

const WORK: readonly Work[] = [
  { name: "a small file", before: [], steps: [{ do: "put", ...SMALL }], left: staged },
  { name: "a large file", before: [], steps: [{ do: "put", ...LARGE }], left: staged },
  {
    name: "many small files",
    // the first ones make the folders durable and start the threads
    before: [MANY(0), MANY(100)],
    steps: [MANY(200), MANY(300), MANY(400)],
    left: staged,
  },
  {
    name: "a large file that is stored already",
    before: [{ do: "put", ...LARGE }],
    steps: [{ do: "put", ...LARGE }],
    left: staged,
    collected: 1,
  },
  {
    name: "the bytes of a completed upload",
    before: stepsBefore("conclude", ID),
    steps: [stepOf("conclude", ID), { do: "upload", id: ID, call: "release" }],
    left: async (folder) => ((await folder.uploadFiles(ID)) ?? []).filter((name) => name.startsWith("bytes.")).length,
  },
  {
    name: "a removed upload",
    before: stepsBefore("commit", ID),
    steps: [stepOf("remove", ID)],
    left: async (folder) => (await folder.uploadLeftovers()).length,
  },
];

const ENDS = [
  ["collect", "EIO"],
  ["close", "EBUSY"],
] as const;

describe("while removals fail", needing("strace"), () => {
  for (const [index, { name, before, steps, left, collected = 0 }] of WORK.entries()) {
    for (const [end, error] of ENDS) {
      // each work with one end, in turn
      if (!isFullRun && end !== ENDS[index % ENDS.length]?.[0]) continue;
      test(`with ${error}, the remains of ${name} are removed when the store ${end === "close" ? "is closed" : "collects"}`, async () => {
        await using folder = await StoreFolder.make();
        await using child = await StoreProcess.start(folder.path);
        for (const step of [{ do: "check" } as const, ...before]) assert.equal((await child.run(step)).code, undefined);
        const strace = await Strace.attach(child.pid, {
          calls: REMOVALS,
          inject: REMOVALS.map((call) => `${call}:error=${error}`),
        });
        for (const step of steps) {
          const { code, message, logged } = await child.run(step);
          assert.equal(code, undefined, message);
          assert.ok(logged.every((line) => line.endsWith("could not be removed; the next collection tries again")));
        }
        assert.deepEqual((await child.run({ do: "collect" })).value, { staged: 0, bytes: 0 }, "none succeeds yet");
        await strace[Symbol.asyncDispose]();
        assert.ok((await left(folder)) > 0);
        const { value } = await child.run({ do: end });
        if (end === "collect") assert.equal((value as { staged: number }).staged, collected);
        assert.equal(await left(folder), 0);
        if (end === "close") assert.deepEqual(await folder.instances(), []);
        await folder.wholeBlobs();
      });
    }
  }

  test("a temporary record of a save that failed is removed by the next collection", async () => {
    await using folder = await StoreFolder.make();
    await using child = await StoreProcess.start(folder.path, { threads: 1 });
    for (const step of stepsBefore("save", ID)) assert.equal((await child.run(step)).code, undefined);
    const strace = await Strace.attach(child.pid, {
      calls: ["rename", "unlink"],
      inject: ["rename:error=EIO", "unlink:error=EIO"],
    });
    assert.equal((await child.run(stepOf("save", ID))).code, "store-unavailable");
    await strace[Symbol.asyncDispose]();
    const temporary = async () => ((await folder.uploadFiles(ID)) ?? []).filter((name) => /record\./.test(name));
    assert.equal((await temporary()).length, 1);
    await child.run({ do: "collect" });
    assert.deepEqual(await temporary(), []);
  });

  test("a release request that could not be withdrawn is removed later and disturbs no holder", async () => {
    await using folder = await StoreFolder.make();
    await using holder = await StoreProcess.start(folder.path);
    await using other = await StoreProcess.start(folder.path);
    const upload = { do: "upload", id: ID } as const;
    await holder.run({ ...upload, call: "create", record: "begun" });
    await holder.run({ ...upload, call: "hold", polite: "let go" });
    const strace = await Strace.attach(other.pid, { calls: REMOVALS, inject: ["unlink:error=EIO"] });
    assert.equal((await other.run({ ...upload, call: "hold" })).code, undefined);
    await strace[Symbol.asyncDispose]();
    assert.equal((await folder.uploadLeftovers()).length, 1);
    await other.run({ do: "collect" });
    assert.deepEqual(await folder.uploadLeftovers(), []);
  });

  test("a blob whose staging name remained for a while frees its space when it is removed", async () => {
    await using folder = await StoreFolder.make();
    await using child = await StoreProcess.start(folder.path);
    const strace = await Strace.attach(child.pid, { calls: REMOVALS, inject: ["unlink:error=EIO:when=1"] });
    await child.run({ do: "put", ...SMALL });
    await strace[Symbol.asyncDispose]();
    const path = folder.blob(digestOf(content(SMALL.size, SMALL.seed)).hex);
    assert.equal((await stat(path)).nlink, 2);
    await child.run({ do: "collect" });
    assert.equal((await stat(path)).nlink, 1);
  });
});
