import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { constants } from "node:os";
import { describe, test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import type { DocumentStore } from "../../src/core/document-store.ts";
import type { BlobStore } from "../../src/index.ts";
import { isFullRun, someOf } from "../helpers/full-run.ts";
import { Random } from "../helpers/random.ts";
import { needing } from "../helpers/requirements.ts";
import type { Step } from "../helpers/store-child.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { onTmpfs, StoreProcess } from "../helpers/store-process.ts";
import { Strace } from "../helpers/strace.ts";
import { CALLS, type Place, placesOf } from "./upload-stages.ts";

const NAME = "marks/one";
const OLD = "old";
const NEW = "new ".repeat(1000);
const CODES = { EIO: "store-unavailable", ENOSPC: "store-full" } as const;

/** A change of a document, and what is there before and after it; `null`: no document. */
interface Change {
  readonly name: string;
  readonly step: Step;
  readonly old: string | null;
  readonly new: string | null;
}

const WRITE: Step = { do: "write-document", name: NAME, text: NEW };
const REMOVE: Step = { do: "remove-document", name: NAME };

const CHANGES: readonly Change[] = [
  { name: "the first write of a collection", step: WRITE, old: null, new: NEW },
  { name: "an overwrite", step: WRITE, old: OLD, new: NEW },
  { name: "a removal", step: REMOVE, old: OLD, new: null },
];

function documentsOf(store: BlobStore): DocumentStore {
  return store.documents ?? assert.fail();
}

/** Makes the change in a new store, in a process of its own, under strace. */
async function change({ step, old }: Change, folder: StoreFolder, inject?: string) {
  await using store = await StoreProcess.start(folder.path, { threads: 1 });
  const before: Step[] = [{ do: "check" }];
  if (old !== null) before.push({ do: "write-document", name: NAME, text: old });
  for (const one of before) assert.equal((await store.run(one)).code, undefined);
  await using strace = await Strace.attach(store.pid, { calls: CALLS, ...(inject && { inject: [inject] }) });
  const result = await store.run(step).catch(() => null);
  if (result === null) await store.kill();
  return { result, places: [...placesOf(await strace.calls(), folder)] };
}

/** What there is after a change is its old or its new state, and the document can be used as before. */
async function proveChange(folder: StoreFolder, made: Change, outcome: "made" | "failed"): Promise<void> {
  await using store = diskStore({ root: folder.path, log: (message) => assert.fail(message) });
  const documents = documentsOf(store);
  const found = await documents.read(NAME);
  const states = outcome === "made" ? [made.new] : [made.old, made.new];
  assert.ok(states.includes(found?.text ?? null), `found ${JSON.stringify(found)?.slice(0, 80)}`);
  const listed = await Array.fromAsync(documents.list("marks/"));
  assert.deepEqual(
    listed.map(({ tag }) => tag),
    found === null ? [] : [found.tag],
  );
  await store.collect();
  assert.deepEqual(await folder.documentLeftovers(), []);
  assert.deepEqual(await documents.read(NAME), found, "a collection changes no document");
  assert.notEqual(
    await documents.write(NAME, "later", found === null ? { ifAbsent: true } : { ifMatch: found.tag }),
    null,
  );
  assert.equal((await documents.read(NAME))?.text, "later");
  assert.deepEqual(await folder.documentLeftovers(), []);
}

/** Makes the change without a fault. @returns its calls on the store's files */
async function tracePlaces(made: Change): Promise<readonly Place[]> {
  await using folder = await StoreFolder.make();
  const { result, places } = await change(made, folder);
  assert.equal(result?.code, undefined);
  await proveChange(folder, made, "made");
  return places;
}

describe("documents on a failing system", needing("strace"), () => {
  for (const made of CHANGES) {
    /** The calls of the change, traced once for all its tests. */
    let traced: Promise<readonly Place[]> | null = null;
    const placesOfChange = (): Promise<readonly Place[]> => (traced ??= tracePlaces(made));

    test(`a process that is killed at any call of ${made.name} leaves the old or the new document`, async (t) => {
      const places = await placesOfChange();
      const random = new Random();
      t.diagnostic(`repeat with TEST_SEED=${random.seed}`);
      let kills = 0;
      for (const place of someOf(places, 4, random)) {
        const [name, nth] = place.split(":");
        await using folder = await StoreFolder.make();
        const { result } = await change(made, folder, `${name}:signal=SIGKILL:when=${nth}`);
        if (result === null) kills += 1;
        await proveChange(folder, made, result === null ? "failed" : "made");
      }
      t.diagnostic(`${kills} kills of ${places.length}: ${places.join(" ")}`);
      assert.ok(kills >= (isFullRun ? 5 : 1));
    });

    for (const error of someOf(["EIO", "ENOSPC"] as const, 1)) {
      test(`${error} at any call of ${made.name} is reported and leaves the old or the new document`, async (t) => {
        const places = (await placesOfChange()).filter((place) => !place.startsWith("close:"));
        const random = new Random();
        t.diagnostic(`repeat with TEST_SEED=${random.seed}`);
        let failed = 0;
        for (const place of someOf(places, 3, random)) {
          const [name, nth] = place.split(":");
          await using folder = await StoreFolder.make();
          const { result } = await change(made, folder, `${name}:error=${error}:when=${nth}`);
          if (result?.code !== undefined) {
            failed += 1;
            assert.equal(result.code, CODES[error], `${place}: ${result.message}`);
            assert.equal(result.errno, -constants.errno[error]);
            assert.doesNotMatch(result.message ?? "", /\/|\bE[A-Z]{3,}/, "no path, no system error");
          }
          await proveChange(folder, made, result?.code === undefined ? "made" : "failed");
        }
        t.diagnostic(`${failed} of ${places.length} failed it: ${places.join(" ")}`);
        assert.ok(failed >= (isFullRun ? 3 : 1));
      });
    }
  }
});

test(
  "on a full disk a document keeps its text, can be removed, and can be written once there is room",
  needing("a mounted tmpfs"),
  async () => {
    await using outside = await StoreFolder.make();
    await mkdir(outside.path);
    await using child = await StoreProcess.start(outside.path, { under: onTmpfs(outside.path, "1m") });
    const folder = outside.seenBy(child);
    const text = "x".repeat(60_000);
    const tags: string[] = [];
    const write = (index: number, ifMatch?: string): Step => {
      const step = { do: "write-document", name: `marks/${index}`, text } as const;
      return ifMatch === undefined ? step : { ...step, ifMatch };
    };
    for (;;) {
      const { value, code } = await child.run(write(tags.length));
      if (code === undefined) tags.push(String(value));
      else {
        assert.equal(code, "store-full");
        break;
      }
    }
    assert.ok(tags.length >= 10);
    assert.equal((await child.run(write(0))).code, "store-full");
    assert.deepEqual(await folder.documentLeftovers(), []);
    assert.equal((await child.run({ do: "remove-document", name: "marks/1" })).value, true);
    assert.equal((await child.run({ do: "remove-document", name: "marks/2" })).value, true);
    const { value, code } = await child.run(write(0, tags[0]));
    assert.equal(code, undefined);
    assert.notEqual(value, null, "the refused write has changed nothing");
    assert.deepEqual(await folder.documentLeftovers(), []);
  },
);
