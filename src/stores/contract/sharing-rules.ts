import assert from "node:assert/strict";
import type { Committed } from "../../core/staged-blob.ts";
import type { BlobStore } from "../../core/store.ts";
import { assertAbsent, assertKept, content, digestOf, isStoreFailure, keep, listed, writeAll } from "./tools.ts";
import type { Rule } from "./contract-place.ts";

const WRITERS = 16;

/**
 * Writes one content many times, alternately over two stores, so that all writers reach their
 * commits together. If one fails, the others are released, so that none outlives the rule.
 */
async function commitTogether(one: BlobStore, other: BlobStore, bytes: Uint8Array): Promise<Committed[]> {
  const { promise: allAreReady, resolve, reject } = Promise.withResolvers<void>();
  let ready = 0;
  const write = async (store: BlobStore): Promise<Committed> => {
    await using staged = await store.stage();
    await writeAll(staged, bytes);
    ready += 1;
    if (ready === WRITERS) resolve();
    await allAreReady;
    return await staged.commit(digestOf(bytes));
  };
  const writers = Array.from({ length: WRITERS }, (_, n) => write(n % 2 === 0 ? one : other));
  allAreReady.catch(() => undefined);
  for (const writer of writers) writer.catch(reject);
  await Promise.allSettled(writers);
  return Promise.all(writers);
}

/** Concurrent uploads, several stores over one place, and what dead processes leave behind. */
export const SHARING_RULES: readonly Rule[] = [
  {
    name: "sixteen concurrent commits of the same content all succeed and make one blob",
    run: async ({ store, largest }) => {
      for (const size of [0, 1000, largest]) {
        const bytes = content(size, 7);
        const committed = await commitTogether(store, store, bytes);
        assert(committed.some(({ existed }) => !existed));
        await assertKept(store, bytes);
      }
      assert.equal((await listed(store)).length, 3);
    },
  },
  {
    name: "of concurrent commits of new content exactly one reports that it was new",
    capability: "tell-first-commit",
    run: async ({ store }) => {
      const committed = await commitTogether(store, store, content(1000));
      assert.equal(committed.filter(({ existed }) => !existed).length, 1);
    },
  },
  {
    name: "concurrent uploads of different content do not mix",
    run: async ({ store, largest }) => {
      const blobs = Array.from({ length: 12 }, (_, n) => content(n % 3 === 0 ? largest : n * 1000, n));
      await Promise.all(blobs.map((bytes) => keep(store, bytes, 10_007)));
      for (const bytes of blobs) await assertKept(store, bytes);
      assert.equal((await listed(store)).length, blobs.length);
    },
  },
  {
    name: "concurrent commits, reads and removals see a complete blob or none",
    run: async ({ store }) => {
      const bytes = content(300_000);
      const write = async () => {
        for (let n = 0; n < 10; n += 1) await keep(store, bytes);
      };
      const remove = async () => {
        for (let n = 0; n < 10; n += 1) await store.remove(digestOf(bytes));
      };
      const read = async () => {
        for (let n = 0; n < 20; n += 1) {
          await using reader = await store.open(digestOf(bytes));
          if (reader === null) continue;
          const chunks: Uint8Array[] = [];
          try {
            for await (const chunk of reader) chunks.push(chunk);
          } catch (error) {
            assert(isStoreFailure(error), String(error));
            continue;
          }
          assert(Buffer.concat(chunks).equals(bytes));
        }
      };
      await Promise.all([write(), write(), remove(), read(), read()]);
      await keep(store, bytes);
      await assertKept(store, bytes);
    },
  },
  {
    name: "commits and removals are visible to another store over the same place",
    needs: ["another"],
    run: async ({ store, another }) => {
      await using second = await another();
      const bytes = content(100_000);
      assert.deepEqual(await keep(store, bytes), { existed: false });
      await assertKept(second, bytes);
      assert.deepEqual(await keep(second, bytes), { existed: true });
      assert.equal(await second.remove(digestOf(bytes)), true);
      await assertAbsent(store, digestOf(bytes));
    },
  },
  {
    name: "sixteen concurrent commits of the same content over two stores all succeed and make one blob",
    needs: ["another"],
    run: async ({ store, another, largest }) => {
      await using second = await another();
      for (const size of [0, 1000, largest]) {
        const bytes = content(size, 9);
        await commitTogether(store, second, bytes);
        await assertKept(store, bytes);
        await assertKept(second, bytes);
      }
      assert.equal((await listed(second)).length, 3);
    },
  },
  {
    name: "collect removes neither live uploads nor blobs",
    run: async ({ store, largest }) => {
      const [kept, coming] = [content(largest, 1), content(largest, 2)];
      await keep(store, kept);
      await using staged = await store.stage();
      await writeAll(staged, coming.subarray(0, largest / 2));
      assert.deepEqual(await store.collect(), { staged: 0, bytes: 0 });
      await writeAll(staged, coming.subarray(largest / 2));
      await staged.commit(digestOf(coming));
      await assertKept(store, kept);
      await assertKept(store, coming);
    },
  },
  {
    name: "check and collect of another store do not touch live uploads",
    needs: ["another"],
    run: async ({ store, another, largest }) => {
      const bytes = content(largest);
      await using staged = await store.stage();
      await writeAll(staged, bytes);
      await using second = await another();
      await second.check();
      assert.deepEqual(await second.collect(), { staged: 0, bytes: 0 });
      assert.deepEqual(await staged.commit(digestOf(bytes)), { existed: false });
      await assertKept(second, bytes);
    },
  },
  {
    name: "concurrent collections remove what dead processes left half-written, and count it once",
    needs: ["abandon", "another"],
    run: async ({ store, another, abandon }) => {
      const bytes = content(1000);
      await keep(store, bytes);
      await abandon();
      await abandon();
      await using second = await another();
      const collected = await Promise.all([store.collect(), second.collect()]);
      assert.equal(collected[0].staged + collected[1].staged, 2);
      assert.deepEqual(await store.collect(), { staged: 0, bytes: 0 });
      await assertKept(store, bytes);
    },
  },
  {
    name: "disposing of a store removes no blob",
    needs: ["another"],
    run: async ({ store, another, largest }) => {
      const bytes = content(largest);
      const second = await another();
      await keep(second, bytes);
      await second[Symbol.asyncDispose]();
      await assertKept(store, bytes);
      await using third = await another();
      await assertKept(third, bytes);
    },
  },
];
