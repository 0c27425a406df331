import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import { memoryStore } from "../../memory.ts";
import { Digest } from "../digest.ts";
import { FixityError } from "../errors.ts";
import { createFixity } from "../fixity.ts";
import type { ByteSource } from "../intake.ts";
import type { UploadLimitOptions } from "../options.ts";
import type { BlobStore } from "../store.ts";
import { UploadId } from "../upload-id.ts";
import type { HeldUpload, UploadStore } from "../upload-store.ts";
import type { AppendOptions } from "./upload-options.ts";
import type { Uploads } from "./uploads.ts";

const MAX_SIZE = 100;

function uploadsOver(store: BlobStore, limits: UploadLimitOptions = {}): Uploads {
  return createFixity({ store, maxSize: MAX_SIZE, uploads: limits }).uploads ?? assert.fail("no uploads are kept");
}

/** A store with some calls of its upload store replaced. */
function storeWith(store: BlobStore, calls: Partial<UploadStore>): BlobStore {
  const kept = store.uploads ?? assert.fail("no uploads are kept");
  const uploads: UploadStore = {
    create: (...args) => kept.create(...args),
    read: (...args) => kept.read(...args),
    hold: (...args) => kept.hold(...args),
    list: (...args) => kept.list(...args),
    ...calls,
  };
  return new Proxy(store, {
    get(target, name) {
      if (name === "uploads") return uploads;
      const found: unknown = Reflect.get(target, name);
      return typeof found === "function" ? (found.bind(target) as unknown) : found;
    },
  });
}

async function taken(store: BlobStore, id: UploadId): Promise<HeldUpload> {
  const upload = await store.uploads?.hold(id);
  return upload?.status === "held" ? upload : assert.fail("the upload can be held");
}

function sent(offset: number, text: string, more: Partial<AppendOptions> = {}): AppendOptions {
  return { offset, source: [Buffer.from(text)], completes: false, ...more };
}

function digestOf(text: string): Digest {
  return Digest.fromBytes(createHash("sha256").update(text).digest()) ?? assert.fail("no digest");
}

/**
 * A source that stalls after its first chunk. `reached` resolves when a reader waits for more,
 * `left` when it gives up.
 */
class Standstill implements AsyncIterableIterator<Uint8Array> {
  readonly reached = Promise.withResolvers<void>();
  readonly left = Promise.withResolvers<void>();
  #first: Uint8Array | null;

  constructor(text: string) {
    this.#first = Buffer.from(text);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Uint8Array, undefined>> {
    const value = this.#first;
    this.#first = null;
    if (value !== null) return Promise.resolve({ done: false, value });
    this.reached.resolve();
    return new Promise(() => {});
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.left.resolve();
    return { done: true, value: undefined };
  }
}

test("a length below the saved bytes is refused, with and without content", async () => {
  const uploads = uploadsOver(memoryStore());
  const { id } = await uploads.create({});
  await uploads.append(id, sent(0, "hello"));
  for (const text of ["", "x"]) {
    await assert.rejects(uploads.append(id, sent(5, text, { lengths: [4] })), { code: "inconsistent-length" });
  }
  const state = await uploads.find(id);
  assert.deepEqual([state.offset, state.length, state.outcome], [5, null, null]);
});

test("a length stated by an append is compared with the largest size at once", async () => {
  const uploads = uploadsOver(memoryStore());
  const { id } = await uploads.create({});
  await assert.rejects(uploads.append(id, sent(0, "x", { lengths: [MAX_SIZE + 1] })), { code: "size-limit-exceeded" });
  assert.equal((await uploads.find(id)).length, null);
});

test("bytes past the largest size end an upload without a length, and later appends return that outcome", async () => {
  const uploads = uploadsOver(memoryStore());
  const { id } = await uploads.create({});
  await uploads.append(id, sent(0, "hello"));
  await assert.rejects(uploads.append(id, sent(5, "x".repeat(MAX_SIZE))), { code: "size-limit-exceeded" });
  for (const offset of [0, 5, 1000]) {
    const { outcome } = await uploads.append(id, sent(offset, "x"));
    assert.ok(outcome instanceof FixityError);
    assert.equal(outcome.code, "size-limit-exceeded");
  }
});

