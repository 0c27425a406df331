import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { memoryStore } from "../../src/memory.ts";
import { MemoryDocuments } from "../../src/stores/memory/memory-documents.ts";
import { Digest } from "../../src/core/digest.ts";
import type { ListedDocument } from "../../src/core/document-store.ts";
import { FixityError } from "../../src/core/errors.ts";
import { createFixity, type Fixity } from "../../src/core/fixity.ts";
import type { FixityOptions } from "../../src/core/options.ts";
import type { BlobStore } from "../../src/core/store.ts";

const DIGEST = Digest.fromHex("ab".repeat(32)) ?? assert.fail();
const NAME = `marks/blocked-${DIGEST.hex}`;
const REASON = { reason: "a court order" };

/** Documents whose listings can fail, and wait at their end. */
class Documents extends MemoryDocuments {
  listings = 0;
  texts = 0;
  listed: () => Promise<void> | void = () => {};

  override async read(...args: Parameters<MemoryDocuments["read"]>): ReturnType<MemoryDocuments["read"]> {
    this.texts += 1;
    return super.read(...args);
  }

  override async *list(prefix: string): AsyncGenerator<ListedDocument> {
    this.listings += 1;
    yield* await Array.fromAsync(super.list(prefix));
    await this.listed();
  }
}

function storeWith(documents: Documents | undefined): BlobStore {
  return Object.defineProperty(memoryStore(), "documents", { value: documents });
}

/** Instances of a service over the same documents. */
function instances(documents: Documents, options: Partial<FixityOptions> = {}): Fixity[] {
  return Array.from({ length: 3 }, () => createFixity({ store: storeWith(documents), log: () => null, ...options }));
}

/** Lets marks be listed again: they are at most once in ten seconds. */
function clock(t: TestContext): { passes(ms: number): void } {
  let ahead = 0;
  const now = performance.now.bind(performance);
  t.mock.method(performance, "now", () => now() + ahead);
  return { passes: (ms) => void (ahead += ms) };
}

const areBlocked = (fixities: readonly Fixity[]): Promise<boolean[]> =>
  Promise.all(fixities.map((fixity) => fixity.isBlocked(DIGEST)));

describe("a block", () => {
  test("counts at once where it is made, and on all instances ten seconds later; so does its end", async (t) => {
    const time = clock(t);
    const [one, ...others] = instances(new Documents()) as [Fixity, ...Fixity[]];
    assert.deepEqual(await areBlocked([one, ...others]), [false, false, false]);
    const { time: since, ...block } = await one.block(DIGEST, { ...REASON, by: "ops" });
    assert.deepEqual(block, { digest: DIGEST, ...REASON, by: "ops" });
    assert.deepEqual(await areBlocked([one, ...others]), [true, false, false]);
    time.passes(10_000);
    assert.deepEqual(await areBlocked([one, ...others]), [true, true, true]);
    assert.deepEqual(await others[0]?.blocks(), [{ ...block, time: since }]);
    assert.equal(await others[0]?.unblock(DIGEST), true);
    assert.equal(await one.unblock(DIGEST), false, "idempotent");
    time.passes(10_000);
    assert.deepEqual(await areBlocked([one, ...others]), [false, false, false]);
    assert.deepEqual(await one.blocks(), []);
  });

  test("costs one listing in ten seconds, whatever is read, and no text", async (t) => {
    const time = clock(t);
    const documents = new Documents();
    for (const digit of "0123456789abcdef") await documents.write(`marks/blocked-${digit.repeat(64)}`, "{}");
    const fixity = createFixity({ store: storeWith(documents) });
    for (let reads = 0; reads < 5; reads += 1) await fixity.stat(DIGEST);
    assert.deepEqual([documents.listings, documents.texts], [1, 0]);
    time.passes(10_000);
    await Promise.all([fixity.stat(DIGEST), fixity.open(DIGEST), fixity.put(Buffer.from("x"))]);
    assert.deepEqual([documents.listings, documents.texts], [2, 0]);
  });

  test("counts whatever its document says", async () => {
    for (const text of ["no JSON", "null", "[]", '{"version":2,"reason":7,"time":"soon"}']) {
      const documents = new Documents();
      await documents.write(NAME, text);
      const fixity = createFixity({ store: storeWith(documents) });
      assert.equal(await fixity.isBlocked(DIGEST), true, text);
      assert.deepEqual(await fixity.blocks(), [{ digest: DIGEST, reason: null, by: null, time: null }]);
    }
  });

  test("that ends during a listing does not come back with it", async () => {
    const documents = new Documents();
    const [one, other] = instances(documents) as [Fixity, Fixity];
    await other.block(DIGEST, REASON);
    documents.listed = async () => void (await one.unblock(DIGEST));
    await one.block(DIGEST, REASON);
    assert.equal(await one.isBlocked(DIGEST), false);
  });

  test("that is made during a listing is not forgotten with it", async () => {
    const documents = new Documents();
    const fixity = createFixity({ store: storeWith(documents) });
    documents.listed = async () => void (await fixity.block(DIGEST, REASON));
    assert.equal(await fixity.isBlocked(DIGEST), true);
  });

  test("needs a reason of 1 to 1000 characters, and a store that keeps documents", async () => {
    const fixity = createFixity({ store: storeWith(new Documents()) });
    for (const reason of ["", " \n", "x".repeat(1001), "\ud800"]) {
      await assert.rejects(fixity.block(DIGEST, { reason }), { code: "invalid-option" });
    }
    await assert.rejects(fixity.block(DIGEST, { reason: "x", by: "" }), { code: "invalid-option" });
    const without = createFixity({ store: storeWith(undefined) });
    await assert.rejects(without.block(DIGEST, REASON), { code: "invalid-option" });
    await assert.rejects(without.unblock(DIGEST), { code: "invalid-option" });
    assert.equal(await without.isBlocked(DIGEST), false);
    assert.equal(await without.stat(DIGEST), null);
  });
});

