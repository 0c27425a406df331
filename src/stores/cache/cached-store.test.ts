import assert from "node:assert/strict";
import { test } from "node:test";
import { ObservedStore } from "../../../test/helpers/observed-store.ts";
import { StoreFolder } from "../../../test/helpers/store-folder.ts";
import { ByteRange } from "../../core/byte-range.ts";
import type { Digest } from "../../core/digest.ts";
import { FixityError } from "../../core/errors.ts";
import type { BlobReader, BlobStore } from "../../core/store.ts";
import { diskStore } from "../../disk.ts";
import { content, digestOf, keep, readAll } from "../contract/tools.ts";
import { CACHED_BLOB_MAX_BYTES, CachedStore } from "./cached-store.ts";
import { resolveCacheOptions } from "./options.ts";

const GONE = new Error("the caller is gone");
const SMALL = content(4096);
const DIGEST = digestOf(SMALL);
const LARGE = content(CACHED_BLOB_MAX_BYTES + 1);

/** A cache over a memory store that already has `blobs`, with a clock that stands still. */
class Place {
  readonly inner = new ObservedStore();
  readonly store: BlobStore;
  now = 0;

  private constructor(budget: number | undefined) {
    const options = resolveCacheOptions(budget === undefined ? {} : { budget });
    this.store = CachedStore.over(this.inner.store, { ...options, now: () => this.now });
  }

  static async with(blobs: readonly Uint8Array[] = [SMALL], budget?: number): Promise<Place> {
    const place = new Place(budget);
    for (const bytes of blobs) await keep(place.store, bytes);
    return place;
  }
}

async function openIn(store: BlobStore, digest: Digest): Promise<BlobReader> {
  return (await store.open(digest)) ?? assert.fail("the blob exists");
}

async function read(store: BlobStore, digest: Digest, signal?: AbortSignal): Promise<Buffer | null> {
  const reader = await store.open(digest, signal && { signal });
  return reader && readAll(reader);
}

function range(first: number, last: number | null = null): ByteRange {
  return ByteRange.between(first, last) ?? assert.fail();
}

test("the second read makes no call of the inner store, and has verified bytes", async () => {
  const { store, inner } = await Place.with();
  assert((await read(store, DIGEST))?.equals(SMALL));
  await using reader = await openIn(store, DIGEST);
  assert.deepEqual(inner.calls, ["open"]);
  assert.equal(reader.size, 4096);
  assert.equal(reader.identity, (await inner.store.stat(DIGEST))?.identity);
  assert(reader.verifiedBytes !== undefined && SMALL.equals(reader.verifiedBytes));
});

test("a range of a cold small blob loads it whole, and a range of a cached one is a view of it", async () => {
  const { store, inner } = await Place.with();
  for (let round = 0; round < 2; round += 1) {
    await using reader = await store.open(DIGEST, { range: range(10, 19) });
    assert.deepEqual(reader?.span, { start: 10, end: 20 });
    assert(SMALL.subarray(10, 20).equals(reader?.verifiedBytes ?? Buffer.alloc(0)));
    assert((await readAll(reader ?? assert.fail())).equals(SMALL.subarray(10, 20)));
  }
  await assert.rejects(store.open(DIGEST, { range: range(4096) }), {
    code: "range-not-satisfiable",
    facts: { size: 4096 },
  });
  assert.deepEqual(inner.calls, ["open"]);
});

test("the cache's bytes are memory of their own, and iterating yields copies", async () => {
  const { store } = await Place.with();
  await using reader = await openIn(store, DIGEST);
  assert.equal(reader.verifiedBytes?.buffer.byteLength, SMALL.length);
  for await (const chunk of reader) chunk.fill(0);
  assert((await read(store, DIGEST))?.equals(SMALL));
});

test("bytes that do not have the digest are passed on and never cached", async () => {
  const { store, inner } = await Place.with();
  const damaged = Buffer.from(SMALL);
  damaged[7]! ^= 1;
  inner.alter = (reader) => Object.assign(reader, { [Symbol.asyncIterator]: () => chunksOf(damaged) });
  for (let round = 0; round < 2; round += 1) {
    await using reader = await openIn(store, DIGEST);
    assert.equal(reader.verifiedBytes, undefined);
    assert((await readAll(reader)).equals(damaged));
  }
  inner.alter = (reader) => reader;
  assert((await read(store, DIGEST))?.equals(SMALL));
  assert.equal(inner.count("open"), 3);
});