const announcements: readonly (readonly [string, (text: string) => Partial<AppendOptions>])[] = [
  ["announced", (text) => ({ announced: text.length })],
  ["not announced", () => ({})],
];
for (const [how, announce] of announcements) {
  test(`a complete upload returns its outcome only to an append of no bytes at its end: bytes ${how}`, async () => {
    const uploads = uploadsOver(memoryStore());
    const { id } = await uploads.create({});
    await uploads.append(id, sent(0, "hello", { completes: true }));
    assert.equal((await uploads.append(id, sent(5, "", announce("")))).offset, 5);
    for (const [offset, text] of [
      [0, "hello"],
      [0, "hallo"],
      [2, "llo"],
      [0, ""],
      [5, "!"],
      [0, "hello!"],
      [6, ""],
    ] as const) {
      await assert.rejects(uploads.append(id, sent(offset, text, announce(text))), ({ code, facts }: FixityError) => {
        assert.deepEqual([code, facts["expected-offset"]], ["offset-mismatch", 5], `${offset} ${text}`);
        return true;
      });
    }
  });
}

test("an append to a complete upload with another length or digest is refused", async () => {
  const uploads = uploadsOver(memoryStore());
  const { id } = await uploads.create({});
  await uploads.append(id, sent(0, "hello", { completes: true }));
  await assert.rejects(uploads.append(id, sent(5, "", { lengths: [6] })), { code: "inconsistent-length" });
  await assert.rejects(uploads.append(id, sent(5, "", { digest: digestOf("other") })), { code: "digest-mismatch" });
  assert.equal((await uploads.append(id, sent(5, "", { lengths: [5], digest: digestOf("hello") }))).offset, 5);
});

test("uploads created concurrently do not exceed the limit together", async () => {
  const uploads = uploadsOver(memoryStore(), { maxOpen: 2 });
  const created = await Promise.allSettled([1, 2, 3, 4].map(() => uploads.create({})));
  assert.equal(created.filter(({ status }) => status === "fulfilled").length, 2);
});

test("an upload whose creation failed takes up no room", async () => {
  const store = memoryStore();
  let fails = true;
  const create: UploadStore["create"] = async (...args) => {
    if (fails) throw new FixityError("store-unavailable", "Not now.");
    await store.uploads?.create(...args);
  };
  const uploads = uploadsOver(storeWith(store, { create }), { maxOpen: 1 });
  await assert.rejects(uploads.create({}), { code: "store-unavailable" });
  fails = false;
  await uploads.create({});
});

test("uploads that ended on another instance make room", async () => {
  const store = memoryStore();
  const here = uploadsOver(store, { maxOpen: 2 });
  const there = uploadsOver(store);
  const [one, two] = [await here.create({}), await here.create({})];
  await assert.rejects(here.create({}), { code: "too-many-uploads" });
  await there.append(one.id, sent(0, "hello", { completes: true }));
  const three = await here.create({});
  await there.cancel(two.id);
  await here.create({});
  await assert.rejects(here.create({}), { code: "too-many-uploads" });
  await here.find(three.id);
});

test("uploads that were continued here and ended elsewhere make room, however many", async () => {
  const store = memoryStore();
  const here = uploadsOver(store, { maxOpen: 2 });
  const there = uploadsOver(store);
  for (let count = 0; count < 50; count += 1) {
    const { id } = await there.create({});
    await here.append(id, sent(0, "he"));
    await there.append(id, sent(2, "llo", { completes: true }));
  }
  await here.create({});
});

test("an upload that is complete at once is kept only if its address is returned", async () => {
  const store = memoryStore();
  await createFixity({ store }).put(Buffer.from("hello"));
  const uploads = uploadsOver(store);
  const state = await uploads.create({ digest: digestOf("hello"), length: 5, keepsComplete: false });
  assert.ok(state.outcome !== null && "digest" in state.outcome);
  assert.deepEqual(await Array.fromAsync(store.uploads?.list() ?? []), []);
  const { id } = await uploads.create({ digest: digestOf("hello"), length: 5 });
  assert.equal((await uploads.find(id)).offset, 5);
});

test("a digest without a length does not complete an upload: the blob may have the wrong size", async () => {
  const store = memoryStore();
  await createFixity({ store }).put(Buffer.from("hello"));
  const uploads = uploadsOver(store);
  const { id, outcome } = await uploads.create({ digest: digestOf("hello") });
  assert.equal(outcome, null);
  const state = await uploads.append(id, sent(0, "hello", { completes: true }));
  assert.ok(state.outcome !== null && "digest" in state.outcome);
});

test("a sha-512 that an append to a complete upload states is compared with the stored bytes", async () => {
  const uploads = uploadsOver(memoryStore());
  const { id } = await uploads.create({});
  await uploads.append(id, sent(0, "hello", { completes: true }));
  const sha512 = (text: string) => createHash("sha512").update(text).digest();
  assert.equal((await uploads.append(id, sent(5, "", { sha512: sha512("hello") }))).offset, 5);
  await assert.rejects(uploads.append(id, sent(5, "", { sha512: sha512("other") })), { code: "digest-mismatch" });
  const check = () => ({ sha512: sha512("other") });
  await assert.rejects(uploads.append(id, sent(5, "", { check })), { code: "digest-mismatch" });
});

