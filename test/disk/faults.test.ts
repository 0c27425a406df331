import assert from "node:assert/strict";
import { constants } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { content, digestOf } from "../../src/stores/contract/tools.ts";
import { needing } from "../helpers/requirements.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { StoreProcess } from "../helpers/store-process.ts";
import { Strace } from "../helpers/strace.ts";
import { pathOf, type TracedCall } from "../helpers/trace.ts";

const SMALL = { size: 1000, seed: 2 } as const;
const LARGE = { size: 3 * 1024 ** 2, seed: 3 } as const;
/** Large enough for a flush before its end. */
const HUGE = { size: 40 * 1024 ** 2, seed: 4 } as const;
const FIRST = { size: 1000, seed: 1 } as const;

type Content = typeof SMALL | typeof LARGE | typeof HUGE;

/** A store process that has stored one blob, and what its next upload will touch. */
class Scene implements AsyncDisposable {
  readonly folder: StoreFolder;
  readonly store: StoreProcess;
  /** The next upload's staging file. */
  readonly next: string;

  private constructor(folder: StoreFolder, store: StoreProcess, instance: string) {
    this.folder = folder;
    this.store = store;
    this.next = join(instance, "2");
  }

  static async set(): Promise<Scene> {
    const folder = await StoreFolder.make();
    // Counts of strace are kept for each thread.
    const store = await StoreProcess.start(folder.path, { threads: 1 });
    await store.run({ do: "put", ...FIRST });
    const [instance] = await folder.instances();
    assert(instance !== undefined);
    return new Scene(folder, store, instance);
  }

  /** Where the blob of some content lies, its folder made. */
  async placeOf({ size, seed }: Content): Promise<{ blob: string; fanOut: string }> {
    const { hex } = digestOf(content(size, seed));
    return { blob: this.folder.blob(hex), fanOut: this.folder.fanOut(hex) };
  }

  /** Every path is whole and nothing is staged; then the upload goes through, as if nothing had been. */
  async assertRecovered(upload: Content, published: boolean): Promise<void> {
    assert.deepEqual(await this.folder.staged(), []);
    const before = published ? [FIRST, upload] : [FIRST];
    const digests = before.map(({ size, seed }) => digestOf(content(size, seed)).hex);
    assert.deepEqual(await this.folder.wholeBlobs(), new Set(digests));
    assert.deepEqual(await this.store.run({ do: "put", ...upload }), { value: { existed: published }, logged: [] });
    assert.equal((await this.store.run({ do: "read", ...upload })).value, "whole");
    assert.equal((await this.store.run({ do: "read", ...FIRST })).value, "whole");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store[Symbol.asyncDispose]();
    await this.folder[Symbol.asyncDispose]();
  }
}

/** What one failing system call does to an upload. */
interface Fault {
  readonly name: string;
  /** The calls that fail, and how. */
  readonly calls: readonly string[];
  readonly error: keyof typeof constants.errno;
  readonly on: "staging file" | "blob" | "fan-out folder";
  /** Counted for each call. @default "1" */
  readonly when?: string;
  readonly upload: Content;
  readonly code: string;
  readonly published?: boolean;
}

const FAULTS: readonly Fault[] = [
  {
    name: "a failed look for the blob",
    calls: ["statx"],
    error: "EIO",
    on: "blob",
    upload: SMALL,
    code: "store-unavailable",
  },
  {
    name: "no descriptor for a staging file",
    calls: ["openat"],
    error: "EMFILE",
    on: "staging file",
    upload: SMALL,
    code: "store-unavailable",
  },
  {
    name: "a folder that became read-only",
    calls: ["openat"],
    error: "EROFS",
    on: "staging file",
    upload: LARGE,
    code: "store-misconfigured",
  },
  {
    name: "a failed write of a small file",
    calls: ["write"],
    error: "EIO",
    on: "staging file",
    upload: SMALL,
    code: "store-unavailable",
  },
  {
    name: "a failed write in the middle of a large file",
    calls: ["writev", "write"],
    error: "EIO",
    on: "staging file",
    when: "3",
    upload: LARGE,
    code: "store-unavailable",
  },
  {
    name: "a disk that fills up in the middle of a large file",
    calls: ["writev", "write"],
    error: "ENOSPC",
    on: "staging file",
    when: "3+",
    upload: LARGE,
    code: "store-full",
  },
  {
    name: "a failed flush of a file",
    calls: ["fsync"],
    error: "EIO",
    on: "staging file",
    upload: LARGE,
    code: "store-unavailable",
  },
  {
    name: "a quota that is reported only by the flush",
    calls: ["fsync"],
    error: "EDQUOT",
    on: "staging file",
    upload: SMALL,
    code: "store-full",
  },
  {
    name: "a failed flush before the end of a large file",
    calls: ["fdatasync"],
    error: "EIO",
    on: "staging file",
    upload: HUGE,
    code: "store-unavailable",
  },
  {
    name: "no space for the blob's name",
    calls: ["link"],
    error: "ENOSPC",
    on: "staging file",
    upload: SMALL,
    code: "store-full",
  },
  {
    name: "a failed publication",
    calls: ["link"],
    error: "EIO",
    on: "staging file",
    upload: LARGE,
    code: "store-unavailable",
  },
  {
    name: "a failed flush of the blob's folder",
    calls: ["fsync"],
    error: "EIO",
    on: "fan-out folder",
    upload: SMALL,
    code: "store-unavailable",
    published: true,
  },
];

