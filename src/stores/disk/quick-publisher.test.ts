import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { BlobStore } from "../../core/store.ts";
import { diskStore } from "../../disk.ts";
import { assertKept, content, digestOf, keep } from "../contract/tools.ts";
import { Batches } from "./batches.ts";
import { InstanceFolder } from "./instance-folder.ts";
import { Layout } from "./layout.ts";
import { thisProcess } from "./owner.ts";
import { QuickPublisher } from "./quick-publisher.ts";
import { WriteThreads } from "./write-threads.ts";

const SIZE = 1000;

let root: string;
let store: BlobStore;

const log = (message: string): void => assert.fail(message);

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "fixity-test-"));
  store = diskStore({ root, durability: "none", log: () => null });
});

afterEach(async () => {
  await store[Symbol.asyncDispose]();
  await rm(root, { recursive: true });
});

/** Keeps contents, all at once; which of them existed. */
async function keepTogether(seeds: readonly number[]): Promise<boolean[]> {
  const committed = await Promise.all(seeds.map((seed) => keep(store, content(SIZE, seed))));
  return committed.map(({ existed }) => existed);
}

test("small blobs are published by threads once these run, larger ones never", async () => {
  const bytes = content(SIZE);
  await keep(store, content(SIZE, 1));
  await store.remove(digestOf(bytes));
  const layout = new Layout(root);
  const batches = new Batches();
  for (let uploads = 0; uploads < 4; uploads += 1) batches.enter();
  await using threads = new WriteThreads(log);
  const instance = new InstanceFolder(layout, thisProcess(), log);
  const quick = new QuickPublisher({ layout, instance, batches, threads });
  assert.equal(await quick.publish(digestOf(bytes), [bytes], bytes.length), false);
  while (!threads.ready) await sleep(1);
  assert.equal(await quick.publish(digestOf(bytes), [bytes], bytes.length), true);
  await assertKept(store, bytes);
  const large = content(64 * 1024 + 1);
  assert.equal(await quick.publish(digestOf(large), [large], large.length), false);
  await instance.remove();
});

// Every round has to go well, the first ones without threads and the last ones with them.
test("many small blobs at once are stored, new or known, twice, damaged or without their folder", async () => {
  for (let round = 0; round < 10; round += 1) {
    const [one = 0, two = 0, three = 0, ...others] = Array.from({ length: 8 }, (_, index) => round * 8 + index);
    const existed = await keepTogether([one, one, two, three]);
    assert.equal(existed.filter((each) => each).length, 1);
    await truncate(new Layout(root).blob(digestOf(content(SIZE, two))), 1);
    await rm(new Layout(root).fanOut(digestOf(content(SIZE, three))), { recursive: true });
    await keepTogether([one, two, three, ...others]);
    for (const seed of [one, two, three, ...others]) await assertKept(store, content(SIZE, seed));
    const [instance = ""] = await readdir(join(root, "staging"));
    assert.deepEqual(await readdir(join(root, "staging", instance)), []);
  }
});
