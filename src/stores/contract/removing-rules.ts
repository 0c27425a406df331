import assert from "node:assert/strict";
import { assertAbsent, assertKept, content, digestOf, keep, listed } from "./tools.ts";
import type { Rule } from "./contract-place.ts";

/** What is listed and what is removed. */
export const REMOVING_RULES: readonly Rule[] = [
  {
    name: "an empty store lists nothing",
    run: async ({ store }) => {
      assert.deepEqual(await listed(store), []);
    },
  },
  {
    name: "every blob is listed exactly once, with its size",
    run: async ({ store }) => {
      const sizes = new Map<string, number>();
      for (let size = 0; size < 300; size += 1) {
        const bytes = content(size, size);
        await keep(store, bytes);
        sizes.set(digestOf(bytes).hex, size);
      }
      const found = await listed(store);
      assert.deepEqual(new Map(found.map((stat) => [stat.digest.hex, stat.size])), sizes);
      assert.equal(found.length, sizes.size);
      for (const stat of found) assert(stat.modified instanceof Date);
    },
  },
  {
    name: "commits and removals during a listing hide no other blob",
    run: async ({ store }) => {
      const stays = Array.from({ length: 60 }, (_, index) => content(50, index));
      const goes = Array.from({ length: 60 }, (_, index) => content(51, index));
      for (const bytes of [...stays, ...goes]) await keep(store, bytes);
      const found: string[] = [];
      for await (const { digest } of store.list()) {
        found.push(digest.hex);
        const gone = goes.pop();
        if (gone !== undefined) await store.remove(digestOf(gone));
        if (found.length <= 60) await keep(store, content(52, found.length));
      }
      for (const bytes of stays) {
        assert.equal(found.filter((hex) => hex === digestOf(bytes).hex).length, 1);
      }
    },
  },
  {
    name: "a listing may be left early",
    run: async ({ store }) => {
      await keep(store, content(10));
      await keep(store, content(11));
      for await (const stat of store.list()) {
        assert(stat.size > 0);
        break;
      }
      assert.equal((await listed(store)).length, 2);
    },
  },
  {
    name: "a listing by prefix has the blobs whose digest begins with it, and no other",
    needs: ["listPrefix"],
    run: async ({ store }) => {
      const kept = Array.from({ length: 60 }, (_, index) => content(index, index));
      for (const bytes of kept) await keep(store, bytes);
      const hexes = kept.map((bytes) => digestOf(bytes).hex);
      const taken = new Set(hexes.map((hex) => hex.slice(0, 2)));
      const free = ["00", "7f", "80", "a0", "ff"].filter((prefix) => !taken.has(prefix));
      for (const prefix of [...taken, ...free]) {
        const found = await Array.fromAsync(store.listPrefix?.(prefix) ?? assert.fail());
        const expected = kept.filter((bytes) => digestOf(bytes).hex.startsWith(prefix));
        assert.deepEqual(
          new Map(found.map((stat) => [stat.digest.hex, stat.size])),
          new Map(expected.map((bytes) => [digestOf(bytes).hex, bytes.length])),
        );
        assert.equal(found.length, expected.length, "each is listed once");
      }
    },
  },
  {
    name: "a listing by prefix rejects with the reason of an aborted signal",
    needs: ["listPrefix"],
    run: async ({ store }) => {
      const reason = new Error("stop");
      const controller = new AbortController();
      controller.abort(reason);
      const listing = store.listPrefix?.("00", controller.signal) ?? assert.fail();
      await assert.rejects(Array.fromAsync(listing), reason);
    },
  },
  {
    name: "remove removes only its blob, and reports false the second time",
    run: async ({ store, largest }) => {
      const [gone, stays] = [content(largest, 1), content(largest, 2)];
      await keep(store, gone);
      await keep(store, stays);
      assert.equal(await store.remove(digestOf(gone)), true);
      assert.equal(await store.remove(digestOf(gone)), false);
      await assertAbsent(store, digestOf(gone));
      await assertKept(store, stays);
    },
  },
  {
    name: "removed content may be uploaded again",
    run: async ({ store }) => {
      const bytes = content(1000);
      for (let round = 0; round < 3; round += 1) {
        assert.deepEqual(await keep(store, bytes), { existed: false });
        await assertKept(store, bytes);
        assert.equal(await store.remove(digestOf(bytes)), true);
      }
      await assertAbsent(store, digestOf(bytes));
    },
  },
  {
    name: "content staged before a removal can be committed after it",
    run: async ({ store, largest }) => {
      const bytes = content(largest);
      await keep(store, bytes);
      await using staged = await store.stage();
      await staged.write(bytes);
      await store.remove(digestOf(bytes));
      assert.deepEqual(await staged.commit(digestOf(bytes)), { existed: false });
      await assertKept(store, bytes);
    },
  },
];
