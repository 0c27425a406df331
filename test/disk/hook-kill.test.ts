import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { diskStore } from "../../src/disk.ts";
import { createFixity, UploadId } from "../../src/index.ts";
import { assertKept, digestOf } from "../../src/stores/contract/tools.ts";
import { isFullRun, someOf } from "../helpers/full-run.ts";
import { HOOKED_CONTENT } from "../helpers/hooked-content.ts";
import { Random } from "../helpers/random.ts";
import { needing } from "../helpers/requirements.ts";
import { Strace } from "../helpers/strace.ts";
import { CALLS, type Place, placesOf } from "./upload-stages.ts";

const CHILD = fileURLToPath(new URL("../helpers/hook-child.ts", import.meta.url));

/** A folder for a store and the log of its hook. */
class HookedPlace implements AsyncDisposable {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  static async make(): Promise<HookedPlace> {
    return new HookedPlace(await mkdtemp(join(tmpdir(), "fixity-hook-")));
  }

  get store(): string {
    return join(this.path, "store");
  }

  get log(): string {
    return join(this.path, "hook.log");
  }

  /** The keys of all calls of the hook in the process that was killed. */
  async calls(): Promise<string[]> {
    const text = await readFile(this.log, "utf8").catch(() => "");
    return text.split("\n").filter((line) => line.length === 32);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true });
  }
}

/** Sends a whole upload to a service with a hook, in a process under strace. */
async function uploadTraced(place: HookedPlace, inject?: string) {
  // one thread for file work: then a trace's count of a call is the upload's
  const env = { ...process.env, UV_THREADPOOL_SIZE: "1" };
  const child = spawn(process.execPath, [CHILD, place.store, place.log], { env, stdio: ["pipe", "pipe", "inherit"] });
  const exit = once(child, "exit");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const { value: id } = await lines.next();
  assert.equal(typeof id, "string");
  let isAcknowledged: boolean;
  let places: Set<Place>;
  {
    await using strace = await Strace.attach(child.pid ?? 0, { calls: CALLS, ...(inject && { inject: [inject] }) });
    child.stdin.on("error", () => null);
    child.stdin.write("go\n");
    isAcknowledged = (await lines.next()).value === "acknowledged";
    await exit;
    places = placesOf(await strace.calls(), place);
  }
  return { id: UploadId.parse(String(id)), isAcknowledged, places };
}

/** The next process: the client asks for its upload and brings it to its end. */
async function finish(place: HookedPlace, id: UploadId) {
  await using store = diskStore({ root: place.store });
  const keys: string[] = [];
  const fixity = createFixity({ store, onStored: (_receipt, { key }) => void keys.push(key) });
  const uploads = fixity.uploads ?? assert.fail("the store keeps uploads");
  const found = await uploads.find(id);
  const isEndedByKilled = found.outcome !== null && keys.length === 0;
  const rest = { offset: found.offset, source: [Buffer.from(HOOKED_CONTENT.subarray(found.offset))], completes: true };
  const { outcome } = found.outcome === null ? await uploads.append(id, rest) : found;
  assert.ok(outcome !== null && "digest" in outcome && outcome.digest.equals(digestOf(HOOKED_CONTENT)));
  await assertKept(store, HOOKED_CONTENT);
  const before = keys.length;
  await uploads.find(id, { retriesHook: true });
  await uploads.append(id, { offset: HOOKED_CONTENT.length, source: [], completes: true });
  assert.equal(keys.length, before, "a replay does not call the hook");
  return { keys, isEndedByKilled };
}

test(
  "a process that is killed at any call of an upload with a hook: its hook has run before it counts as complete",
  needing("strace"),
  async (t) => {
    const random = new Random();
    t.diagnostic(`repeat with TEST_SEED=${random.seed}`);
    let places: Set<Place>;
    {
      await using place = await HookedPlace.make();
      const whole = await uploadTraced(place);
      assert.ok(whole.isAcknowledged);
      assert.deepEqual(await place.calls(), [whole.id.hex]);
      const { keys, isEndedByKilled } = await finish(place, whole.id);
      assert.deepEqual([keys, isEndedByKilled], [[], true]);
      places = whole.places;
    }
    let kills = 0;
    const states = { before: 0, called: 0, ended: 0 };
    for (const at of someOf([...places], 7, random)) {
      const [name, nth] = at.split(":");
      await using place = await HookedPlace.make();
      const { id, isAcknowledged } = await uploadTraced(place, `${name}:signal=SIGKILL:when=${nth}`);
      if (!isAcknowledged) kills += 1;
      const calls = await place.calls();
      const { keys, isEndedByKilled } = await finish(place, id);
      if (isAcknowledged || isEndedByKilled) assert.deepEqual(calls, [id.hex], at);
      if (isEndedByKilled) assert.deepEqual(keys, [], at);
      assert.ok(calls.length + keys.length >= 1, at);
      for (const key of [...calls, ...keys]) assert.equal(key, id.hex, at);
      states[isEndedByKilled ? "ended" : calls.length > 0 ? "called" : "before"] += 1;
    }
    t.diagnostic(`${kills} kills of ${places.size}: ${JSON.stringify(states)}`);
    assert.ok(kills >= (isFullRun ? 10 : 3));
  },
);
