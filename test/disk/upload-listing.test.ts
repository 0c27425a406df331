/** What a listing of uploads in a folder shows, and what a collection reads because of it. */
import assert from "node:assert/strict";
import { readdir, rename, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import { createFixity, type Fixity, type UploadId } from "../../src/index.ts";
import { until } from "../helpers/settled.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

const HOUR = 3_600_000;
/** Milliseconds by which times of files may lag behind. */
const TICKS = 50;

class Place implements AsyncDisposable {
  readonly fixity: Fixity;
  readonly #folder: StoreFolder;

  private constructor(folder: StoreFolder, fixity: Fixity) {
    this.#folder = folder;
    this.fixity = fixity;
  }

  static async make(expiry = 24 * HOUR): Promise<Place> {
    const folder = await StoreFolder.make();
    const store = diskStore({ root: folder.path, durability: "none" });
    await store.check();
    return new Place(folder, createFixity({ store, uploads: { expiry } }));
  }

  get uploads(): string {
    return join(this.#folder.path, "uploads");
  }

  async upload(completes: boolean): Promise<UploadId> {
    const { uploads } = this.fixity;
    assert(uploads !== null);
    const { id } = await uploads.create({});
    await uploads.append(id, { offset: 0, source: [Buffer.from("hello")], completes });
    return id;
  }

  record(id: UploadId): string {
    return join(this.uploads, id.hex, "1.record");
  }

  /** Moves the time of a record. */
  async shift(id: UploadId, ms: number): Promise<void> {
    const time = new Date((await stat(this.record(id))).mtimeMs + ms);
    await utimes(this.record(id), time, time);
  }

  /** Whether a collection reads a record: one of a later version makes it fail. */
  async reads(id: UploadId): Promise<boolean> {
    const { mtime } = await stat(this.record(id));
    await writeFile(this.record(id), '{"version":2}');
    await utimes(this.record(id), mtime, mtime);
    return this.fixity.collect().then(
      () => false,
      (error: unknown) => {
        assert.equal((error as { code?: unknown }).code, "store-unavailable");
        return true;
      },
    );
  }

  async listed(): Promise<readonly { age: number | null; isEnded: boolean }[]> {
    return Array.fromAsync(this.fixity.store.uploads?.list() ?? [], ({ age, isEnded }) => ({ age, isEnded }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fixity.store[Symbol.asyncDispose]();
    await this.#folder[Symbol.asyncDispose]();
  }
}

/** What a record's time is moved by, and whether a collection then reads it. */
const SHIFTS: readonly (readonly [what: string, isFinished: boolean, ms: number, isRead: boolean])[] = [
  ["a new finished upload", true, 0, false],
  ["a finished upload of 23 hours", true, -23 * HOUR, false],
  ["a finished upload as old as its expiry", true, -24 * HOUR - TICKS, true],
  ["a new unfinished upload", false, 0, false],
  ["an unfinished upload of 6 minutes", false, -HOUR / 10, true],
  ["a finished upload from the future, since the clock was set back", true, 48 * HOUR, true],
  ["an unfinished upload from the future", false, 48 * HOUR, true],
];

describe("uploads in a folder, as they are listed", () => {
  for (const [what, isFinished, ms, isRead] of SHIFTS) {
    test(`a collection ${isRead ? "reads" : "does not open"} the record of ${what}`, async () => {
      await using place = await Place.make();
      const id = await place.upload(isFinished);
      await place.shift(id, ms);
      assert.equal(await place.reads(id), isRead);
    });
  }

  test("report which have ended, and their age by the clock of the file system", async () => {
    await using place = await Place.make();
    await place.shift(await place.upload(true), -2 * HOUR - TICKS);
    const [finished, ...others] = await place.listed();
    assert.deepEqual([finished?.isEnded, others.length], [true, 0]);
    assert.ok(finished?.age !== null && finished?.age !== undefined && finished.age >= 2 * HOUR);
    assert.ok(finished.age < 3 * HOUR);
    await place.upload(false);
    const ended = (await place.listed()).filter(({ isEnded }) => isEnded);
    assert.equal(ended.length, 1);
    const names = (await readdir(place.uploads)).filter((name) => !/^[0-9a-f]{32}$/.test(name) && name !== "wanted");
    assert.deepEqual(names, [], "nothing is left of looking at the clock");
  });

  test("a removal that was begun is finished, however recent the upload is", async () => {
    await using place = await Place.make();
    const id = await place.upload(true);
    const folder = join(place.uploads, id.hex);
    const token = (await readdir(folder)).find((name) => name.includes("-free-")) ?? assert.fail();
    await rename(join(folder, token), join(folder, token.replace("-free-", "-gone-")));
    assert.deepEqual(await place.listed(), [{ age: null, isEnded: false }]);
    await place.fixity.collect();
    assert.deepEqual(await place.listed(), []);
  });

  test("something that is not a folder in the place of an upload is reported and hides no other upload", async () => {
    await using place = await Place.make(1);
    await writeFile(join(place.uploads, "0".repeat(32)), "");
    await place.upload(false).catch(() => null);
    await until(async () => {
      await assert.rejects(place.fixity.collect());
      return (await place.listed()).length === 1;
    });
  });

  test("ended and unfinished uploads are removed once they have expired", async () => {
    await using place = await Place.make(100);
    await place.upload(true);
    await place.fixity.uploads?.create({});
    await until(async () => {
      await place.fixity.collect();
      return (await place.listed()).length === 0;
    });
  });
});