test("a store that returns fewer bytes than the blob has fails the read", async () => {
  const { store, inner } = await Place.with();
  inner.alter = (reader) => Object.assign(reader, { [Symbol.asyncIterator]: () => chunksOf(SMALL.subarray(1)) });
  await assert.rejects(store.open(DIGEST), { code: "blob-damaged" });
});

test("bypassCache always reads the inner store, and leaves the cache as it is", async () => {
  const { store, inner } = await Place.with();
  for (let round = 0; round < 2; round += 1) {
    await using reader = await store.open(DIGEST, { bypassCache: true });
    assert.equal(reader?.verifiedBytes, undefined);
  }
  await read(store, DIGEST);
  await using reader = await store.open(DIGEST, { bypassCache: true });
  assert.equal(reader?.verifiedBytes, undefined);
  assert.equal(inner.count("open"), 4);
});

test("stat is answered from the cache once the inner store has reported the time", async () => {
  const { store, inner } = await Place.with();
  await read(store, DIGEST);
  const first = await store.stat(DIGEST);
  assert.deepEqual(first, await store.stat(DIGEST));
  assert.deepEqual(first, await inner.store.stat(DIGEST));
  assert.deepEqual(inner.calls, ["open", "stat", "stat"]);
});

test("after 10 s the inner store is asked once, by all who read at that moment", async () => {
  const place = await Place.with();
  const { store, inner } = place;
  await read(store, DIGEST);
  place.now = 9_999;
  await read(store, DIGEST);
  assert.deepEqual(inner.calls, ["open"]);
  place.now = 10_000;
  const all = await Promise.all([read(store, DIGEST), read(store, DIGEST), store.stat(DIGEST)]);
  assert(all[0]?.equals(SMALL) && all[1]?.equals(SMALL) && all[2]?.size === 4096);
  await read(store, DIGEST);
  assert.deepEqual(inner.calls, ["open", "stat"]);
});

test("a blob that was removed elsewhere is absent after 10 s, for open and stat", async () => {
  for (const method of ["open", "stat"] as const) {
    const place = await Place.with();
    await read(place.store, DIGEST);
    await place.inner.store.remove(DIGEST);
    assert.notEqual(await place.store.open(DIGEST), null);
    place.now = 10_000;
    assert.equal(await place.store[method](DIGEST), null);
    assert.equal(await place.store.open(DIGEST), null);
    assert.equal(await place.store.stat(DIGEST), null);
  }
});

test("a blob with another identity is loaded again", async () => {
  const place = await Place.with();
  const { store, inner } = place;
  await read(store, DIGEST);
  await inner.store.remove(DIGEST);
  await keep(inner.store, SMALL);
  place.now = 10_000;
  await using reader = await openIn(store, DIGEST);
  assert.equal(reader.identity, (await inner.store.stat(DIGEST))?.identity);
  assert.equal(inner.count("open"), 2);
});

test("a failed revalidation fails the read, and the next read asks again", async () => {
  const place = await Place.with();
  await read(place.store, DIGEST);
  place.now = 10_000;
  place.inner.hold("stat");
  const reading = read(place.store, DIGEST);
  await place.inner.called(2);
  place.inner.release("stat", new FixityError("store-unavailable", "no connection"));
  await assert.rejects(reading, { code: "store-unavailable" });
  assert((await read(place.store, DIGEST))?.equals(SMALL));
  assert.equal(place.inner.count("open"), 1);
});

test("a caller does not join a load or a revalidation that began more than 10 s ago", async () => {
  const place = await Place.with();
  const { store, inner } = place;
  inner.hold("open");
  const early = read(store, DIGEST);
  await inner.called(1);
  place.now = 10_001;
  const late = read(store, DIGEST);
  await inner.called(2);
  inner.release("open");
  assert((await early)?.equals(SMALL) && (await late)?.equals(SMALL));
  place.now = 20_001;
  inner.hold("stat");
  const first = read(store, DIGEST);
  await inner.called(3);
  place.now = 30_002;
  const second = read(store, DIGEST);
  await inner.called(4);
  inner.release("stat");
  await Promise.all([first, second]);
  assert.deepEqual(inner.calls, ["open", "open", "stat", "stat"]);
});

test("concurrent reads of a cold blob read the inner store once", async () => {
  const { store, inner } = await Place.with();
  const all = await Promise.all(Array.from({ length: 50 }, () => read(store, DIGEST)));
  assert(all.every((bytes) => bytes?.equals(SMALL)));
  assert.deepEqual(inner.calls, ["open"]);
});

test("absence is not cached", async () => {
  const { store } = await Place.with([]);
  assert.equal(await store.open(DIGEST), null);
  assert.equal(await store.stat(DIGEST), null);
  await keep(store, SMALL);
  assert((await read(store, DIGEST))?.equals(SMALL));
});

