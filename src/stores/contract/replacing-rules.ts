import assert from "node:assert/strict";
import type { BlobIdentity, BlobStat } from "../../core/blob-stat.ts";
import type { Digest } from "../../core/digest.ts";
import type { CommitOptions, Committed, StoredVerdict } from "../../core/staged-blob.ts";
import type { BlobStore } from "../../core/store.ts";
import { UploadId } from "../../core/upload-id.ts";
import type { Rule } from "./contract-place.ts";
import { assertKept, content, digestOf, isStoreFailure, keep, openExisting, readAll, writeAll } from "./tools.ts";
import { bring, take } from "./upload-tools.ts";

/** Milliseconds after which a new copy of the same bytes has another identity. */
const IDENTITY_CHANGE_MAX_MS = 5_000;

/**
 * The identity of a stored blob, the same by every method that asks what is stored; `undefined` if
 * the store has none. `stat` may know from a cache what was there before.
 */
async function identityIn(store: BlobStore, digest: Digest): Promise<BlobIdentity | undefined> {
  const identity = (await store.confirm(digest))?.identity;
  assert((identity?.length ?? 0) <= 200, "an identity has at most 200 characters");
  await using reader = await store.open(digest, { bypassCache: true });
  assert.equal(reader?.identity, identity);
  for await (const stat of store.list()) {
    if (!stat.digest.equals(digest)) continue;
    assert(stat.identity === undefined || stat.identity === identity, "a listing reports the same identity or none");
  }
  return identity;
}

/** Commits bytes in one of the ways that there are; `null` if the store does not offer it. */
type Way = (store: BlobStore, bytes: Uint8Array, options: CommitOptions) => Promise<Committed | null>;

/** @param isAnnounced the store knows digest and length from the beginning */
function asStaged(isAnnounced: boolean): Way {
  return async (store, bytes, options) => {
    const digest = digestOf(bytes);
    await using staged = await store.stage(isAnnounced ? { digest, length: bytes.length } : {});
    await writeAll(staged, bytes);
    return await staged.commit(digest, options);
  };
}

function asUpload({ isAnnounced, isSaved }: { readonly isAnnounced: boolean; readonly isSaved: boolean }): Way {
  return async ({ uploads }, bytes, options) => {
    if (uploads === undefined) return null;
    const [id, digest] = [UploadId.random(), digestOf(bytes)];
    await uploads.create(id, "begun", isAnnounced ? { digest, length: bytes.length } : {});
    await using held = await take(uploads, id);
    try {
      await bring(held, bytes);
      if (isSaved) await held.save("all there");
      if (!isSaved && held.commitUnsaved === undefined) return null;
      const committed = await (isSaved
        ? held.commit(digest, options)
        : held.commitUnsaved?.(digest, "all there", options));
      return committed ?? null;
    } finally {
      await held[Symbol.asyncDispose]();
      await using last = await take(uploads, id);
      await last.remove();
    }
  };
}

const WAYS: readonly Way[] = [
  asStaged(false),
  asStaged(true),
  asUpload({ isAnnounced: false, isSaved: true }),
  asUpload({ isAnnounced: true, isSaved: true }),
  asUpload({ isAnnounced: false, isSaved: false }),
  asUpload({ isAnnounced: true, isSaved: false }),
];

/** The stored bytes of a blob, past every cache. */
async function bytesOf(store: BlobStore, digest: Digest): Promise<Buffer> {
  await using reader = await store.open(digest, { bypassCache: true });
  assert(reader !== null, "the blob can be opened");
  return await readAll(reader);
}

