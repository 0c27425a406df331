import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { BlobStore } from "../../core/store.ts";
import { diskStore } from "../../disk.ts";
import { assertAbsent, assertKept, content, digestOf, keep } from "../contract/tools.ts";
import { thisProcess } from "../../base/process-identity.ts";
import { BatchBudget } from "./batch-writer.ts";
import { FileSystem } from "./file-system.ts";
import { Layout } from "./layout.ts";
import type { DurabilityLevel } from "./options.ts";
import { Folders } from "./publisher.ts";
import { Staging } from "./staging.ts";
import { SmallBlobs } from "./write-threads.ts";

const SIZE = 1000;

let root: string;
let store: BlobStore;

const log = (message: string): void => assert.fail(message);

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "fixity-test-"));
  store = diskStore({ root, log: () => null });
});

afterEach(async () => {
  await store[Symbol.asyncDispose]();
  await rm(root, { recursive: true });
});

/** Stores contents concurrently. Returns which of them existed. */
async function keepTogether(seeds: readonly number[]): Promise<boolean[]> {
  const committed = await Promise.all(seeds.map((seed) => keep(store, content(SIZE, seed))));
  return committed.map(({ existed }) => existed);
}

/** Small blobs in the store's folder, while four uploads run. */
class Scene implements AsyncDisposable {
  readonly small: SmallBlobs;
  readonly #folders: Folders;
  readonly #staging: Staging;

  constructor(level: DurabilityLevel) {
    const layout = new Layout(root);
    const files = new FileSystem(level, log);
    const budget = new BatchBudget();
    for (let uploads = 0; uploads < 4; uploads += 1) budget.enter();
    const folders = new Folders(layout, files);
    const staging = new Staging(layout, files, thisProcess());
    this.#folders = folders;
    this.#staging = staging;
    this.small = new SmallBlobs({ layout, staging, folders, budget });
  }

  /** Whether the bytes are published. */
  async publish(bytes: Buffer, signal?: AbortSignal): Promise<boolean> {
    return await this.small.publish(digestOf(bytes), { chunks: [bytes], size: bytes.length }, signal);
  }

  async start(): Promise<void> {
    assert.equal(await this.publish(content(SIZE, 99)), false);
    while (!this.small.isReady) await sleep(1);
  }

  async settle(bytes: Buffer): Promise<void> {
    await this.#folders.create(digestOf(bytes));
    await this.#folders.settle(digestOf(bytes));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.small[Symbol.asyncDispose]();
    await this.#staging.close();
  }
}

for (const level of ["none", "full"] as const) {
  test(`threads publish small blobs once they run, and never larger ones, with durability ${level}`, async () => {
    const [bytes, large] = [content(SIZE), content(64 * 1024 + 1)];
    await using scene = new Scene(level);
    for (const each of [bytes, large]) await scene.settle(each);
    assert.equal(await scene.publish(bytes), false);
    await scene.start();
    assert.equal(await scene.publish(bytes), true);
    await assertKept(store, bytes);
    assert.equal(await scene.publish(bytes), false, "it is stored already");
    assert.equal(await scene.publish(large), false);
  });
}

test("the first durable blob in a folder goes the long way, which makes the folder durable", async () => {
  await using scene = new Scene("full");
  await scene.start();
  const bytes = content(SIZE);
  await keep(store, bytes);
  await store.remove(digestOf(bytes));
  assert.equal(await scene.publish(bytes), false);
  await scene.settle(bytes);
  assert.equal(await scene.publish(bytes), true);
});

test("an upload that is aborted before its flush leaves nothing", async () => {
  await using scene = new Scene("full");
  await scene.start();
  const bytes = content(SIZE);
  await scene.settle(bytes);
  await assert.rejects(scene.publish(bytes, AbortSignal.abort(new Error("no more"))), /no more/);
  await assertAbsent(store, digestOf(bytes));
  const [instance = ""] = await readdir(join(root, "staging"));
  assert.deepEqual(await readdir(join(root, "staging", instance)), []);
});

/**
 * Stores contents concurrently: new ones, one twice, one over a damaged blob, one whose folder was
 * removed.
 */
async function storeMany(seeds: readonly [number, number, number, ...number[]]): Promise<void> {
  const [one, two, three] = seeds;
  const existed = await keepTogether([one, one, two, three]);
  assert.equal(existed.filter((each) => each).length, 1);
  await truncate(new Layout(root).blob(digestOf(content(SIZE, two))), 1);
  await rm(new Layout(root).fanOut(digestOf(content(SIZE, three))), { recursive: true });
  await keepTogether(seeds);
  for (const seed of seeds) await assertKept(store, content(SIZE, seed));
  const [instance = ""] = await readdir(join(root, "staging"));
  assert.deepEqual(await readdir(join(root, "staging", instance)), []);
}

for (const durability of ["none", "full"] as const) {
  test(`many concurrent small blobs are stored, whether new, stored already or damaged, with durability ${durability}`, async () => {
    await store[Symbol.asyncDispose]();
    store = diskStore({ root, durability, log: () => null });
    // The first rounds run without threads, the last ones with them.
    for (let seed = 0; seed < 80; seed += 8) {
      await storeMany([seed, seed + 1, seed + 2, seed + 3, seed + 4, seed + 5, seed + 6, seed + 7]);
    }
  });
}
