/** Which uploads a collection reads, and what it removes. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { memoryStore } from "../../memory.ts";
import { createFixity, type Fixity } from "../fixity.ts";
import type { BlobStore } from "../store.ts";
import type { UploadId } from "../upload-id.ts";
import type { UploadSummary } from "../upload-store.ts";
import type { Uploads } from "./uploads.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const EXPIRY = 24 * HOUR;

type Summary = Omit<UploadSummary, "id">;

/** A service over a memory store that counts how often a record is read. */
class Watched {
  readonly store: BlobStore = memoryStore();
  readonly fixity: Fixity;
  reads: string[] = [];

  constructor(expiry = EXPIRY) {
    this.fixity = createFixity({ store: this.store, uploads: { expiry } });
    const { uploads = assert.fail() } = this.store;
    const read = uploads.read.bind(uploads);
    uploads.read = (id, signal) => {
      this.reads.push(id.hex);
      return read(id, signal);
    };
  }

  get uploads(): Uploads {
    return this.fixity.uploads ?? assert.fail();
  }

  /** Makes the store's listing show this for all uploads. */
  show(summary: Summary): void {
    const { uploads = assert.fail() } = this.store;
    const list = uploads.list.bind(uploads);
    uploads.list = async function* (signal) {
      for await (const { id } of list(signal)) yield { id, ...summary };
    };
  }

  async finished(): Promise<UploadId> {
    const { id } = await this.uploads.create({});
    await this.uploads.append(id, { offset: 0, source: [Buffer.from("hello")], completes: true });
    return id;
  }

  /** The number of records that a collection reads. */
  async readsOfCollection(): Promise<number> {
    this.reads = [];
    await this.fixity.collect();
    return this.reads.length;
  }
}

const SUMMARIES: readonly (readonly [Summary, isRead: boolean])[] = [
  [{ age: 0, isEnded: false }, false],
  [{ age: 0, isEnded: true }, false],
  [{ age: 5 * MINUTE - 1, isEnded: false }, false],
  [{ age: 5 * MINUTE, isEnded: false }, true],
  [{ age: 5 * MINUTE, isEnded: true }, false],
  [{ age: EXPIRY - 1, isEnded: true }, false],
  [{ age: EXPIRY, isEnded: true }, true],
  [{ age: null, isEnded: true }, true],
  [{ age: null, isEnded: false }, true],
];

describe("a collection", () => {
  for (const [summary, isRead] of SUMMARIES) {
    const { age, isEnded } = summary;
    const what = `${isEnded ? "an ended" : "an unfinished"} upload of age ${age}`;
    test(`${isRead ? "reads" : "does not read"} ${what}, and trusts the record`, async () => {
      const watched = new Watched();
      const finished = await watched.finished();
      const { id: unfinished } = await watched.uploads.create({});
      watched.show(summary);
      assert.equal(await watched.readsOfCollection(), isRead ? 2 : 0);
      // both are young, whatever the listing shows
      assert.equal((await watched.uploads.find(finished)).offset, 5);
      assert.equal((await watched.uploads.find(unfinished)).offset, 0);
    });
  }

  test("respects an expiry of less than five minutes", async (t) => {
    t.mock.timers.enable({ apis: ["Date"] });
    const watched = new Watched(MINUTE);
    await watched.uploads.create({});
    assert.equal(await watched.readsOfCollection(), 0);
    t.mock.timers.tick(MINUTE);
    assert.equal((await watched.fixity.collect()).staged, 1);
  });

  test("does not read finished uploads until they expire, and then each once", async (t) => {
    t.mock.timers.enable({ apis: ["Date"] });
    const watched = new Watched();
    for (let n = 0; n < 20; n += 1) await watched.finished();
    // one that was complete at its creation
    const digest = (await Array.fromAsync(watched.fixity.list()))[0]?.digest ?? assert.fail();
    await watched.uploads.create({ digest, length: 5 });
    for (let hour = 1; hour < 24; hour += 1) {
      t.mock.timers.tick(HOUR);
      assert.equal(await watched.readsOfCollection(), 0, `after ${hour} hours`);
    }
    t.mock.timers.tick(HOUR);
    assert.equal(await watched.readsOfCollection(), 21);
    assert.deepEqual(await Array.fromAsync(watched.store.uploads?.list() ?? []), []);
    assert.equal(await watched.readsOfCollection(), 0);
  });

  test("keeps uploads whose records were written under a longer expiry until then", async (t) => {
    t.mock.timers.enable({ apis: ["Date"] });
    const watched = new Watched();
    const id = await watched.finished();
    t.mock.timers.tick(2 * HOUR);
    const hasty = createFixity({ store: watched.store, uploads: { expiry: HOUR } });
    await hasty.collect();
    assert.equal((await watched.uploads.find(id)).offset, 5);
    t.mock.timers.tick(EXPIRY - 2 * HOUR);
    await hasty.collect();
    await assert.rejects(watched.uploads.find(id), { code: "upload-not-found" });
  });

  test("sets the mark once it is complete, and not if a removal failed", async () => {
    const watched = new Watched();
    let marks = 0;
    const age = () => Promise.resolve(null);
    Object.assign(watched.store, { collectionMark: { age, set: async () => void (marks += 1) } });
    await watched.fixity.collect();
    assert.equal(marks, 1);
    const collect = watched.store.collect.bind(watched.store);
    watched.store.collect = () => Promise.reject(new Error("a bad disk"));
    await assert.rejects(watched.fixity.collect(), /a bad disk/);
    watched.store.collect = collect;
    await watched.uploads.create({});
    watched.show({ age: null, isEnded: false });
    const { uploads = assert.fail() } = watched.store;
    uploads.read = () => Promise.reject(new Error("a bad record"));
    await assert.rejects(watched.fixity.collect(), /a bad record/);
    assert.equal(marks, 1);
  });
});