/** Identities of stored copies, and whether a commit keeps or replaces the stored one. */
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
        assert.equal((await store.stat(digest))?.identity, identity);
        await using reader = await openExisting(store, digest);
        assert.equal(reader.identity, identity);
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
  {
    name: "a judge is asked about a stored blob of the same size, and its verdict decides what the commit reports",
    run: async ({ store, largest }) => {
      for (const [index, commit] of WAYS.entries()) {
        for (const size of index < 2 ? [0, 10, largest] : [10, largest]) {
          const bytes = content(size, index);
          const unasked = () => assert.fail("nothing is stored");
          const first = await commit(store, bytes, { judge: unasked });
          if (first === null) continue;
          assert.deepEqual(first, { existed: false });
          for (const verdict of ["keep", "replace", "damaged"] as const) {
            const stored = await store.confirm(digestOf(bytes));
            const seen: BlobStat[] = [];
            const judge = async (stat: BlobStat) => {
              seen.push(stat);
              return verdict;
            };
            assert.deepEqual(await commit(store, bytes, { judge }), { existed: verdict !== "damaged" });
            assert.deepEqual(seen[0], stored);
            assert.equal(seen[0]?.digest.equals(digestOf(bytes)), true);
            if (verdict === "keep") assert.deepEqual(await store.confirm(digestOf(bytes)), stored);
            await assertKept(store, bytes);
          }
          await store.remove(digestOf(bytes));
        }
      }
    },
  },
  {
    name: "a blob with a changed byte is kept by default and by `keep`",
    needs: ["corrupt"],
    run: async ({ store, corrupt, largest }) => {
      for (const size of [10, largest]) {
        const bytes = content(size);
        const digest = digestOf(bytes);
        await keep(store, bytes);
        await corrupt(digest);
        const [corrupted, identity] = [await bytesOf(store, digest), await identityIn(store, digest)];
        assert.equal(corrupted.length, size);
        assert(!corrupted.equals(bytes));
        for (const commit of WAYS) {
          for (const options of [{}, { judge: () => "keep" as const }]) {
            const committed = await commit(store, bytes, options);
            if (committed !== null) assert.deepEqual(committed, { existed: true });
            assert.equal((await store.confirm(digest))?.identity, identity);
          }
        }
        assert((await bytesOf(store, digest)).equals(corrupted));
      }
    },
  },
  {
    name: "a blob with a changed byte is repaired by `replace` and by `damaged`",
    needs: ["corrupt"],
    capability: "replace-damaged",
    run: async ({ store, corrupt, largest }) => {
      for (const size of [10, largest]) {
        const bytes = content(size);
        const digest = digestOf(bytes);
        await keep(store, bytes);
        for (const commit of WAYS) {
          for (const verdict of ["replace", "damaged"] as const) {
            await corrupt(digest);
            const identity = (await store.confirm(digest))?.identity;
            const committed = await commit(store, bytes, { judge: () => verdict });
            if (committed === null) continue;
            assert.deepEqual(committed, { existed: verdict === "replace" });
            assert((await bytesOf(store, digest)).equals(bytes));
            if (identity !== undefined) assert.notEqual(await identityIn(store, digest), identity);
          }
        }
      }
    },
  },
  {
    name: "a blob of another size is replaced without asking the judge",
    needs: ["damage"],
    capability: "replace-damaged",
    run: async ({ store, damage, largest }) => {
      for (const [index, commit] of WAYS.entries()) {
        for (const size of [10, largest]) {
          const bytes = content(size, index);
          await keep(store, bytes);
          await damage(digestOf(bytes));
          const committed = await commit(store, bytes, { judge: () => assert.fail("its size is wrong") });
          if (committed === null) continue;
          assert.deepEqual(committed, { existed: false });
          await assertKept(store, bytes);
        }
      }
    },
  },
  {
    name: "a judge that fails fails the commit with its error, and the stored blob stays as it is",
    run: async ({ store, largest }) => {
      const error = new Error("cannot judge");
      for (const [index, commit] of WAYS.entries()) {
        for (const size of [10, largest]) {
          const bytes = content(size, index);
          await keep(store, bytes);
          const stored = await store.confirm(digestOf(bytes));
          const judge = () => Promise.reject(error);
          const outcome = await commit(store, bytes, { judge }).catch((thrown: unknown) => thrown);
          assert(outcome === null || outcome === error, String(outcome));
          assert.deepEqual(await store.confirm(digestOf(bytes)), stored);
          await assertKept(store, bytes);
        }
      }
    },
  },
  {
    name: "after a judge has failed, the next holder of the upload commits it",
    needs: ["uploads"],
    run: async ({ store, uploads, largest }) => {
      for (const size of [10, largest]) {
        const bytes = content(size);
        const digest = digestOf(bytes);
        await keep(store, bytes);
        const id = UploadId.random();
        await uploads.create(id, "begun", { digest, length: size });
        {
          await using held = await take(uploads, id);
          await bring(held, bytes);
          await held.save("all there");
          const error = new Error("cannot judge");
          await assert.rejects(held.commit(digest, { judge: () => Promise.reject(error) }), error);
        }
        await using held = await take(uploads, id);
        assert.deepEqual(await held.commit(digest, { judge: () => "replace" }), { existed: true });
        await held.conclude("done");
        await assertKept(store, bytes);
      }
    },
  },
  {
    name: "a later holder can repeat a commit that replaced a damaged blob",
    needs: ["uploads", "corrupt"],
    capability: "replace-damaged",
    run: async ({ store, uploads, corrupt, largest }) => {
      for (const size of [10, largest]) {
        const bytes = content(size);
        await keep(store, bytes);
        await corrupt(digestOf(bytes));
        const id = UploadId.random();
        await uploads.create(id, "begun");
        {
          await using held = await take(uploads, id);
          await bring(held, bytes);
          await held.save("all there");
        }
        for (const verdict of ["damaged", "replace", "keep"] as const) {
          await using held = await take(uploads, id);
          await held.commit(digestOf(bytes), { judge: () => verdict });
          await assertKept(store, bytes);
        }
        await using held = await take(uploads, id);
        await held.conclude("done");
        await assertKept(store, bytes);
      }
    },
  },
  {
    name: "while a blob is replaced, readers find the old bytes or the new ones",
    needs: ["corrupt"],
    capability: "replace-damaged",
    run: async ({ store, corrupt }) => {
      const bytes = content(300_000);
      const digest = digestOf(bytes);
      await keep(store, bytes);
      await corrupt(digest);
      const corrupted = await bytesOf(store, digest);
      const replaced = new AbortController();
      const read = async () => {
        while (!replaced.signal.aborted) {
          const found = await bytesOf(store, digest).catch((error: unknown) =>
            assert(isStoreFailure(error), String(error)),
          );
          assert(found === undefined || found.equals(bytes) || found.equals(corrupted));
        }
      };
      const replace = async () => {
        try {
          for (let n = 0; n < 10; n += 1) await asStaged(false)(store, bytes, { judge: () => "replace" });
        } finally {
          replaced.abort();
        }
      };
      await Promise.all([replace(), read(), read()]);
      await assertKept(store, bytes);
    },
  },
  {
    name: "concurrent commits of one content with every verdict, over two stores, end with a whole blob",
    needs: ["another"],
    run: async ({ store, another, largest }) => {
      await using second = await another();
      const verdicts: readonly (StoredVerdict | undefined)[] = ["damaged", "replace", "keep", undefined];
      for (const size of [0, 1000, largest]) {
        const bytes = content(size);
        await keep(store, bytes);
        await Promise.all(
          WAYS.flatMap((commit, way) =>
            verdicts.map((verdict) =>
              commit(way % 2 === 0 ? store : second, bytes, { ...(verdict && { judge: () => verdict }) }),
            ),
          ),
        );
        await assertKept(store, bytes);
        await assertKept(second, bytes);
      }
    },
  },
];
