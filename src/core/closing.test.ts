import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { memoryStore } from "../memory.ts";
import { SAVE_TIMEOUT_MS } from "./admissions.ts";
import { Digest } from "./digest.ts";
import { FixityError } from "./errors.ts";
import { createFixity, type Fixity } from "./fixity.ts";
import type { BlobStore } from "./store.ts";
import type { HeldUpload } from "./upload-store.ts";
import type { Uploads } from "./uploads/uploads.ts";

const DIGEST = Digest.fromBytes(createHash("sha256").update("hello").digest()) ?? assert.fail("no digest");

/**
 * A source that stalls after its chunks. `reached` resolves when a reader waits for more, `left`
 * when it gives up.
 */
class Standstill implements AsyncIterableIterator<Uint8Array> {
  readonly reached = Promise.withResolvers<void>();
  readonly left = Promise.withResolvers<void>();
  readonly #chunks: Uint8Array[];

  constructor(...texts: string[]) {
    this.#chunks = texts.map((text) => Buffer.from(text));
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Uint8Array, undefined>> {
    const value = this.#chunks.shift();
    if (value !== undefined) return Promise.resolve({ done: false, value });
    this.reached.resolve();
    return new Promise(() => {});
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.left.resolve();
    return { done: true, value: undefined };
  }
}

function uploadsOf({ uploads }: Fixity): Uploads {
  return uploads ?? assert.fail("no uploads are kept");
}

/** A memory store whose uploads have this `save`. */
function savingLike(save: HeldUpload["save"]): BlobStore {
  const store = memoryStore();
  const uploads = store.uploads ?? assert.fail("no uploads are kept");
  const hold = uploads.hold.bind(uploads);
  uploads.hold = async (id, signal) => {
    const taken = await hold(id, signal);
    return taken?.status === "held" ? Object.assign(taken, { save }) : taken;
  };
  return store;
}

/** For `assert.rejects`: the error of an append that was interrupted at `offset`. */
function stoppedAt(offset: number | undefined): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof FixityError);
    assert.equal(error.code, "shutting-down");
    assert.equal(error.facts["upload-offset"], offset);
    return true;
  };
}

test("a closed service refuses every call", async () => {
  const fixity = createFixity({ store: memoryStore() });
  const { id } = await uploadsOf(fixity).create({});
  await fixity.close();
  assert.equal(fixity.isClosing, true);
  const calls: readonly (() => unknown)[] = [
    () => fixity.put(Buffer.from("hello")),
    () => fixity.claim(DIGEST),
    () => fixity.open(DIGEST),
    () => fixity.stat(DIGEST),
    () => fixity.list(),
    () => fixity.remove(DIGEST),
    () => fixity.verify(DIGEST),
    () => fixity.collect(),
    () => fixity.admit(),
    () => uploadsOf(fixity).create({}),
    () => uploadsOf(fixity).find(id),
    () => uploadsOf(fixity).append(id, { offset: 0, source: [], completes: false }),
    () => uploadsOf(fixity).cancel(id),
    () => uploadsOf(fixity).collect(),
  ];
  for (const call of calls) await assert.rejects(async () => call(), { code: "shutting-down" }, String(call));
});

test("a second close waits for the first", async () => {
  const fixity = createFixity({ store: memoryStore() });
  const admission = fixity.admit();
  let closed = 0;
  const closing = [fixity.close(), fixity.close(), fixity[Symbol.asyncDispose]()].map((one) =>
    one.then(() => (closed += 1)),
  );
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(closed, 0);
  admission[Symbol.dispose]();
  await Promise.all(closing);
  await fixity.close();
});

test("an append that waits for bytes is interrupted at once, and its bytes are saved", async () => {
  const store = memoryStore();
  const fixity = createFixity({ store });
  const { id } = await uploadsOf(fixity).create({});
  const source = new Standstill("he", "llo");
  const append = assert.rejects(uploadsOf(fixity).append(id, { offset: 0, source, completes: true }), stoppedAt(5));
  await source.reached.promise;
  await Promise.all([fixity.close(), append, source.left.promise]);
  assert.equal((await store.uploads?.read(id))?.offset, 5);
});

test("bytes that have arrived but were not read yet are saved too", async () => {
  const store = memoryStore();
  const fixity = createFixity({ store });
  const { id } = await uploadsOf(fixity).create({});
  const texts = Array.from({ length: 100 }, () => "0123456789");
  const source = new Standstill(...texts);
  const append = assert.rejects(uploadsOf(fixity).append(id, { offset: 0, source, completes: true }), stoppedAt(1000));
  await Promise.all([fixity.close(), append]);
  assert.equal((await store.uploads?.read(id))?.offset, 1000);
});

