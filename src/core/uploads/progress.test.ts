/** What a slow request saves on the way, and that no collector removes its upload. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { type TestContext, test } from "node:test";
import { memoryStore } from "../../memory.ts";
import { createFixity } from "../fixity.ts";
import type { BlobStore } from "../store.ts";
import type { HeldUpload } from "../upload-store.ts";
import type { AppendOptions } from "./upload-options.ts";
import type { Uploads } from "./uploads.ts";

const EXPIRY = 10_000;

function uploadsOver(store: BlobStore, expiry?: number): Uploads {
  const uploads = expiry === undefined ? {} : { expiry };
  return createFixity({ store, uploads }).uploads ?? assert.fail("no uploads are kept");
}

/** A sender that the test controls. */
class Sender implements AsyncIterableIterator<Uint8Array> {
  #send: ((result: IteratorResult<Uint8Array, undefined>) => void) | null = null;
  #asked = Promise.withResolvers<void>();

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Uint8Array, undefined>> {
    return new Promise((resolve) => {
      this.#send = resolve;
      this.#asked.resolve();
    });
  }

  /** Resolves when the reader waits for bytes. */
  async isAsked(): Promise<void> {
    await this.#asked.promise;
  }

  /** Sends, and waits until the reader waits for more. */
  async send(text: string): Promise<void> {
    this.begin(text);
    await this.isAsked();
  }

  /** Sends without waiting. */
  begin(text: string): void {
    this.#asked = Promise.withResolvers();
    this.#send?.({ done: false, value: Buffer.from(text) });
  }

  end(): void {
    this.#send?.({ done: true, value: undefined });
  }
}

