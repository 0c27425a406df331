import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { chmod, open, readFile, stat, utimes } from "node:fs/promises";
import { describe, test } from "node:test";
import { StoreFolder } from "../helpers/store-folder.ts";
import { diskStore } from "../../src/disk.ts";
import { memoryStore } from "../../src/memory.ts";
import { digestOf, readAll } from "../../src/stores/contract/tools.ts";
import { ByteRange } from "../../src/core/byte-range.ts";
import type { Digest } from "../../src/core/digest.ts";
import { FixityError } from "../../src/core/errors.ts";
import { createFixity, type Fixity } from "../../src/core/fixity.ts";
import type { BlobReader, BlobStore, OpenOptions } from "../../src/core/store.ts";
import type { VerifyReads } from "../../src/core/verification/verified-blobs.ts";
import { flip } from "./damaging.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const DAMAGED = { code: "blob-damaged" };

/** A service over a disk folder, and what its operator reads. */
class Place implements AsyncDisposable {
  readonly folder: StoreFolder;
  readonly store: CountedStore;
  readonly fixity: Fixity;
  readonly logged: string[] = [];

  private constructor(folder: StoreFolder, verifyReads: VerifyReads) {
    this.folder = folder;
    this.store = new CountedStore(diskStore({ root: folder.path, durability: "none" }));
    const log = (message: string): void => void this.logged.push(message);
    this.fixity = createFixity({ store: this.store.store, verifyReads, log });
  }

  static async make(verifyReads: VerifyReads = "daily"): Promise<Place> {
    return new Place(await StoreFolder.make(), verifyReads);
  }

  async put(size: number): Promise<{ readonly bytes: Buffer; readonly digest: Digest; readonly path: string }> {
    const bytes = randomBytes(size);
    const digest = digestOf(bytes);
    await this.fixity.put(bytes);
    return { bytes, digest, path: this.folder.blob(digest.hex) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fixity.close();
    await this.store.store[Symbol.asyncDispose]();
    await this.folder[Symbol.asyncDispose]();
  }
}

/** A store that counts the blobs that are opened and can flip a bit on the way. */
class CountedStore {
  readonly store: BlobStore;
  opened = 0;
  /** How many of the next reads differ from what is stored. */
  flips = 0;