describe("while the store does not list its marks", () => {
  const unavailable = (): never => {
    throw new FixityError("store-unavailable", "not now");
  };

  test("known blocks count, and new ones are learned as soon as it does", async (t) => {
    const time = clock(t);
    const documents = new Documents();
    const logged: string[] = [];
    const [one, other] = instances(documents, { log: (message) => void logged.push(message) }) as [Fixity, Fixity];
    await one.block(DIGEST, REASON);
    assert.equal(await other.isBlocked(DIGEST), true);
    documents.listed = unavailable;
    for (let times = 0; times < 3; times += 1) {
      time.passes(10_000);
      assert.equal(await other.isBlocked(DIGEST), true);
    }
    assert.equal(logged.length, 1, "said once");
    documents.listed = () => {};
    await one.unblock(DIGEST);
    time.passes(10_000);
    assert.equal(await other.isBlocked(DIGEST), false);
  });

  test("a process that knows none yet neither reads nor stores anything", async () => {
    const documents = new Documents();
    documents.listed = unavailable;
    const store = storeWith(documents);
    const fixity = createFixity({ store, log: () => null });
    const attempts = [
      () => fixity.open(DIGEST),
      () => fixity.stat(DIGEST),
      () => fixity.put(Buffer.from("x")),
      () => fixity.claim(DIGEST, { length: 1 }),
      () => fixity.uploads?.create({ length: 1, digest: DIGEST }) ?? assert.fail(),
    ];
    for (const attempt of attempts) await assert.rejects(attempt, { code: "store-unavailable" });
    assert.deepEqual(await Array.fromAsync(store.list()), []);
    documents.listed = () => {};
    assert.equal(await fixity.stat(DIGEST), null, "the next attempt lists again");
    await fixity.put(Buffer.from("x"));
  });

  test("because the credentials do not permit it, reads go on", async () => {
    const documents = new Documents();
    documents.listed = () => {
      throw new FixityError("store-misconfigured", "s3:ListBucket is missing");
    };
    const fixity = createFixity({ store: storeWith(documents), log: () => null });
    assert.equal(await fixity.stat(DIGEST), null);
    assert.equal(documents.listings, 1);
    await fixity.stat(DIGEST);
    assert.equal(documents.listings, 1, "and is tried every ten seconds");
  });
});
