import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { describe, test } from "node:test";
import { content, digestOf } from "../../src/stores/contract/tools.ts";
import { needing } from "../helpers/requirements.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { StoreProcess } from "../helpers/store-process.ts";
import { Strace, WRITING_CALLS } from "../helpers/strace.ts";
import { pathOf, targetOf, type TracedCall } from "../helpers/trace.ts";
import type { UploadStep } from "../helpers/upload-steps.ts";

const MIB = 1024 ** 2;
const WHOLE = { size: 2 * MIB, seed: 1 };
const CALLS = [...WRITING_CALLS, "ftruncate", "fchmod"];

type Call = UploadStep extends infer Step ? (Step extends UploadStep ? Omit<Step, "do" | "id"> : never) : never;

/** A store process with one upload, whose calls are traced step by step. */
class Scene implements AsyncDisposable {
  readonly folder: StoreFolder;
  readonly store: StoreProcess;
  readonly id: string = randomBytes(16).toString("hex");

  private constructor(folder: StoreFolder, store: StoreProcess) {
    this.folder = folder;
    this.store = store;
  }

  static async set(): Promise<Scene> {
    const folder = await StoreFolder.make();
    return new Scene(folder, await StoreProcess.start(folder.path));
  }

  get path(): string {
    return this.folder.upload(this.id);
  }

  async do(...calls: readonly Call[]): Promise<void> {
    for (const call of calls) {
      const result = await this.store.run({ do: "upload", id: this.id, ...call });
      assert.equal(result.code, undefined, `${call.call}: ${result.message}`);
    }
  }

  /** Does steps, and tells of what they did. */
  async traced(...calls: readonly Call[]): Promise<Story> {
    await using strace = await Strace.attach(this.store.pid, { calls: CALLS });
    await this.do(...calls);
    return new Story((await strace.calls()).filter(({ result }) => result !== null && result >= 0));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store[Symbol.asyncDispose]();
    await this.folder[Symbol.asyncDispose]();
  }
}

/** What happened, in the order in which it did. */
class Story {
  readonly calls: readonly TracedCall[];

  constructor(calls: readonly TracedCall[]) {
    this.calls = calls;
  }

  one(what: string, fits: (call: TracedCall) => boolean): TracedCall {
    const [one, ...more] = this.calls.filter((call) => fits(call));
    assert(one !== undefined && more.length === 0, `one ${what}, not ${more.length + (one === undefined ? 0 : 1)}`);
    return one;
  }

  acknowledged(what: string): TracedCall {
    return this.one("acknowledgement", ({ name, args }) => name === "write" && args.includes(`"${what}`));
  }

  /** The renaming that puts a record in its place. */
  recorded(): TracedCall {
    return this.one("record", (call) => call.name === "rename" && targetOf(call)?.endsWith(".record") === true);
  }

  on(path: string, names: RegExp): TracedCall[] {
    return this.calls.filter((call) => names.test(call.name) && pathOf(call) === path);
  }

  /** A flush that began after one call had ended, and had ended before another began. */
  assertFlushed(path: string, after: TracedCall, before: TracedCall): void {
    const flushes = this.on(path, /^f(data)?sync$/);
    const fits = flushes.some((flush) => flush.began > after.ended && flush.ended < before.began);
    assert(fits, `${path} is flushed between ${after.name} (${after.ended}) and ${before.name} (${before.began})`);
  }

  /** A record is written and flushed beside its place, put there, and its folder flushed before the answer. */
  assertRecordDurable(before: TracedCall): void {
    const recorded = this.recorded();
    const temporary = pathOf(recorded) ?? "";
    const written = this.on(temporary, /write/).at(-1);
    assert(written !== undefined);
    this.assertFlushed(temporary, written, recorded);
    this.assertFlushed(dirname(temporary), recorded, before);
  }

  /** The upload's file that bytes were written to. */
  bytesFile(): string {
    const paths = this.calls.filter(({ name }) => /write/.test(name)).map((call) => pathOf(call) ?? "");
    const [path, ...others] = new Set(paths.filter((each) => basename(each).startsWith("bytes.")));
    assert(path !== undefined && others.length === 0);
    return path;
  }
}

const create: Call = { call: "create", record: "begun" };
const hold: Call = { call: "hold" };
const write = (from: number, to: number): Call => ({ call: "write", of: WHOLE, from, to });
const save = (record: string): Call => ({ call: "save", record });
const commit: Call = { call: "commit", of: WHOLE };