test("an upload that failed for good makes room", async () => {
  const uploads = uploadsOver(memoryStore(), { maxOpen: 1 });
  const { id } = await uploads.create({ length: 3 });
  await assert.rejects(uploads.append(id, sent(0, "hello")), { code: "inconsistent-length" });
  await uploads.create({});
});

test("a collection examines sixteen uploads concurrently, and no more", async (t) => {
  t.mock.timers.enable({ apis: ["Date"] });
  const store = memoryStore();
  const port = store.uploads ?? assert.fail();
  const read = port.read.bind(port);
  let running = 0;
  let most = 0;
  const uploads = uploadsOver(store, { expiry: 1 });
  for (let n = 0; n < 50; n += 1) await uploads.create({});
  port.read = async (id, signal) => {
    running += 1;
    most = Math.max(most, running);
    // every other concurrent call arrives here in the meantime
    for (let turn = 0; turn < 100; turn += 1) await Promise.resolve();
    await new Promise(setImmediate);
    running -= 1;
    return read(id, signal);
  };
  t.mock.timers.tick(5);
  assert.equal((await uploads.collect()).staged, 50);
  assert.equal(most, 16);
  assert.deepEqual(await Array.fromAsync(port.list()), []);
});

test("an unreadable upload does not keep the others from being collected, and is reported", async (t) => {
  t.mock.timers.enable({ apis: ["Date"] });
  const store = memoryStore();
  const uploads = uploadsOver(store, { expiry: 1 });
  const ids = [await uploads.create({}), await uploads.create({}), await uploads.create({})].map(({ id }) => id);
  const [, damaged = assert.fail()] = ids;
  await using held = await taken(store, damaged);
  await held.save('{"version":2}');
  t.mock.timers.tick(5);
  await assert.rejects(uploads.collect(), { code: "store-unavailable" });
  assert.deepEqual(await Array.fromAsync(store.uploads?.list() ?? [], ({ id }) => id), [damaged]);
});

test("an unreadable upload does not keep leftovers from being removed", async (t) => {
  t.mock.timers.enable({ apis: ["Date"] });
  const store = memoryStore();
  const { id } = await uploadsOver(store).create({});
  await using held = await taken(store, id);
  await held.save('{"version":2}');
  let collected = 0;
  store.collect = async () => {
    collected += 1;
    return { staged: 0, bytes: 0 };
  };
  t.mock.timers.tick(3_600_000);
  await assert.rejects(createFixity({ store }).collect(), { code: "store-unavailable" });
  assert.equal(collected, 1);
});

test("an ended upload without a readable record is reported as damaged once, and is gone then", async () => {
  const store = memoryStore();
  const id = UploadId.random();
  await store.uploads?.create(id, "{", { isEnded: true });
  const { outcome } = await uploadsOver(store).find(id);
  assert.ok(outcome instanceof FixityError);
  assert.equal(outcome.code, "upload-damaged");
  await assert.rejects(uploadsOver(store).find(id), { code: "upload-not-found" });
});

test("a holder that is asked to release its upload does not wait for the sender's next byte", async () => {
  const uploads = uploadsOver(memoryStore());
  const { id } = await uploads.create({});
  const source = new Standstill("hello");
  const append = uploads.append(id, { offset: 0, source, completes: true });
  await source.reached.promise;
  const [state, told] = await Promise.all([uploads.find(id), assert.rejects(append, { code: "upload-superseded" })]);
  assert.deepEqual([state.offset, told], [5, undefined]);
  await source.left.promise;
});

test("a sender that breaks off just after another request completed the upload fails only its own request", async () => {
  const store = memoryStore();
  const { id } = await uploadsOver(store).create({});
  const stale = await store.uploads?.read(id);
  await uploadsOver(store).append(id, sent(0, "hello", { completes: true }));
  const hold: UploadStore["hold"] = async (...args) => {
    const held = (await store.uploads?.hold(...args)) ?? null;
    if (held?.status !== "held") return held;
    const dispose = held[Symbol.asyncDispose].bind(held);
    held[Symbol.asyncDispose] = async () => {
      await new Promise((resolve) => setTimeout(resolve, 10));
      await dispose();
    };
    return held;
  };
  const uploads = uploadsOver(storeWith(store, { hold, read: async () => stale ?? null }));
  const source: ByteSource = (async function* () {
    yield Buffer.alloc(0);
    throw new FixityError("upload-aborted", "Gone.");
  })();
  await assert.rejects(uploads.append(id, { offset: 5, source, completes: true }), { code: "upload-aborted" });
});

