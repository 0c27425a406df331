import assert from "node:assert/strict";
import { truncate } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { content, digestOf } from "../../src/stores/contract/tools.ts";
import { needing } from "../helpers/requirements.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { StoreProcess } from "../helpers/store-process.ts";
import { Strace } from "../helpers/strace.ts";
import { pathOf, targetOf, type TracedCall } from "../helpers/trace.ts";

const SMALL = { size: 1000, seed: 1 } as const;
const LARGE = { size: 3 * 1024 ** 2, seed: 2 } as const;

const PUBLISHING: ReadonlySet<string> = new Set(["link", "linkat", "rename", "renameat", "renameat2"]);

/** What happened in the life of one blob, as a trace has it. */
class Story {
  readonly #calls: readonly TracedCall[];
  readonly #folder: StoreFolder;
  readonly #hex: string;

  constructor(calls: readonly TracedCall[], folder: StoreFolder, { size, seed }: { size: number; seed: number }) {
    this.#calls = calls.filter(({ result }) => result !== null && result >= 0);
    this.#folder = folder;
    this.#hex = digestOf(content(size, seed)).hex;
  }

  get #place(): string {
    return this.#folder.blob(this.#hex);
  }

  /** The moment when the upload was acknowledged. */
  acknowledged(): TracedCall {
    return this.#one((call) => call.name === "write" && call.args.includes(`"${this.#hex}"`), "acknowledgement");
  }

  published(): TracedCall {
    return this.#one((call) => PUBLISHING.has(call.name) && targetOf(call) === this.#place, "publication");
  }

  writes(path: string): TracedCall[] {
    return this.#calls.filter((call) => call.name.includes("write") && pathOf(call) === path);
  }

  /** A flush of a file or folder that began after one call had ended and had ended before another began. */
  assertFlushed(path: string, after: TracedCall, before: TracedCall): void {
    const flushes = this.#calls.filter((call) => call.name === "fsync" && pathOf(call) === path);
    const fits = flushes.some((flush) => flush.began > after.ended && flush.ended < before.began);
    assert(fits, `${path} is flushed between ${after.name} (${after.ended}) and ${before.name} (${before.began})`);
  }

  /** Write, flush, publish, flush the folders, acknowledge. */
  assertDurable(): void {
    const [published, acknowledged] = [this.published(), this.acknowledged()];
    const staged = pathOf(published);
    assert(staged !== null && staged.startsWith(join(this.#folder.path, "staging")));
    const written = this.writes(staged).at(-1);
    assert(written !== undefined);
    this.assertFlushed(staged, written, published);
    this.assertFlushed(dirname(this.#place), published, acknowledged);
    const made = this.#calls.find((call) => call.name === "mkdir" && pathOf(call) === dirname(this.#place));
    if (made !== undefined) this.assertFlushed(join(this.#folder.path, "blobs"), made, acknowledged);
  }

  #one(fits: (call: TracedCall) => boolean, what: string): TracedCall {
    const [one, ...more] = this.#calls.filter((call) => fits(call));
    assert(one !== undefined && more.length === 0, `one ${what}`);
    return one;
  }
}

/** Seeds of contents whose digests begin with the same two hex digits: their blobs share a folder. */
function seedsOfOneFolder(size: number, count: number): number[] {
  const folders = new Map<string, number[]>();
  for (let seed = 1; ; seed += 1) {
    const folder = digestOf(content(size, seed)).hex.slice(0, 2);
    const seeds = [...(folders.get(folder) ?? []), seed];
    if (seeds.length === count) return seeds;
    folders.set(folder, seeds);
  }
}

describe("the order of durability", needing("strace"), () => {
  test("the first blob of a new store is acknowledged after its file and every folder above it are flushed", async () => {
    for (const upload of [SMALL, LARGE]) {
      await using folder = await StoreFolder.make();
      await using store = await StoreProcess.start(folder.path);
      await using strace = await Strace.attach(store.pid);
      assert.deepEqual((await store.run({ do: "put", ...upload })).value, { existed: false });
      const calls = await strace.calls();
      const story = new Story(calls, folder, upload);
      story.assertDurable();
      for (const made of calls.filter((call) => call.name === "mkdir" && call.result === 0)) {
        const path = pathOf(made);
        assert(path !== null);
        if (path.startsWith(join(folder.path, "staging"))) continue;
        story.assertFlushed(dirname(path), made, story.acknowledged());
      }
    }
  });

  test("the entry of an existing fan-out folder is flushed once, even if another process created it", async () => {
    await using folder = await StoreFolder.make();
    await using first = await StoreProcess.start(folder.path);
    const [one = 0, two = 0, three = 0] = seedsOfOneFolder(SMALL.size, 3);
    await first.run({ do: "put", ...SMALL, seed: one });
    await using store = await StoreProcess.start(folder.path);
    await using strace = await Strace.attach(store.pid);
    await store.run({ do: "put", ...SMALL, seed: two });
    await store.run({ do: "put", ...SMALL, seed: three });
    const calls = await strace.calls();
    const [story, later] = [
      new Story(calls, folder, { ...SMALL, seed: two }),
      new Story(calls, folder, { ...SMALL, seed: three }),
    ];
    story.assertDurable();
    later.assertDurable();
    story.assertFlushed(join(folder.path, "blobs"), story.published(), story.acknowledged());
    const flushes = calls.filter((call) => call.name === "fsync" && pathOf(call) === join(folder.path, "blobs"));
    assert.equal(flushes.length, 1);
  });

  test("concurrent commits into one folder share flushes, but none that began before their publication", async () => {
    await using folder = await StoreFolder.make();
    await using store = await StoreProcess.start(folder.path);
    const seeds = seedsOfOneFolder(100, 12);
    await using strace = await Strace.attach(store.pid);
    await store.run({ do: "put-together", size: 100, seeds });
    const calls = await strace.calls();
    for (const seed of seeds) new Story(calls, folder, { size: 100, seed }).assertDurable();
  });

  test("stored content is written nowhere, and flushed before it is acknowledged", async () => {
    for (const upload of [SMALL, LARGE]) {
      await using folder = await StoreFolder.make();
      await using first = await StoreProcess.start(folder.path);
      await first.run({ do: "put", ...upload });
      const place = folder.blob(digestOf(content(upload.size, upload.seed)).hex);
      await using store = await StoreProcess.start(folder.path);
      await using strace = await Strace.attach(store.pid);
      assert.deepEqual((await store.run({ do: "put", ...upload })).value, { existed: true });
      const calls = await strace.calls();
      const [start] = calls;
      assert(start !== undefined);
      const story = new Story(calls, folder, upload);
      assert.deepEqual(story.writes(place), []);
      story.assertFlushed(place, start, story.acknowledged());
      story.assertFlushed(dirname(place), start, story.acknowledged());
      story.assertFlushed(join(folder.path, "blobs"), start, story.acknowledged());
      // What is held back at first needs no file at all.
      if (upload === SMALL) assert(!calls.some(({ args }) => args.includes("/staging/")));
    }
  });

  test("a damaged blob is replaced by a flushed file", async () => {
    await using folder = await StoreFolder.make();
    await using store = await StoreProcess.start(folder.path);
    await store.run({ do: "put", ...LARGE });
    await truncate(folder.blob(digestOf(content(LARGE.size, LARGE.seed)).hex), 1000);
    await using strace = await Strace.attach(store.pid);
    const result = await store.run({ do: "put", ...LARGE });
    assert.deepEqual(result.value, { existed: false });
    assert.match(
      result.logged.join(),
      /^a damaged blob is replaced: [0-9a-f]{64} has 1000 bytes and should have 3145728; what was there is kept as damaged\//,
    );
    new Story(await strace.calls(), folder, LARGE).assertDurable();
    assert.equal((await store.run({ do: "read", ...LARGE })).value, "whole");
  });

  test("a removal is flushed before it is acknowledged", async () => {
    await using folder = await StoreFolder.make();
    await using store = await StoreProcess.start(folder.path);
    await store.run({ do: "put", ...SMALL });
    await using strace = await Strace.attach(store.pid);
    assert.equal((await store.run({ do: "remove", ...SMALL })).value, true);
    const place = folder.blob(digestOf(content(SMALL.size, SMALL.seed)).hex);
    const calls = await strace.calls();
    const removed = calls.findIndex((call) => call.name === "unlink" && pathOf(call) === place);
    const flushed = calls.findIndex((call) => call.name === "fsync" && pathOf(call) === dirname(place));
    const answered = calls.findIndex((call) => call.args.includes(String.raw`{\"value\":true`));
    assert(removed !== -1 && removed < flushed && flushed < answered, `${removed}, ${flushed}, ${answered}`);
  });
});