describe("the order of durability of an upload", needing("strace"), () => {
  test("a created upload is durable with its record, and every folder above it, before it is acknowledged", async () => {
    await using scene = await Scene.set();
    const story = await scene.traced(create);
    const acknowledged = story.acknowledged("create");
    const appeared = story.one("upload", (call) => call.name === "rename" && targetOf(call) === scene.path);
    story.assertRecordDurable(appeared);
    const uploads = dirname(scene.path);
    story.assertFlushed(uploads, appeared, acknowledged);
    for (const made of story.calls.filter((call) => call.name === "mkdir")) {
      const path = pathOf(made) ?? "";
      if (path === pathOf(appeared)) continue;
      story.assertFlushed(dirname(path), made, acknowledged);
    }
  });

  test("a record names bytes only after they are flushed, and is durable before the save is acknowledged", async () => {
    await using scene = await Scene.set();
    await scene.do(create, hold);
    let written = 0;
    // the first save, one behind it, one of so little that nothing is written before, one of a later holder
    for (const size of [MIB, 700_000, 10, MIB - 700_010]) {
      if (written === 700_010 + MIB) await scene.do({ call: "release" }, hold);
      const story = await scene.traced(write(written, written + size), save(`until ${written + size}`));
      const file = story.bytesFile();
      const writes = story.on(file, /write/);
      assert.equal(
        writes.reduce((sum, { result }) => sum + (result ?? 0), 0),
        size,
      );
      const last = writes.at(-1);
      assert(last !== undefined);
      story.assertFlushed(file, last, story.recorded());
      story.assertRecordDurable(story.acknowledged("save"));
      written += size;
    }
    assert.equal(written, WHOLE.size);
  });

  test("a save without bytes flushes its record alone", async () => {
    await using scene = await Scene.set();
    await scene.do(create, hold, write(0, MIB), save("one"));
    const story = await scene.traced(save("two"));
    story.assertRecordDurable(story.acknowledged("save"));
    assert.deepEqual(
      story.calls.filter(({ name }) => name === "fdatasync"),
      [],
    );
  });

  test("a blob has exactly the saved bytes, flushed, before it gets its name, and is never touched again", async () => {
    await using scene = await Scene.set();
    await scene.do(create, hold, write(0, WHOLE.size), save("whole"), write(0, MIB));
    const place = scene.folder.blob(digestOf(content(WHOLE.size, WHOLE.seed)).hex);
    const story = await scene.traced(commit);
    const published = story.one("publication", (call) => call.name === "link" && targetOf(call) === place);
    const file = pathOf(published) ?? "";
    const truncated = story.one("truncation", (call) => call.name === "ftruncate" && pathOf(call) === file);
    assert.match(truncated.args, new RegExp(`, ${WHOLE.size}$`));
    story.assertFlushed(file, truncated, published);
    story.assertFlushed(dirname(place), published, story.acknowledged("commit"));
    await scene.do({ call: "release" });
    const later = await scene.traced(hold, commit, { call: "conclude", record: "done" });
    const touching = /write|ftruncate|fchmod/;
    assert.deepEqual([...later.on(file, touching), ...later.on(place, touching)], []);
    await scene.folder.wholeBlobs();
  });

  test("bytes are removed only after the record of the conclusion is durable", async () => {
    await using scene = await Scene.set();
    await scene.do(create, hold, write(0, MIB), save("one"));
    const story = await scene.traced({ call: "conclude", record: "refused" });
    const unlinked = story.one(
      "removal",
      (call) => call.name === "unlink" && pathOf(call)?.includes("bytes.") === true,
    );
    story.assertRecordDurable(unlinked);
  });

  test("a removal is durable before it is acknowledged", async () => {
    await using scene = await Scene.set();
    await scene.do(create, hold, write(0, MIB), save("one"));
    const story = await scene.traced({ call: "remove" });
    const gone = story.one("removal", (call) => call.name === "rename" && pathOf(call) === scene.path);
    story.assertFlushed(join(scene.folder.path, "uploads"), gone, story.acknowledged("remove"));
  });

  test("what a dead holder has left is flushed before another process reports it", async () => {
    await using scene = await Scene.set();
    await scene.do(create, hold, write(0, MIB), save("one"));
    await scene.store.kill();
    for (const call of [{ call: "read" }, hold] as const) {
      await using store = await StoreProcess.start(scene.folder.path);
      await using strace = await Strace.attach(store.pid);
      await store.run({ do: "upload", id: scene.id, ...call });
      const story = new Story(await strace.calls());
      const told = story.acknowledged(call.call);
      const flushed = story.on(scene.path, /^fsync$/).some(({ ended }) => ended < told.began);
      assert(flushed, call.call);
    }
  });
});