test("a failed load fails its callers with the store's error and is forgotten", async () => {
  const { store, inner } = await Place.with();
  inner.hold("open");
  const waiting = [read(store, DIGEST), read(store, DIGEST)];
  await inner.called(1);
  const failure = new FixityError("store-unavailable", "no connection");
  inner.release("open", failure);
  for (const result of await Promise.allSettled(waiting)) {
    assert.equal(result.status === "rejected" && result.reason, failure);
  }
  assert((await read(store, DIGEST))?.equals(SMALL));
});

test("a caller that is aborted leaves the load to the others", async () => {
  const { store, inner } = await Place.with();
  const client = new AbortController();
  inner.hold("open");
  const leaving = read(store, DIGEST, client.signal);
  const staying = read(store, DIGEST);
  await inner.called(1);
  client.abort(GONE);
  await assert.rejects(leaving, GONE);
  inner.release("open");
  assert((await staying)?.equals(SMALL));
  assert.deepEqual(inner.calls, ["open"]);
});

test("a load is stopped when no caller waits for it, and the next caller begins another", async () => {
  const { store, inner } = await Place.with();
  const client = new AbortController();
  inner.hold("open");
  const leaving = read(store, DIGEST, client.signal);
  await inner.called(1);
  client.abort(GONE);
  await assert.rejects(leaving, GONE);
  assert.equal(inner.signals[0]?.aborted, true);
  const next = read(store, DIGEST);
  await inner.called(2);
  inner.release("open");
  assert((await next)?.equals(SMALL));
  assert.equal(inner.openReaders, 0);
});

test("a removal drops the entry before it begins, so that no later read is served from memory", async () => {
  const { store, inner } = await Place.with();
  await read(store, DIGEST);
  inner.hold("remove");
  const removing = store.remove(DIGEST);
  await inner.called(2);
  assert.equal(await store.open(DIGEST), null);
  inner.release("remove");
  assert.equal(await removing, true);
  assert.equal(await store.open(DIGEST), null);
});

test("a load that runs during a removal is not cached", async () => {
  const { store, inner } = await Place.with();
  const { promise: isReading, resolve: startsReading } = Promise.withResolvers<void>();
  const { promise: mayRead, resolve: letRead } = Promise.withResolvers<void>();
  inner.alter = (reader) =>
    Object.assign(reader, {
      async *[Symbol.asyncIterator]() {
        startsReading();
        await mayRead;
        yield Buffer.from(SMALL);
      },
    });
  const before = read(store, DIGEST);
  await isReading;
  assert.equal(await store.remove(DIGEST), true);
  letRead();
  assert((await before)?.equals(SMALL), "who began to read before receives the blob");
  assert.equal(await store.open(DIGEST), null);
});

test("a blob that is cached between the start and the end of a removal is dropped at its end", async () => {
  const { store, inner } = await Place.with();
  await read(store, DIGEST);
  inner.hold("remove");
  const removing = store.remove(DIGEST);
  await inner.called(2);
  // as on a store where the blob is readable until the end of the call
  await keep(inner.store, SMALL);
  assert((await read(store, DIGEST))?.equals(SMALL));
  inner.release("remove");
  await removing;
  const opens = inner.count("open");
  await read(store, DIGEST);
  assert.equal(inner.count("open"), opens + 1);
});

test("a failed removal drops the entry too", async () => {
  const { store, inner } = await Place.with();
  await read(store, DIGEST);
  inner.hold("remove");
  const removing = store.remove(DIGEST);
  await inner.called(2);
  inner.release("remove", new FixityError("store-unavailable", "no connection"));
  await assert.rejects(removing, { code: "store-unavailable" });
  assert.equal(await store.open(DIGEST), null);
});

test("a large blob is read with one open, and ranges of it go straight to the inner store", async () => {
  const { store, inner } = await Place.with([LARGE]);
  const digest = digestOf(LARGE);
  await using first = await openIn(store, digest);
  assert.equal(first.verifiedBytes, undefined);
  assert((await readAll(first)).equals(LARGE));
  assert.equal(inner.count("open"), 1);
  await using part = await store.open(digest, { range: range(1, 2) });
  assert.equal((await readAll(part ?? assert.fail())).length, 2);
  assert.equal(inner.count("open"), 2);
  assert((await read(store, digest))?.equals(LARGE));
  assert.equal(inner.count("open"), 3);
  assert.equal(inner.openReaders, 0);
});