test("a holder that is asked to release its upload at once still saves its first bytes", async () => {
  const store = memoryStore();
  const hold: UploadStore["hold"] = async (id, signal) => {
    const held = (await store.uploads?.hold(id, signal)) ?? null;
    if (held?.status !== "held") return held;
    const takeover = AbortSignal.abort(new FixityError("upload-superseded", "Another request is waiting already."));
    return Object.defineProperty(held, "takeover", { value: takeover });
  };
  const uploads = uploadsOver(storeWith(store, { hold }));
  const { id } = await uploads.create({});
  const source = [Buffer.from("first"), Buffer.from("second")];
  await assert.rejects(uploads.append(id, { offset: 0, source, completes: true }), { code: "upload-superseded" });
  assert.equal((await uploads.find(id)).offset, 5);
  const silent = new Standstill("");
  await silent.next();
  await assert.rejects(uploads.append(id, { offset: 5, source: silent, completes: true }), {
    code: "upload-superseded",
  });
  assert.equal((await uploads.find(id)).offset, 5);
});

test("hashing saved bytes continues where a superseded request left off", async () => {
  const store = memoryStore();
  const { id } = await uploadsOver(store).create({});
  for (const offset of [0, 10, 20, 30]) await uploadsOver(store).append(id, sent(offset, "0123456789"));
  let given = 0;
  let isHalfway = false;
  const halfway = Promise.withResolvers<void>();
  const hold: UploadStore["hold"] = async (...args) => {
    const held = (await store.uploads?.hold(...args)) ?? null;
    if (held?.status !== "held") return held;
    const read = held.read?.bind(held) ?? assert.fail("the store reads saved bytes back");
    held.read = async function* (from) {
      for await (const chunk of read(from)) {
        if (given === 20 && !isHalfway) {
          isHalfway = true;
          halfway.resolve();
          // the second request takes over here
          if (!held.takeover.aborted) await once(held.takeover, "abort");
        }
        yield chunk;
        given += chunk.length;
      }
    };
    return held;
  };
  const uploads = uploadsOver(storeWith(store, { hold }));
  const first = assert.rejects(uploads.append(id, sent(40, "x")), { code: "upload-superseded" });
  await halfway.promise;
  const { outcome } = await uploads.append(id, sent(40, "!", { completes: true }));
  await first;
  assert.ok(outcome !== null && "digest" in outcome);
  assert.ok(outcome.digest.equals(digestOf(`${"0123456789".repeat(4)}!`)));
  assert.equal(given, 40);
});

test("requests during a completion wait for it, also if another holder has to redo it", async () => {
  const store = memoryStore();
  const [first, second, looked] = [1, 2, 3].map(() => Promise.withResolvers<void>());
  assert.ok(first && second && looked);
  const commits: Promise<void>[] = [first.promise, second.promise];
  const committing = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let holds = 0;
  const hold: UploadStore["hold"] = async (id, signal) => {
    holds += 1;
    const held = (await store.uploads?.hold(id, signal)) ?? null;
    if (held?.status !== "held") return held;
    const commit = held.commit.bind(held);
    held.commit = async (digest) => {
      committing.shift()?.resolve();
      await commits.shift();
      return commit(digest);
    };
    return held;
  };
  let looks = 0;
  const read: UploadStore["read"] = async (id, signal) => {
    looks += 1;
    const isSecond = looks === 2;
    const saved = (await store.uploads?.read(id, signal)) ?? null;
    if (isSecond) await looked.promise;
    return saved;
  };
  const uploads = uploadsOver(storeWith(store, { hold, read }));
  const { id } = await uploads.create({});
  const reached = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const source: ByteSource = (async function* () {
    yield Buffer.from("hello");
    reached.resolve();
    await ended.promise;
  })();
  const [firstCommit, secondCommit] = committing;
  const append = assert.rejects(uploads.append(id, { offset: 0, source, completes: true }), {
    code: "upload-superseded",
  });
  await reached.promise;
  // looks while bytes are still arriving, and takes over while they are being committed
  const finding = uploads.find(id);
  ended.resolve();
  await firstCommit?.promise;
  looked.resolve();
  await secondCommit?.promise;
  first.resolve();
  await append;
  const third = uploads.find(id);
  for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
  assert.equal(holds, 2);
  second.resolve();
  for (const { outcome } of await Promise.all([finding, third])) assert.ok(outcome !== null && "digest" in outcome);
});
