import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { FixityError } from "../../src/core/errors.ts";
import type { StageOptions } from "../../src/core/staged-blob.ts";
import type { BlobStore } from "../../src/core/store.ts";
import { UploadId } from "../../src/core/upload-id.ts";
import type { EndedUpload, HeldUpload } from "../../src/core/upload-store.ts";
import { assertKept, digestOf, isStoreFailure } from "../../src/stores/contract/tools.ts";
import { append, bring, take, uploadsOf } from "../../src/stores/contract/upload-tools.ts";
import { listParts } from "../../src/stores/s3/api/listing.ts";
import { isFullRun, someOf } from "../helpers/full-run.ts";
import { Random } from "../helpers/random.ts";
import { settled } from "../helpers/settled.ts";
import { FaultProxy } from "./fault-proxy.ts";
import type { Gateway } from "./gateway.ts";
import { type InnerOptions, S3Place } from "./place.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const PART = 5 * MIB;
/** Collects at once everything that no living process of this machine owns. */
const COLLECTING: InnerOptions = { abandonedAfter: -Infinity };

const bytes = new Random(11).bytes(5 * PART);

/** Creates an upload for these bytes. */
async function createFor(store: BlobStore, whole: Uint8Array, isAnnounced: boolean): Promise<UploadId> {
  const id = UploadId.random();
  const options: StageOptions = isAnnounced ? { digest: digestOf(whole), length: whole.length } : {};
  await uploadsOf(store).create(id, "begun", { mediaType: "image/png", ...options });
  return id;
}

/** The result of `hold`, which must be a held upload. */
async function assertHeld(hold: Promise<HeldUpload | EndedUpload | null>): Promise<HeldUpload> {
  const upload = await hold;
  return upload?.status === "held" ? upload : assert.fail("the upload is not held");
}

/** Commits an upload of these bytes, and removes it. */
async function finish(store: BlobStore, id: UploadId, whole: Uint8Array): Promise<void> {
  await using held = await take(uploadsOf(store), id);
  assert.equal(held.offset, whole.length);
  await held.commit(digestOf(whole));
  await held.remove();
}

/** Waits until the bucket has this many parts. */
async function partsArrive(place: S3Place, count: number): Promise<void> {
  const arrived = async () => {
    let parts = 0;
    for (const upload of await place.uploads()) {
      for await (const { items } of listParts(place.client, upload)) parts += items.length;
    }
    return parts;
  };
  assert.equal(await settled(arrived, (parts) => parts === count), count);
}

/**
 * The number of requests per operation, without the checks of its record that a holder makes each
 * half second: their number depends on time.
 */
function countsOf(proxy: FaultProxy, place: S3Place): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { operation, key } of proxy.seen) {
    if (operation === "HeadObject" && place.layout.uploadIdOf(key) !== null) continue;
    counts[operation] = (counts[operation] ?? 0) + 1;
  }
  return counts;
}

type Work = (place: S3Place, store: BlobStore, proxy: FaultProxy) => Promise<void>;