/** Waits until pending work has settled. */
async function rest(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** A memory store that counts saves and renewals, with some calls of its holders replaced. */
function watched(calls: (held: HeldUpload) => Partial<HeldUpload> = () => ({})) {
  const store = memoryStore();
  const uploads = store.uploads ?? assert.fail("no uploads are kept");
  const hold = uploads.hold.bind(uploads);
  const seen = { saves: 0, renewals: 0 };
  uploads.hold = async (...args) => {
    const held = await hold(...args);
    if (held?.status !== "held") return held;
    const save = held.save.bind(held);
    const renew = held.renew.bind(held);
    Object.assign(held, {
      save: (...args: Parameters<typeof save>) => ((seen.saves += 1), save(...args)),
      renew: (record: string) => ((seen.renewals += 1), renew(record)),
      ...calls(held),
    });
    return held;
  };
  return { store, uploads, seen };
}

function mockTime(t: TestContext): void {
  t.mock.timers.enable({ apis: ["setInterval", "Date"], now: Date.now() });
}

function appending(source: AppendOptions["source"], more: Partial<AppendOptions> = {}): AppendOptions {
  return { offset: 0, source, completes: true, ...more };
}

test("the bytes of a slow sender are saved within five seconds, once", async (t) => {
  mockTime(t);
  const { store, uploads, seen } = watched();
  const { id } = await uploadsOver(store).create({});
  const engine = uploadsOver(store);
  const sender = new Sender();
  const told: number[] = [];
  const append = engine.append(id, appending(sender, { onProgress: (offset) => told.push(offset) }));
  await sender.isAsked();
  t.mock.timers.tick(20_000);
  await rest();
  assert.equal(seen.saves, 0, "nothing arrived");
  await sender.send("hel");
  assert.equal((await uploads.read(id))?.offset, 0);
  t.mock.timers.tick(5_000);
  await rest();
  assert.equal((await uploads.read(id))?.offset, 3);
  t.mock.timers.tick(60_000);
  await rest();
  assert.equal(seen.saves, 1, "nothing more arrived");
  await sender.send("lo");
  t.mock.timers.tick(5_000);
  await rest();
  assert.equal((await uploads.read(id))?.offset, 5);
  assert.deepEqual(told, [3, 5]);
  sender.end();
  const { outcome } = await append;
  assert.ok(outcome !== null && "digest" in outcome);
  assert.equal(outcome.digest.hex, createHash("sha256").update("hello").digest("hex"));
});

test("no save begins during a write; it begins right after it", async (t) => {
  mockTime(t);
  const full = Promise.withResolvers<void>();
  let writes = 0;
  const { store, uploads, seen } = watched((held) => {
    const write = held.write.bind(held);
    return {
      write: (bytes) => {
        writes += 1;
        void write(bytes);
        return writes === 2 ? full.promise : undefined;
      },
    };
  });
  const engine = uploadsOver(store);
  const { id } = await engine.create({});
  const sender = new Sender();
  const append = engine.append(id, appending(sender));
  await sender.isAsked();
  await sender.send("hel");
  sender.begin("lo");
  await rest();
  t.mock.timers.tick(5_000);
  await rest();
  assert.equal(seen.saves, 0);
  full.resolve();
  await sender.isAsked();
  await rest();
  assert.equal((await uploads.read(id))?.offset, 5);
  sender.end();
  await append;
});

test("bytes that count all together are not saved on the way", async (t) => {
  mockTime(t);
  const { store, uploads, seen } = watched();
  const engine = uploadsOver(store);
  const { id } = await engine.create({});
  const sender = new Sender();
  const append = engine.append(id, appending(sender, { whole: true }));
  await sender.isAsked();
  await sender.send("hello");
  t.mock.timers.tick(60_000);
  await rest();
  assert.deepEqual([seen.saves, (await uploads.read(id))?.offset], [0, 0]);
  sender.end();
  await append;
});

for (const whole of [false, true]) {
  for (const [who, isSame] of [
    ["this", true],
    ["another", false],
  ] as const) {
    test(`the collector of ${who} instance does not remove the upload of a slow sender: ${whole ? "all or nothing" : "arrived bytes count"}`, async (t) => {
      mockTime(t);
      const { store } = watched();
      const engine = uploadsOver(store, EXPIRY);
      const collector = isSame ? engine : uploadsOver(store, EXPIRY);
      const { id } = await engine.create({});
      const sender = new Sender();
      const append = engine.append(id, appending(sender, { whole }));
      await sender.isAsked();
      for (let second = 0; second < 60; second += 1) {
        await sender.send("x");
        t.mock.timers.tick(1_000);
        await rest();
        assert.deepEqual(await collector.collect(), { staged: 0, bytes: 0 });
      }
      sender.end();
      const { outcome, offset } = await append;
      assert.equal(offset, 60);
      assert.ok(outcome !== null && "digest" in outcome);
    });
  }
}

test("a paused sender keeps its upload while its request runs, and no longer", async (t) => {
  mockTime(t);
  const { store, uploads, seen } = watched();
  const engine = uploadsOver(store, EXPIRY);
  const collector = uploadsOver(store, EXPIRY);
  const { id } = await engine.create({});
  const sender = new Sender();
  const append = engine.append(id, appending(sender, { completes: false }));
  await sender.isAsked();
  await sender.send("hello");
  for (let second = 0; second < 60; second += 1) {
    t.mock.timers.tick(1_000);
    await rest();
    await collector.collect();
  }
  assert.equal(seen.saves, 1);
  assert.ok(seen.renewals > 0);
  sender.end();
  assert.equal((await append).offset, 5);
  t.mock.timers.tick(EXPIRY + 1);
  assert.deepEqual(await collector.collect(), { staged: 1, bytes: 5 });
  assert.equal(await uploads.read(id), null);
});

test("a sealed upload outlives its expiry", async (t) => {
  mockTime(t);
  const { store } = watched(() => ({ commit: () => Promise.reject(new Error("died here")) }));
  const engine = uploadsOver(store, EXPIRY);
  const { id } = await engine.create({});
  await assert.rejects(engine.append(id, appending([Buffer.from("hello")])), /died here/);
  t.mock.timers.tick(EXPIRY * 2);
  await uploadsOver(store, EXPIRY).collect();
  await assert.rejects(uploadsOver(store, EXPIRY).find(id), /died here/, "it is still there");
});