describe("a disk fault", needing("strace"), () => {
  for (const { name, calls, error, on, when = "1", upload, code, published = false } of FAULTS) {
    test(`${name}: ${code}, ${published ? "the blob stays" : "nothing is published"}, and nothing is left`, async () => {
      await using scene = await Scene.set();
      const { blob, fanOut } = await scene.placeOf(upload);
      const path = { "staging file": scene.next, blob, "fan-out folder": fanOut }[on];
      const inject = [`${calls.join(",")}:error=${error}:when=${when}`];
      await using strace = await Strace.attach(scene.store.pid, { calls, paths: [path], inject });
      const result = await scene.store.run({ do: "put", ...upload });
      assert(
        (await strace.calls()).some((call) => call.injected),
        "the fault was made",
      );
      assert.equal(result.code, code);
      assert.equal(result.errno, -constants.errno[error]);
      assert.doesNotMatch(result.message ?? "", /\/|\bE[A-Z]{3,}/, "no path, no system error");
      await scene.assertRecovered(upload, published);
    });
  }

  test("a file whose flush failed is neither flushed again nor published", async () => {
    for (const [calls, upload] of [
      ["fsync", SMALL],
      ["fdatasync", HUGE],
    ] as const) {
      await using scene = await Scene.set();
      const options = { paths: [scene.next], inject: [`${calls}:error=EIO:when=1`] };
      await using strace = await Strace.attach(scene.store.pid, options);
      await scene.store.run({ do: "put", ...upload });
      const traced = (await strace.calls()).filter((call) => pathOf(call)?.startsWith(scene.next));
      const failed = traced.findIndex((call) => call.injected);
      assert.notEqual(failed, -1);
      const later = traced.slice(failed + 1).filter(({ name }) => !name.startsWith("write"));
      assert.deepEqual(
        later.map(({ name }) => name),
        ["unlink"],
      );
    }
  });

  test("without hard links a blob is published by a rename", async () => {
    for (const error of ["EPERM", "EOPNOTSUPP", "ENOSYS", "EACCES", "EINVAL", "EMLINK"]) {
      await using scene = await Scene.set();
      const options = { paths: [scene.next], inject: [`link:error=${error}`] };
      await using strace = await Strace.attach(scene.store.pid, options);
      assert.deepEqual(await scene.store.run({ do: "put", ...SMALL }), { value: { existed: false }, logged: [] });
      const traced = await strace.calls();
      assert(traced.filter(({ name }) => name === "link").every((call) => call.error === error));
      assert(traced.some(({ name, result }) => name === "rename" && result === 0));
      await scene.assertRecovered(SMALL, true);
    }
  });

  test("a staging name that cannot be removed is logged, and the upload is stored", async () => {
    await using scene = await Scene.set();
    const options = { paths: [scene.next], inject: ["unlink:error=EIO"] };
    await using strace = await Strace.attach(scene.store.pid, options);
    const result = await scene.store.run({ do: "put", ...SMALL });
    assert.deepEqual(result, {
      value: { existed: false },
      logged: ["a staging file could not be removed; the next collection tries again"],
    });
    assert((await strace.calls()).some((call) => call.injected));
    assert.equal((await scene.store.run({ do: "read", ...SMALL })).value, "whole");
  });

  test("a blob that cannot be read is an error, never absent and never truncated", async () => {
    const reads: readonly (readonly [call: string, error: "EACCES" | "ENFILE" | "EIO", code: string])[] = [
      ["openat", "EACCES", "store-misconfigured"],
      ["openat", "ENFILE", "store-unavailable"],
      ["pread64", "EIO", "store-unavailable"],
    ];
    for (const [call, error, code] of reads) {
      await using scene = await Scene.set();
      await scene.store.run({ do: "put", ...LARGE });
      const { blob } = await scene.placeOf(LARGE);
      const when = call === "pread64" ? 3 : 1;
      const options = { calls: [call], paths: [blob], inject: [`${call}:error=${error}:when=${when}`] };
      await using strace = await Strace.attach(scene.store.pid, options);
      const result = await scene.store.run({ do: "read", ...LARGE });
      assert((await strace.calls()).some((each: TracedCall) => each.injected));
      assert.deepEqual([result.code, result.errno], [code, -constants.errno[error]]);
      assert.equal((await scene.store.run({ do: "read", ...LARGE })).value, "whole");
    }
  });

  test("a removal whose flush failed is not acknowledged", async () => {
    await using scene = await Scene.set();
    await scene.store.run({ do: "put", ...SMALL });
    const { fanOut } = await scene.placeOf(SMALL);
    const options = { calls: ["fsync"], paths: [fanOut], inject: ["fsync:error=EIO:when=1"] };
    await using strace = await Strace.attach(scene.store.pid, options);
    assert.equal((await scene.store.run({ do: "remove", ...SMALL })).code, "store-unavailable");
    // The name is gone, but only this answer says that it stays so: the folder is flushed again.
    assert.equal((await scene.store.run({ do: "remove", ...SMALL })).value, false);
    assert.equal((await strace.calls()).length, 2);
  });
});
