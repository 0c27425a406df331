import assert from "node:assert/strict";
import type { BlobIdentity } from "../../core/blob-stat.ts";
import type { Digest } from "../../core/digest.ts";
import type { BlobStore } from "../../core/store.ts";
import type { Rule } from "./contract-place.ts";
import { content, digestOf, keep, openExisting, writeAll } from "./tools.ts";

/** Milliseconds after which a new copy of the same bytes has another identity. */
const IDENTITY_CHANGE_MAX_MS = 5_000;

/**
 * The identity of a stored blob, the same by every method that reports one; `undefined` if the
 * store has none.
 */
async function identityIn(store: BlobStore, digest: Digest): Promise<BlobIdentity | undefined> {
  const identity = (await store.stat(digest))?.identity;
  assert((identity?.length ?? 0) <= 200, "an identity has at most 200 characters");
  assert.equal((await store.confirm(digest))?.identity, identity);
  await using reader = await openExisting(store, digest);
  assert.equal(reader.identity, identity);
  for await (const stat of store.list()) {
    if (!stat.digest.equals(digest)) continue;
    assert(stat.identity === undefined || stat.identity === identity, "a listing reports the same identity or none");
  }
  return identity;
}

/** How stored copies are told apart, and what a commit does with the one that is there. */
export const REPLACING_RULES: readonly Rule[] = [
  {
    name: "the identity of a stored copy stays the same while nothing happens to it, for every store over the place",
    needs: ["another"],
    run: async ({ store, another, largest }) => {
      await using second = await another();
      for (const size of [0, 10, largest]) {
        const digest = digestOf(content(size));
        await keep(store, content(size));
        const identity = await identityIn(store, digest);
        await keep(store, content(20, size));
        await store.collect();
        assert.equal(await identityIn(store, digest), identity);
        assert.equal(await identityIn(second, digest), identity);
      }
    },
  },
  {
    name: "a blob that was removed and stored again has another identity",
    run: async ({ store, largest }) => {
      const bytes = content(largest);
      await keep(store, bytes);
      const identity = await identityIn(store, digestOf(bytes));
      if (identity === undefined) return;
      const storeAgain = async () => {
        // Staged while the first copy is there, so that the second cannot get its place on a disk.
        await using staged = await store.stage();
        await writeAll(staged, bytes);
        await store.remove(digestOf(bytes));
        await staged.commit(digestOf(bytes));
        return identityIn(store, digestOf(bytes));
      };
      // A store may tell copies of the same bytes apart by times of whole seconds.
      const start = Date.now();
      let next = await storeAgain();
      while (next === identity && Date.now() - start < IDENTITY_CHANGE_MAX_MS) next = await storeAgain();
      assert.notEqual(next, identity);
    },
  },
  {
    name: "a blob that another program has written to has another identity, and its replacement too",
    needs: ["damage"],
    capability: "replace-damaged",
    run: async ({ store, damage, largest }) => {
      for (const size of [10, largest]) {
        const bytes = content(size);
        const digest = digestOf(bytes);
        await keep(store, bytes);
        const first = await identityIn(store, digest);
        if (first === undefined) return;
        await damage(digest);
        const damaged = await identityIn(store, digest);
        await keep(store, bytes);
        const replaced = await identityIn(store, digest);
        assert.notEqual(damaged, first);
        assert.notEqual(replaced, damaged);
      }
    },
  },
];