test("of concurrent first reads of a large blob one takes the reader, the others open their own", async () => {
  const { store, inner } = await Place.with([LARGE]);
  const all = await Promise.all(Array.from({ length: 3 }, () => read(store, digestOf(LARGE))));
  assert(all.every((bytes) => bytes?.equals(LARGE)));
  assert.equal(inner.count("open"), 3);
  assert.equal(inner.openReaders, 0);
});

test("a first range of a large blob leaves no reader open, unless it is the whole blob", async () => {
  for (const [asked, opens] of [
    [range(5, 6), 2],
    [range(0), 1],
  ] as const) {
    const { store, inner } = await Place.with([LARGE]);
    await using reader = await store.open(digestOf(LARGE), { range: asked });
    await readAll(reader ?? assert.fail());
    assert.equal(inner.count("open"), opens);
    assert.equal(inner.openReaders, 0);
  }
});

test("the reader of a large blob obeys the signal of the caller that took it", async () => {
  const { store } = await Place.with([LARGE]);
  const client = new AbortController();
  await using reader = await store.open(digestOf(LARGE), { signal: client.signal });
  await assert.rejects(async () => {
    for await (const chunk of reader ?? assert.fail()) if (chunk.length > 0) client.abort(GONE);
  }, GONE);
});

test("beyond 8 MiB of running loads, blobs are read without the cache", async () => {
  const blobs = Array.from({ length: 40 }, (_, n) => content(CACHED_BLOB_MAX_BYTES, n));
  const { store, inner } = await Place.with(blobs);
  inner.hold("open");
  const opening = blobs.map((bytes) => store.open(digestOf(bytes)));
  await inner.called(40);
  inner.release("open");
  const readers = await Promise.all(opening);
  assert.equal(readers.filter((reader) => reader?.verifiedBytes !== undefined).length, 32);
  for (const [n, reader] of readers.entries()) assert((await readAll(reader ?? assert.fail())).equals(blobs[n]!));
  assert.equal(inner.openReaders, 0);
  assert.notEqual((await openIn(store, digestOf(blobs[39]!))).verifiedBytes, undefined);
});

test("an aborted signal fails every call at once, cached or not", async () => {
  const { store } = await Place.with();
  await read(store, DIGEST);
  const signal = AbortSignal.abort(GONE);
  await assert.rejects(store.open(DIGEST, { signal }), GONE);
  await assert.rejects(store.stat(DIGEST, signal), GONE);
  await assert.rejects(store.remove(DIGEST, signal), GONE);
});

test("the cache has the members that the inner store has, and no others", async () => {
  await using folder = await StoreFolder.make();
  const disk = diskStore({ root: folder.path });
  const { inner } = await Place.with();
  for (const bare of [disk, inner.store]) {
    const { budget, maxAgeMs, now } = resolveCacheOptions({});
    const cached = CachedStore.over(bare, { budget, maxAgeMs, now });
    assert.equal(cached.kind, bare.kind);
    assert.equal(cached.description, bare.description);
    assert.equal(cached.uploads, bare.uploads);
    for (const name of [
      "documents",
      "replacesCheaply",
      "collectionMark",
      "filePath",
      "presign",
      "misplaced",
      "listPrefix",
      "removeDamaged",
      "diagnose",
    ]) {
      assert.equal(name in cached, name in bare, name);
    }
  }
  const cached = CachedStore.over(disk, resolveCacheOptions({}));
  assert.equal(cached.filePath?.(DIGEST), disk.filePath?.(DIGEST));
  await cached[Symbol.asyncDispose]();
});

test("a removal through another store over the same folder is noticed after 10 s", async () => {
  await using folder = await StoreFolder.make();
  await using other = diskStore({ root: folder.path, durability: "none" });
  let now = 0;
  const inner = diskStore({ root: folder.path, durability: "none" });
  await using store = CachedStore.over(inner, { ...resolveCacheOptions({}), now: () => now });
  await keep(store, SMALL);
  await read(store, DIGEST);
  await other.remove(DIGEST);
  now = 9_999;
  assert((await read(store, DIGEST))?.equals(SMALL));
  now = 10_000;
  assert.equal(await read(store, DIGEST), null);
});

test("options that make no sense are refused", () => {
  for (const budget of [0, -1, 1.5, Number.NaN]) {
    assert.throws(() => resolveCacheOptions({ budget }), { code: "invalid-option" });
  }
  for (const maxAgeMs of [-1, Number.NaN, Infinity]) {
    assert.throws(() => resolveCacheOptions({ maxAgeMs }), { code: "invalid-option" });
  }
});

async function* chunksOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield Buffer.from(bytes);
}