test("a sender that never pauses does not delay closing", async () => {
  const fixity = createFixity({ store: memoryStore() });
  const { id } = await uploadsOf(fixity).create({});
  async function* endless(): AsyncGenerator<Uint8Array> {
    const bytes = Buffer.alloc(1024 * 1024);
    for (;;) {
      yield bytes;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  const append = uploadsOf(fixity).append(id, { offset: 0, source: endless(), completes: true });
  await Promise.all([fixity.close(), assert.rejects(append, { code: "shutting-down" })]);
});

test("an append whose last byte has arrived completes its upload", async () => {
  const fixity = createFixity({ store: memoryStore() });
  const { id } = await uploadsOf(fixity).create({ length: 5 });
  const append = uploadsOf(fixity).append(id, { offset: 0, source: [Buffer.from("hello")], completes: true });
  await fixity.close();
  const { outcome } = await append;
  assert.ok(outcome !== null && "digest" in outcome);
});

test("an append whose last save fails states no offset, and keeps the cause for the log", async () => {
  const reason = new FixityError("store-unavailable", "Not now.");
  const fixity = createFixity({ store: savingLike(() => Promise.reject(reason)) });
  const { id } = await uploadsOf(fixity).create({});
  const source = new Standstill("hello");
  const append = uploadsOf(fixity).append(id, { offset: 0, source, completes: true });
  await source.reached.promise;
  await Promise.all([
    fixity.close(),
    assert.rejects(append, (error: Error) => stoppedAt(undefined)(error) && error.cause === reason),
  ]);
});

test("an append whose upload was taken over before its last save fails with upload-superseded", async () => {
  const lost = new FixityError("upload-superseded", "Taken over.");
  const fixity = createFixity({ store: savingLike(() => Promise.reject(lost)) });
  const { id } = await uploadsOf(fixity).create({});
  const source = new Standstill("hello");
  const append = uploadsOf(fixity).append(id, { offset: 0, source, completes: true });
  await source.reached.promise;
  await Promise.all([fixity.close(), assert.rejects(append, { code: "upload-superseded" })]);
});

test("a store that never answers delays closing for a bounded time", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const saving = Promise.withResolvers<void>();
  const never = () => {
    saving.resolve();
    return new Promise<void>(() => {});
  };
  const fixity = createFixity({ store: savingLike(never) });
  const { id } = await uploadsOf(fixity).create({});
  const source = new Standstill("hello");
  void uploadsOf(fixity).append(id, { offset: 0, source, completes: true });
  await source.reached.promise;
  const closed = assert.rejects(fixity.close({ timeout: 1000 }), { code: "store-unavailable" });
  await saving.promise;
  t.mock.timers.tick(1000);
  await new Promise((resolve) => setImmediate(resolve));
  t.mock.timers.tick(SAVE_TIMEOUT_MS);
  await closed;
});

test("a plain upload may finish within the timeout", async () => {
  const fixity = createFixity({ store: memoryStore() });
  const more = Promise.withResolvers<void>();
  const put = fixity.put(
    (async function* () {
      yield Buffer.from("he");
      await more.promise;
      yield Buffer.from("llo");
    })(),
  );
  const closed = fixity.close();
  await new Promise((resolve) => setImmediate(resolve));
  more.resolve();
  assert.ok((await put).digest.equals(DIGEST));
  await closed;
});

test("a plain upload is interrupted after the timeout, and nothing is stored", async () => {
  const store = memoryStore();
  const fixity = createFixity({ store });
  const source = new Standstill("hello");
  const put = assert.rejects(fixity.put(source), { code: "shutting-down" });
  await source.reached.promise;
  await Promise.all([fixity.close({ timeout: 0 }), put, source.left.promise]);
  assert.deepEqual(await Array.fromAsync(store.list()), []);
});

test("a collection is interrupted at once", async () => {
  const store = memoryStore();
  const waiting = Promise.withResolvers<void>();
  store.collect = (signal) =>
    new Promise((_, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason as Error));
      waiting.resolve();
    });
  const fixity = createFixity({ store });
  const collection = assert.rejects(fixity.collect(), { code: "shutting-down" });
  await waiting.promise;
  await Promise.all([fixity.close(), collection]);
});

test("an append of a request admitted before closing takes the bytes that have arrived, and no more", async () => {
  const fixity = createFixity({ store: memoryStore() });
  const { id } = await uploadsOf(fixity).create({});
  const admission = fixity.admit();
  const closed = fixity.close();
  const append = { offset: 0, source: new Standstill("hello"), completes: true, admission };
  await assert.rejects(uploadsOf(fixity).append(id, append), stoppedAt(5));
  admission[Symbol.dispose]();
  await closed;
});
