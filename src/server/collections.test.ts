import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { createFixity } from "../core/fixity.ts";
import type { BlobStore, CollectionMark } from "../core/store.ts";
import { memoryStore } from "../memory.ts";
import { collectPeriodically } from "./collections.ts";

const HOUR = 3_600_000;
const MINUTE = 60_000;
const SECOND = 1_000;

/**
 * The golden ratio: its multiples are spread evenly, so that no two servers check in the same
 * second.
 */
const GOLDEN_RATIO = 0.618_033_988_75;

/** Waits until everything that awaits only promises has settled. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 30; turn += 1) await Promise.resolve();
}

/** A mark by the mocked clock. */
function clockMark(): CollectionMark & { at: number | null } {
  return {
    at: null,
    async age() {
      return this.at === null ? null : Date.now() - this.at;
    },
    async set() {
      this.at = Date.now();
    },
  };
}

/** A store that several servers share, and the collections that they run. */
class Shared implements Disposable {
  /** When each collection of the store began. */
  readonly collections: number[] = [];
  readonly warnings: unknown[] = [];
  /** What a collection does; it may fail. */
  collect: () => Promise<void> = () => Promise.resolve();
  readonly #timers: TestContext["mock"]["timers"];
  readonly #store: BlobStore;
  readonly #stop = new AbortController();

  constructor(t: TestContext, collectionMark?: CollectionMark) {
    let numbers = 0;
    t.mock.method(Math, "random", () => ((numbers += 1) * GOLDEN_RATIO) % 1);
    this.#timers = t.mock.timers;
    this.#timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
    const store = memoryStore();
    store.collect = async () => {
      this.collections.push(Date.now());
      await this.collect();
      return { staged: 0, bytes: 0 };
    };
    this.#store = Object.assign(store, collectionMark === undefined ? {} : { collectionMark });
  }

  /** Starts one more server. */
  async startServer(): Promise<void> {
    const log = { warn: (facts: unknown) => this.warnings.push(facts) };
    const fixity = createFixity({ store: this.#store });
    void collectPeriodically(fixity, { periodMs: HOUR, signal: this.#stop.signal, log });
    await settle();
  }

  /** Advances the mocked clock. */
  async advance(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= SECOND) {
      this.#timers.tick(Math.min(left, SECOND));
      await settle();
    }
  }

  stop(): void {
    this.#stop.abort();
  }

  [Symbol.dispose](): void {
    this.stop();
  }
}

describe("periodic collections", () => {
  test("ten servers that restart one by one collect once, and then together about once an hour", async (t) => {
    using shared = new Shared(t, clockMark());
    for (let server = 0; server < 10; server += 1) await shared.startServer();
    assert.equal(shared.collections.length, 1);
    await shared.advance(12 * HOUR);
    const { collections } = shared;
    assert.ok(collections.length <= 13 && collections.length >= 10, String(collections.length));
    for (const [index, at] of collections.entries()) {
      const gap = at - (collections[index - 1] ?? at - HOUR);
      assert.ok(gap >= HOUR && gap <= 1.25 * HOUR + SECOND, `${gap / MINUTE} minutes`);
    }
  });

  test("without a mark, and with one that cannot be read, every server collects at its start and each hour", async (t) => {
    const marks: Record<string, CollectionMark | undefined> = {
      none: undefined,
      unknown: { age: () => Promise.resolve(null), set: () => Promise.resolve() },
      broken: { age: () => Promise.reject(new Error("no")), set: () => Promise.resolve() },
      nonsense: { age: () => Promise.resolve(Number.NaN), set: () => Promise.resolve() },
    };
    for (const [name, collectionMark] of Object.entries(marks)) {
      t.mock.timers.reset();
      using shared = new Shared(t, collectionMark);
      await shared.startServer();
      await shared.startServer();
      assert.equal(shared.collections.length, 2, name);
      await shared.advance(1.25 * HOUR + MINUTE);
      assert.equal(shared.collections.length, 4, name);
    }
  });

  test("a collection that failed, or never ended, leaves no mark: another server collects", async (t) => {
    using shared = new Shared(t, clockMark());
    shared.collect = () => Promise.reject(new Error("a bad disk"));
    await shared.startServer();
    assert.equal(shared.warnings.length, 1);
    shared.collect = () => new Promise(() => null);
    await shared.startServer();
    shared.collect = () => Promise.resolve();
    await shared.startServer();
    assert.equal(shared.collections.length, 3);
    await shared.startServer();
    assert.equal(shared.collections.length, 3, "the third one was complete");
    await shared.advance(1.25 * HOUR + MINUTE);
    assert.equal(shared.collections.length, 4, "the failure did not end the collections");
  });

  test("a stopping server begins no further collection, and logs no warning", async (t) => {
    using shared = new Shared(t);
    shared.collect = () => Promise.reject(new Error("interrupted"));
    const starting = shared.startServer();
    shared.stop();
    await starting;
    await shared.advance(3 * HOUR);
    assert.ok(shared.collections.length <= 1);
    assert.deepEqual(shared.warnings, []);
  });
});