export function uploadsSuite(gateway: Gateway): void {
  const over = async (work: Work, inner: InnerOptions = {}) => {
    await using proxy = await FaultProxy.start(gateway.endpoint);
    await using place = new S3Place(gateway);
    await using store = place.store({ endpoint: proxy.endpoint }, inner);
    await work(place, store, proxy);
    assert.equal(await place.leftovers(), 0);
  };

  void describe("the requests of resumable uploads", () => {
    /** The requests of each step, in a store that already knows how the server supports conditions. */
    const costs = async (isAnnounced: boolean, sizes: readonly number[]) => {
      const counts: Record<string, number>[] = [];
      await over(async (place, store, proxy) => {
        const whole = bytes.subarray(
          0,
          sizes.reduce((sum, size) => sum + size, 0),
        );
        await append(uploadsOf(store), await createFor(store, bytes, false), { bytes: new Uint8Array() });
        const counted = async (run: () => Promise<unknown>) => {
          await proxy.reset();
          await run();
          counts.push(countsOf(proxy, place));
        };
        const begun: UploadId[] = [];
        await counted(async () => begun.push(await createFor(store, whole, isAnnounced)));
        const [id] = begun;
        assert(id !== undefined);
        let offset = 0;
        for (const size of sizes) {
          await counted(() => append(uploadsOf(store), id, { bytes: whole.subarray(offset, offset + size) }));
          offset += size;
        }
        await using held = await take(uploadsOf(store), id);
        await counted(() => held.commit(digestOf(whole)));
        await counted(() => held.conclude("done"));
        await assertKept(store, whole);
      });
      return counts;
    };

    void test("a small upload writes its record at each step, and a tail for bytes below a part", async () => {
      const [create, first, second, commit, conclude] = await costs(false, [1000, 1000]);
      assert.deepEqual(create, { PutObject: 1 });
      // The record is read and acquired, the tail and the record are saved, the record is released.
      assert.deepEqual(first, { GetObject: 1, PutObject: 4 });
      // In addition, the previous tail is loaded and removed.
      assert.deepEqual(second, { GetObject: 2, PutObject: 4, DeleteObject: 1 });
      assert.deepEqual(commit, { GetObject: 1, PutObject: 1 });
      assert.deepEqual(conclude, { PutObject: 1, DeleteObject: 1 });
    });

    void test("whole parts with an announced digest are sent once each, without a copy", async () => {
      const [create, first, second, commit, conclude] = await costs(true, [PART, 2 * PART]);
      assert.deepEqual(create, { PutObject: 1 });
      assert.deepEqual(first, { GetObject: 1, PutObject: 3, CreateMultipartUpload: 1, UploadPart: 1 });
      assert.deepEqual(second, { GetObject: 1, PutObject: 3, UploadPart: 2 });
      assert.deepEqual(commit, { HeadObject: 1, PutObject: 1, CompleteMultipartUpload: 1 });
      assert.deepEqual(conclude, { PutObject: 1 });
    });

    void test("without a digest, the object is copied at the end", async () => {
      const [, , second, commit, conclude] = await costs(false, [PART, PART + 1]);
      assert.deepEqual(second, { GetObject: 1, PutObject: 4, UploadPart: 1 });
      const move = { CompleteMultipartUpload: 1, CopyObject: 1, DeleteObject: 1 };
      assert.deepEqual(commit, { HeadObject: 1, GetObject: 1, UploadPart: 1, PutObject: 1, ...move });
      assert.deepEqual(conclude, { PutObject: 1, DeleteObject: 1 });
    });

    void test("an append reads the record once and writes it twice: to acquire it, and to save and release it", async () =>
      over(async (place, store, proxy) => {
        const uploads = uploadsOf(store);
        const id = await createFor(store, bytes, false);
        await append(uploads, id, { bytes: new Uint8Array() });
        await proxy.reset();
        {
          const read = await uploads.read(id);
          assert(read !== null && !read.isHeld);
          await using held = await assertHeld(uploads.hold(id, undefined, read));
          await bring(held, bytes.subarray(0, 1000));
          assert.equal((await place.store().uploads?.read(id))?.isHeld, true);
          await held.save("appended", true);
        }
        assert.deepEqual(countsOf(proxy, place), { GetObject: 1, PutObject: 3 });
        const read = await uploads.read(id);
        assert.deepEqual([read?.offset, read?.isHeld], [1000, false]);
        {
          await using held = await take(uploads, id);
          await held.conclude("ended");
        }
        await proxy.reset();
        const ended = await uploads.read(id);
        assert(ended !== null);
        await (await uploads.hold(id, undefined, ended))?.remove();
        assert.deepEqual(countsOf(proxy, place), { GetObject: 1, DeleteObject: 1 });
      }));

    void test("a record that changed since it was read is read again, and the change is kept", async () =>
      over(async (place, store) => {
        const uploads = uploadsOf(store);
        const id = await createFor(store, bytes, false);
        const read = await uploads.read(id);
        assert(read !== null);
        await append(uploadsOf(place.store()), id, { bytes: bytes.subarray(0, 1000), record: "by another" });
        await using held = await assertHeld(uploads.hold(id, undefined, read));
        assert.deepEqual([held.offset, held.record], [1000, "by another"]);
        await held.remove();
      }));

    void test("a save at the cheapest offset writes no tail", async () =>
      over(async (place, store, proxy) => {
        const id = await createFor(store, bytes, true);
        await using held = await take(uploadsOf(store), id);
        assert.equal(held.nextSave, 7 * PART);
        await proxy.reset();
        await bring(held, bytes.subarray(0, 3 * PART));
        await held.save("saved");
        assert.deepEqual(countsOf(proxy, place), { CreateMultipartUpload: 1, UploadPart: 3, PutObject: 1 });
        assert.equal(held.nextSave, 10 * PART);
        await held.remove();
      }));
  });

  void describe("parts that the record does not name", () => {
    for (const isSavedBefore of [true, false]) {
      for (const isAnnounced of someOf([true, false], 1)) {
        const which = `${isSavedBefore ? "after saved parts" : "from the beginning"}, ${isAnnounced ? "announced" : "not announced"}`;
        void test(`do not become part of the blob: ${which}`, async () =>
          over(async (place, store) => {
            const saved = isSavedBefore ? PART : 0;
            const whole = bytes.subarray(0, isAnnounced ? 4 * PART + 9 : saved + 1000);
            const id = await createFor(store, whole, isAnnounced);
            {
              await using held = await take(uploadsOf(store), id);
              await bring(held, whole.subarray(0, saved));
              await held.save("saved");
              await bring(held, new Random(5).bytes(3 * PART + 1));
              await partsArrive(place, saved / PART + 3);
            }
            await append(uploadsOf(place.store()), id, { bytes: whole.subarray(saved) });
            await finish(store, id, whole);
            await gateway.collectGarbage?.();
            await assertKept(store, whole);
          }, COLLECTING));
      }
    }

    void test("do not become part of the blob if the last holder ended at a part boundary and the commit ran twice", async () =>
      over(async (place, store, proxy) => {
        const whole = bytes.subarray(0, 2 * PART);
        const id = await createFor(store, whole, false);
        {
          await using held = await take(uploadsOf(store), id);
          await bring(held, whole.subarray(0, PART));
          await held.save("saved");
          await bring(held, new Random(6).bytes(3 * PART + 1));
          await partsArrive(place, 4);
        }
        await append(uploadsOf(store), id, { bytes: whole.subarray(PART) });
        proxy.strike({ operation: "UploadPartCopy", fault: "status-403" });
        {
          await using held = await take(uploadsOf(store), id);
          await assert.rejects(held.commit(digestOf(whole)), isStoreFailure);
        }
        assert(proxy.hasStruck);
        await finish(place.store(), id, whole);
        await gateway.collectGarbage?.();
        await assertKept(store, whole);
      }, COLLECTING));
  });

  void describe("collections and resumable uploads", () => {
    void test("everything that a record names stays, however long the upload is idle", async () =>
      over(async (place, store) => {
        const whole = bytes.subarray(0, PART + 1000);
        const ids = [await createFor(store, whole, true), await createFor(store, whole, false)];
        for (const id of ids) await append(uploadsOf(store), id, { bytes: whole });
        assert.equal((await place.uploads()).length, 2);
        assert.deepEqual(await store.collect(), { staged: 0, bytes: 0 });
        // This store considers everything idle for too long, and completes what a record names all the same.
        await using impatient = place.store({}, { idleLimit: -1 });
        for (const id of ids) await finish(impatient, id, whole);
        await assertKept(store, whole);
      }, COLLECTING));

    void test("tails that no record names are removed, whether or not their upload exists", async () =>
      over(async (place, store) => {
        const id = await createFor(store, bytes, false);
        await append(uploadsOf(store), id, { bytes: bytes.subarray(0, 1000) });
        await place.put(place.layout.newTail(id), bytes.subarray(0, 10));
        await place.put(place.layout.newTail(UploadId.random()), bytes.subarray(0, 20));
        assert.deepEqual(await place.store().collect(), { staged: 0, bytes: 0 });
        assert.deepEqual(await store.collect(), { staged: 2, bytes: 30 });
        await finish(store, id, bytes.subarray(0, 1000));
      }, COLLECTING));

    void test("nothing is removed if a record cannot be read, because it could name anything", async () =>
      over(async (place, store) => {
        await place.put(place.layout.record(UploadId.random()), Buffer.from('{"version":2}'));
        await place.abandon();
        await assert.rejects(store.collect(), isStoreFailure);
        assert.equal((await place.uploads()).length, 1);
        for await (const { id } of uploadsOf(store).list()) {
          await assert.rejects(uploadsOf(store).hold(id), isStoreFailure);
          await place.remove(place.layout.record(id));
        }
        assert.deepEqual(await store.collect(), { staged: 1, bytes: 1000 });
      }, COLLECTING));

    void test("a save after half the collector's age limit fails, because the parts may be gone", async () =>
      over(
        async (place, store) => {
          const id = await createFor(store, bytes, false);
          const held = await take(uploadsOf(store), id);
          await bring(held, bytes.subarray(0, PART + 1));
          await assert.rejects(held.save("saved"), { code: "upload-stalled" });
          await held[Symbol.asyncDispose]();
          assert.equal((await uploadsOf(store).read(id))?.offset, 0);
          assert.equal((await place.uploads()).length, 0);
          // the tail that was written before the record could name it
          assert.deepEqual(await store.collect(), { staged: 1, bytes: 1 });
        },
        { idleLimit: -1, ...COLLECTING },
      ));
  });

  void describe("memory of resumable uploads", () => {
    void test("a sender that is too slow while others wait must release its upload, and loses nothing", async () =>
      over(
        async (_place, store) => {
          const begin = async () => {
            const id = await createFor(store, bytes, false);
            const held = await take(uploadsOf(store), id);
            return { id, held };
          };
          const slow = await Promise.all([begin(), begin(), begin()]);
          // Each holds the memory of a part, and the budget has no room for a fourth.
          for (const { held } of slow) await bring(held, bytes.subarray(0, MIB));
          const released = Promise.race(
            slow.map(async ({ id, held }) => {
              await once(held.takeover, "abort");
              assert.equal((held.takeover.reason as FixityError).code, "upload-stalled");
              await held.save("what came in");
              await held[Symbol.asyncDispose]();
              return id;
            }),
          );
          const fourth = await begin();
          await bring(fourth.held, bytes.subarray(0, MIB));
          assert.equal((await uploadsOf(store).read(await released))?.offset, MIB);
          for (const { held } of [fourth, ...slow]) await held[Symbol.asyncDispose]();
        },
        { memory: { budget: 4 * PART, queue: 10, minRate: 64 * KIB, window: 200 } },
      ));

    void test("many concurrent uploads stay within the memory budget, tails included", async () => {
      const memoryBudget = 24 * MIB;
      setFlagsFromString("--expose-gc");
      const collectMemory = runInNewContext("gc") as () => void;
      const held = () => {
        collectMemory();
        return process.memoryUsage().arrayBuffers;
      };
      await using place = new S3Place(gateway);
      await using store = place.store({ memoryBudget });
      const before = held();
      let most = 0;
      const work = async (n: number) => {
        const whole = bytes.subarray(0, 2 * PART + n * 100 * KIB);
        const id = await createFor(store, whole, n % 2 === 0);
        // The first append ends within a part, so the second one begins with a tail.
        for (const [start, end] of [[0, 4 * MIB] as const, [4 * MIB, whole.length] as const]) {
          await append(uploadsOf(store), id, { bytes: whole.subarray(start, end) });
          most = Math.max(most, held() - before);
        }
        await finish(store, id, whole);
      };
      await Promise.all(Array.from({ length: isFullRun ? 12 : 6 }, (_, n) => work(n)));
      // In addition to the budget, each upload has a chunk that has not been accepted yet.
      assert(most < memoryBudget + 16 * MIB, `${Math.round(most / MIB)} MiB`);
      assert.equal(await place.leftovers(), 0);
    });
  });
}
