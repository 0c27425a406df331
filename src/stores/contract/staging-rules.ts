import assert from "node:assert/strict";
import { assertAbsent, assertKept, content, digestOf, keep, listed, writeAll } from "./tools.ts";
import type { Rule } from "./contract-place.ts";

const GONE = new Error("the client is gone");

/** From `stage` to a blob, or to nothing. */
export const STAGING_RULES: readonly Rule[] = [
  {
    name: "a check of a usable store passes, and may be repeated",
    run: async ({ store }) => {
      await store.check();
      await store.check();
      assert.notEqual(store.description, "");
    },
  },
  {
    name: "every method works without a check before",
    run: async ({ store }) => {
      const bytes = content(100);
      await assertAbsent(store, digestOf(bytes));
      assert.equal(await store.remove(digestOf(bytes)), false);
      assert.deepEqual(await store.collect(), { staged: 0, bytes: 0 });
      await keep(store, bytes);
      await assertKept(store, bytes);
    },
  },
  {
    name: "blobs of every size come back byte for byte",
    run: async ({ store, largest }) => {
      const sizes = [0, 1, 4096, 65_535, 65_536, 65_537, 262_144, 1_048_577, largest];
      const blobs = sizes.map((size, index) => content(size, index));
      for (const bytes of blobs) assert.deepEqual(await keep(store, bytes), { existed: false });
      for (const bytes of blobs) await assertKept(store, bytes);
    },
  },
  {
    name: "bytes may be written in pieces of any size, empty ones too",
    run: async ({ store, largest }) => {
      for (const [seed, piece] of [1, 3, 1021, 100_003, largest].entries()) {
        const bytes = content(Math.min(largest, piece * 3000), seed);
        await using staged = await store.stage();
        await staged.write(new Uint8Array());
        await writeAll(staged, bytes, piece);
        await staged.write(new Uint8Array());
        await staged.commit(digestOf(bytes));
        await assertKept(store, bytes);
      }
    },
  },
  {
    name: "pieces may be windows on larger buffers",
    run: async ({ store }) => {
      const whole = content(1_000_000);
      await using staged = await store.stage();
      await staged.write(whole.subarray(10, 400_000));
      await staged.write(whole.subarray(400_000, 999_999));
      await staged.commit(digestOf(whole.subarray(10, 999_999)));
      await assertKept(store, whole.subarray(10, 999_999));
    },
  },
  {
    name: "nothing sees bytes that are staged and not committed",
    run: async ({ store, largest }) => {
      for (const size of [10, largest]) {
        const bytes = content(size);
        await using staged = await store.stage({ digest: digestOf(bytes), length: size, mediaType: "text/plain" });
        await writeAll(staged, bytes);
        await assertAbsent(store, digestOf(bytes));
      }
      assert.deepEqual(await listed(store), []);
    },
  },
  {
    name: "hints change nothing that can be seen",
    run: async ({ store, largest }) => {
      for (const size of [10, largest]) {
        const bytes = content(size);
        await using staged = await store.stage({ digest: digestOf(bytes), length: size, mediaType: "image/png" });
        await writeAll(staged, bytes);
        assert.deepEqual(await staged.commit(digestOf(bytes)), { existed: false });
        await assertKept(store, bytes);
      }
    },
  },
  {
    name: "a stat says when the blob was committed",
    run: async ({ store }) => {
      const before = Date.now();
      const bytes = content(10);
      await keep(store, bytes);
      const modified = (await store.stat(digestOf(bytes)))?.modified;
      assert(modified instanceof Date);
      // Stores round to seconds, and clocks differ between machines.
      assert(Math.abs(modified.getTime() - before) < 3_600_000, `${modified.toISOString()} is about now`);
    },
  },
  {
    name: "content that is there already stays as it is, and the commit says so",
    run: async ({ store, largest }) => {
      for (const size of [0, 10, largest]) {
        const bytes = content(size);
        assert.deepEqual(await keep(store, bytes), { existed: false });
        const first = await store.stat(digestOf(bytes));
        assert.deepEqual(await keep(store, bytes, 4096), { existed: true });
        assert.deepEqual(await store.stat(digestOf(bytes)), first);
        await assertKept(store, bytes);
      }
    },
  },
  {
    name: "a damaged blob is replaced by the next commit of its content",
    needs: ["damage"],
    capability: "replace-damaged",
    run: async ({ store, damage, largest }) => {
      for (const size of [10, largest]) {
        const bytes = content(size);
        await keep(store, bytes);
        await damage(digestOf(bytes));
        assert.deepEqual(await keep(store, bytes), { existed: false });
        await assertKept(store, bytes);
      }
    },
  },
  {
    name: "an abort leaves nothing, and may be repeated",
    run: async ({ store, largest }) => {
      for (const size of [0, 10, largest]) {
        const bytes = content(size);
        const staged = await store.stage();
        await writeAll(staged, bytes);
        await staged.abort();
        await staged.abort();
        await assertAbsent(store, digestOf(bytes));
      }
    },
  },
  {
    name: "leaving a scope without a commit cleans up",
    run: async ({ store, largest }) => {
      const bytes = content(largest);
      await assert.rejects(async () => {
        await using staged = await store.stage();
        await writeAll(staged, bytes);
        throw GONE;
      }, GONE);
      await assertAbsent(store, digestOf(bytes));
    },
  },
  {
    name: "after a commit, abort and dispose do nothing",
    run: async ({ store, largest }) => {
      for (const size of [10, largest]) {
        const bytes = content(size);
        const staged = await store.stage();
        await writeAll(staged, bytes);
        await staged.commit(digestOf(bytes));
        await staged.abort();
        await staged[Symbol.asyncDispose]();
        await assertKept(store, bytes);
      }
    },
  },
  {
    name: "an aborted signal fails later calls with its reason, and nothing is stored",
    run: async ({ store, largest }) => {
      for (const size of [10, largest]) {
        const bytes = content(size);
        const client = new AbortController();
        await using staged = await store.stage({ signal: client.signal });
        await writeAll(staged, bytes);
        client.abort(GONE);
        await assert.rejects(async () => staged.write(bytes), GONE);
        await assert.rejects(staged.commit(digestOf(bytes)), GONE);
        await assertAbsent(store, digestOf(bytes));
      }
      await assert.rejects(store.stage({ signal: AbortSignal.abort(GONE) }), GONE);
    },
  },
  {
    name: "a signal that is aborted during a commit leaves a whole blob or none",
    run: async ({ store, largest }) => {
      for (const size of [10, largest]) {
        const bytes = content(size);
        const client = new AbortController();
        const staged = await store.stage({ signal: client.signal });
        await writeAll(staged, bytes);
        const committing = staged.commit(digestOf(bytes));
        client.abort(GONE);
        const outcome = await committing.catch((error: unknown) => error);
        await staged.abort();
        if (outcome === GONE && (await store.stat(digestOf(bytes))) === null) {
          await assertAbsent(store, digestOf(bytes));
        } else {
          await assertKept(store, bytes);
        }
      }
    },
  },
];