  constructor(inner: BlobStore) {
    this.store = Object.create(inner, {
      open: {
        value: async (digest: Digest, options?: OpenOptions) => {
          const reader = await inner.open(digest, options);
          this.opened += 1;
          if (reader === null || this.flips === 0) return reader;
          this.flips -= 1;
          return flipping(reader);
        },
      },
    }) as BlobStore;
    // Private members are the inner store's, so its methods are bound to it.
    for (const name of ["stat", "confirm", "stage", "remove", "list", "collect", "check"] as const) {
      Object.defineProperty(this.store, name, { value: (inner[name] as () => unknown).bind(inner) });
    }
    Object.defineProperty(this.store, Symbol.asyncDispose, { value: () => inner[Symbol.asyncDispose]() });
  }
}

function flipping(reader: BlobReader): BlobReader {
  return {
    size: reader.size,
    span: reader.span,
    ...(reader.identity !== undefined && { identity: reader.identity }),
    async *[Symbol.asyncIterator]() {
      for await (const chunk of reader) {
        const copy = Buffer.from(chunk);
        copy[0] = (copy[0] ?? 0) ^ 1;
        yield copy;
      }
    },
    [Symbol.asyncDispose]: () => reader[Symbol.asyncDispose](),
  };
}

async function read(fixity: Fixity, digest: Digest, range?: ByteRange): Promise<Buffer> {
  await using reader = await fixity.open(digest, { range });
  assert(reader !== null);
  return await readAll(reader);
}

const FIRST_BYTE = ByteRange.over({ start: 0, end: 1 });

describe("a damaged blob", () => {
  for (const size of [1, 64 * KIB, 256 * KIB, 256 * KIB + 1, 3 * MIB]) {
    test(`of ${size} bytes is never read to its end, and is refused from then on`, async () => {
      await using place = await Place.make();
      const { fixity } = place;
      const { digest, path, bytes } = await place.put(size);
      await flip(path, size - 1);
      const received: Uint8Array[] = [];
      await assert.rejects(async () => {
        await using reader = await fixity.open(digest);
        for await (const chunk of reader ?? []) received.push(chunk);
      }, DAMAGED);
      const length = received.reduce((sum, chunk) => sum + chunk.length, 0);
      assert(length <= Math.max(0, size - 64 * KIB), `${length} of ${bytes.length} bytes were passed on`);
      await assert.rejects(fixity.open(digest), DAMAGED);
      await assert.rejects(fixity.open(digest, { range: FIRST_BYTE }), DAMAGED);
      await assert.rejects(fixity.stat(digest), DAMAGED);
      assert.equal(await fixity.claim(digest, { length: size }), null);
      assert.match(place.logged.join("\n"), /damaged and is no longer served/);
    });
  }

  test("of up to 8 MiB is found by a range, and by HEAD if it is small", async () => {
    await using place = await Place.make();
    const large = await place.put(8 * MIB);
    await flip(large.path, 5 * MIB);
    await assert.rejects(place.fixity.open(large.digest, { range: FIRST_BYTE }), DAMAGED);
    const small = await place.put(100);
    await flip(small.path, 0);
    await assert.rejects(place.fixity.stat(small.digest), DAMAGED);
  });

  test("of more than 8 MiB is found in the background after a range of it was read", async () => {
    await using place = await Place.make();
    const { digest, path, bytes } = await place.put(8 * MIB + 1);
    await flip(path, 5 * MIB);
    assert((await read(place.fixity, digest, FIRST_BYTE)).equals(bytes.subarray(0, 1)));
    await until(() => place.logged.length > 0);
    await assert.rejects(place.fixity.open(digest, { range: FIRST_BYTE }), DAMAGED);
  });

  test("of any size is found by a range if reads are always verified", async () => {
    await using place = await Place.make("always");
    const { digest, path } = await place.put(8 * MIB + 1);
    await flip(path, 5 * MIB);
    await assert.rejects(place.fixity.open(digest, { range: FIRST_BYTE }), DAMAGED);
  });

  test("that was cut or extended is found too, also by a range outside its bytes", async () => {
    await using place = await Place.make();
    const cut = await place.put(1000);
    await chmod(cut.path, 0o600);
    await (await open(cut.path, "r+").then(async (file) => (await file.truncate(10), file))).close();
    await assert.rejects(place.fixity.open(cut.digest, { range: ByteRange.over({ start: 500, end: 600 }) }), DAMAGED);
    const extended = await place.put(1000);
    await chmod(extended.path, 0o600);
    await (await open(extended.path, "a").then(async (file) => (await file.write("more"), file))).close();
    await assert.rejects(place.fixity.open(extended.digest), DAMAGED);
  });

  test("is refused by another service over the same store, from its first read on", async () => {
    await using place = await Place.make();
    const { digest, path } = await place.put(9 * MIB);
    await flip(path, 5 * MIB);
    await assert.rejects(read(place.fixity, digest), DAMAGED);
    // The next read waits until the blob is marked.
    await assert.rejects(place.fixity.open(digest), DAMAGED);
    await using other = createFixity({ store: diskStore({ root: place.folder.path }) });
    await assert.rejects(other.open(digest, { range: FIRST_BYTE }), DAMAGED);
  });

  test("is whole again once it was uploaded", async () => {
    await using place = await Place.make();
    for (const size of [100, 300 * KIB]) {
      const { digest, path, bytes } = await place.put(size);
      await flip(path, 0);
      await assert.rejects(read(place.fixity, digest), DAMAGED);
      await place.fixity.put(bytes);
      assert((await read(place.fixity, digest)).equals(bytes));
      assert((await readFile(path)).equals(bytes));
      assert.notEqual(await place.fixity.claim(digest, { length: size }), null);
    }
  });

  test("leaves no mark when it is removed", async () => {
    await using place = await Place.make();
    const { digest, path } = await place.put(100);
    await flip(path, 0);
    await assert.rejects(read(place.fixity, digest), DAMAGED);
    const { documents } = place.store.store;
    assert.notEqual(await documents?.read(`marks/damaged-${digest.hex}`), null);
    assert.equal(await place.fixity.remove(digest), true);
    assert.equal(await documents?.read(`marks/damaged-${digest.hex}`), null);
  });

  test("is repaired by an upload before any read has found it", async () => {
    await using place = await Place.make();
    const { path, bytes } = await place.put(100);
    await flip(path, 0);
    await place.fixity.put(bytes);
    assert((await readFile(path)).equals(bytes));
  });

  test("is not acknowledged to a claim that nobody has read before", async () => {
    await using place = await Place.make();
    const { digest, path, bytes } = await place.put(100);
    await flip(path, 0);
    assert.equal(await place.fixity.lookUp(digest, { length: bytes.length }), "unknown");
  });
});

describe("an intact blob", () => {
  test("that is written to while it is read is not read to its end", async () => {
    await using place = await Place.make();
    const { digest, path } = await place.put(2 * MIB);
    await read(place.fixity, digest);
    await assert.rejects(async () => {
      await using reader = await place.fixity.open(digest);
      let isChanged = false;
      for await (const chunk of reader ?? []) {
        assert(chunk.length > 0);
        if (!isChanged) await flip(path, MIB);
        isChanged = true;
      }
    }, DAMAGED);
  });

  test("is verified once in the background, however many ranges of it are read meanwhile", async () => {
    await using place = await Place.make();
    const { digest } = await place.put(8 * MIB + 1);
    const { opened } = place.store;
    await Promise.all(Array.from({ length: 20 }, () => read(place.fixity, digest, FIRST_BYTE)));
    await place.fixity.claim(digest, { length: 8 * MIB + 1 });
    await read(place.fixity, digest, FIRST_BYTE);
    // The ranges, and one read of the whole by the range queue or by the claim.
    assert.equal(place.store.opened, opened + 22);
  });

  test("is read once for its verification, and then only for its readers", async () => {
    await using place = await Place.make();
    const { digest, bytes } = await place.put(3 * MIB);
    assert((await read(place.fixity, digest, FIRST_BYTE)).equals(bytes.subarray(0, 1)));
    const { opened } = place.store;
    assert((await read(place.fixity, digest, FIRST_BYTE)).equals(bytes.subarray(0, 1)));
    await place.fixity.stat(digest);
    assert.notEqual(await place.fixity.claim(digest, { length: bytes.length }), null);
    assert.equal(place.store.opened, opened + 1);
  });

  test("is verified again when its file was touched", async () => {
    await using place = await Place.make();
    const { digest, path } = await place.put(100);
    await read(place.fixity, digest);
    const { mtimeMs } = await stat(path);
    await flip(path, 0);
    // Even if the time of the last change is set back: the system notes the time of that, too.
    await utimes(path, mtimeMs / 1000, mtimeMs / 1000);
    await assert.rejects(read(place.fixity, digest), DAMAGED);
  });

  test("stays in service when bits flip on the way to a reader", async () => {
    await using place = await Place.make();
    for (const size of [100, 3 * MIB]) {
      const { digest, bytes } = await place.put(size);
      place.store.flips = 1;
      const first = read(place.fixity, digest);
      // A small one is read again before the first byte; of a larger one, bytes have been passed on.
      if (size === 100) assert((await first).equals(bytes));
      else await assert.rejects(first, DAMAGED);
      assert((await read(place.fixity, digest)).equals(bytes));
      assert((await read(place.fixity, digest, FIRST_BYTE)).equals(bytes.subarray(0, 1)));
    }
    assert.match(place.logged.join("\n"), /which are right/);
  });

  test("is not sent with wrong bytes however often they flip on the way", async () => {
    await using place = await Place.make();
    const { digest } = await place.put(100);
    place.store.flips = Infinity;
    await assert.rejects(read(place.fixity, digest), FixityError);
  });

  test("is not verified on reads that are to be never verified", async () => {
    await using place = await Place.make("never");
    const { digest, path, bytes } = await place.put(100);
    await flip(path, 0);
    assert.equal((await read(place.fixity, digest)).equals(bytes), false);
    assert.notEqual(await place.fixity.claim(digest, { length: 100 }), null);
    assert.equal((await place.fixity.verify(digest))?.intact, false);
    await assert.rejects(place.fixity.open(digest), DAMAGED);
  });
});

test("a verification without a mark leaves a damaged blob as it was", async () => {
  await using place = await Place.make("never");
  const { digest, path } = await place.put(100);
  await flip(path, 0);
  assert.equal((await place.fixity.verify(digest, undefined, { marks: false }))?.intact, false);
  assert.equal((await read(place.fixity, digest)).length, 100);
});

test("an unknown way to verify reads is refused", () => {
  const options = { store: memoryStore(), verifyReads: "sometimes" as VerifyReads };
  assert.throws(() => createFixity(options), { code: "invalid-option" });
});

/** Waits until a condition holds. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate);
}
