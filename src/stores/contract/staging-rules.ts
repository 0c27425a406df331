import assert from "node:assert/strict";
import { assertAbsent, assertKept, content, digestOf, keep, listed, writeAll } from "./tools.ts";
import type { Rule } from "./contract-place.ts";

const GONE = new Error("the client is gone");

/** From `stage` to a blob or to nothing. */
export const STAGING_RULES: readonly Rule[] = [
  {
    name: "check passes on a usable store and is idempotent",
    run: async ({ store }) => {
      await store.check();
      await store.check();
      assert.notEqual(store.description, "");
      assert.match(store.kind, /^\S+$/);
    },
  },
  {
    name: "every method works without a preceding check",
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
    name: "blobs of any size are read back byte for byte",
    run: async ({ store, largest }) => {
      const sizes = [0, 1, 4096, 65_535, 65_536, 65_537, 262_144, 1_048_577, largest];
      const blobs = sizes.map((size, index) => content(size, index));
      for (const bytes of blobs) assert.deepEqual(await keep(store, bytes), { existed: false });
      for (const bytes of blobs) await assertKept(store, bytes);
    },
  },
  {
    name: "bytes may be written in pieces of any size, including empty ones",
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
    name: "written pieces may be views of larger buffers",
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
    name: "staged bytes are invisible before the commit",
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
    name: "hints to stage have no visible effect",
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
    name: "stat reports when the blob was committed",
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
    name: "a commit of stored content keeps the blob and reports that it existed",
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
    name: "abort leaves nothing and is idempotent",
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
    name: "leaving the scope without a commit leaves nothing",
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
    name: "abort and dispose have no effect after a commit",
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
    name: "after its signal is aborted, a staged blob rejects with the signal's reason and stores nothing",
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
    name: "a signal aborted during a commit leaves a complete blob or none",
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
