import assert from "node:assert/strict";
import { UploadId } from "../../core/upload-id.ts";
import type { Rule } from "./contract-place.ts";
import { assertAbsent, assertKept, content, digestOf, keep } from "./tools.ts";
import {
  append,
  assertEnded,
  assertGone,
  assertSaved,
  assertFencedOff,
  begin,
  bring,
  idsIn,
  take,
  takeEnded,
} from "./upload-tools.ts";

const NOTHING = new Uint8Array();

/** How resumable uploads end. */
export const UPLOAD_ENDING_RULES: readonly Rule[] = [
  {
    name: "an upload's bytes are invisible before its commit and a blob after it",
    needs: ["uploads"],
    run: async ({ store, uploads, largest }) => {
      for (const [seed, size] of [0, 1, 100_000, largest].entries()) {
        const bytes = content(size, seed);
        const id = await begin(uploads);
        await append(uploads, id, { bytes, record: "all there" });
        await assertAbsent(store, digestOf(bytes));
        await using held = await take(uploads, id);
        assert.deepEqual(await held.commit(digestOf(bytes)), { existed: false });
        await assertKept(store, bytes);
        assert.equal((await uploads.read(id))?.record, "all there");
      }
    },
  },
  {
    name: "commitUnsaved makes a blob of everything written and can be repeated",
    needs: ["uploads"],
    run: async ({ store, uploads, largest }) => {
      for (const [seed, [saved, size]] of [
        [0, 0],
        [0, 10],
        [1000, 1010],
        [0, largest],
        [largest, largest],
      ].entries()) {
        const bytes = content(size ?? 0, seed + 20);
        const id = await begin(uploads);
        await append(uploads, id, { bytes: bytes.subarray(0, saved), record: "begun" });
        {
          await using held = await take(uploads, id);
          if (held.commitUnsaved === undefined) return;
          await bring(held, bytes.subarray(saved));
          assert.deepEqual(await held.commitUnsaved(digestOf(bytes), "all there"), { existed: false });
          await assertKept(store, bytes);
        }
        await using held = await take(uploads, id);
        // A store that did not need to save still has the last save.
        if (held.record === "begun") {
          assert.equal(held.offset, saved);
          await bring(held, bytes.subarray(saved));
          await held.save("all there");
        }
        assert.deepEqual([held.offset, held.record], [bytes.length, "all there"]);
        await held.commit(digestOf(bytes));
        await held.conclude("done");
        await assertKept(store, bytes);
      }
    },
  },
  {
    name: "the holder of an upload made by createHeld is fenced off like any other",
    needs: ["uploads"],
    run: async ({ uploads }) => {
      if (uploads.createHeld === undefined) return;
      const id = UploadId.random();
      await using first = await uploads.createHeld(id, "created");
      assert.deepEqual([first.offset, first.record], [0, "created"]);
      assert.equal((await uploads.read(id))?.isHeld, true);
      await bring(first, content(10));
      await first.save("saved");
      await using second = await take(uploads, id);
      assert.deepEqual([second.offset, second.record], [10, "saved"]);
      await assertFencedOff(first, content(10));
      await second.remove();
    },
  },
  {
    name: "an upload of zero bytes that was never saved can be committed",
    needs: ["uploads"],
    run: async ({ store, uploads }) => {
      await using held = await take(uploads, await begin(uploads));
      assert.deepEqual(await held.commit(digestOf(NOTHING)), { existed: false });
      await assertKept(store, NOTHING);
    },
  },
  {
    name: "an upload that is read or taken over during its removal is either complete or gone",
    needs: ["uploads"],
    run: async ({ uploads }) => {
      for (let round = 0; round < 20; round += 1) {
        const id = await begin(uploads);
        const held = await take(uploads, id);
        const reads = [1, 2, 3, 4, 5].map(() => uploads.read(id));
        const removal = held.remove();
        const waiting = uploads.hold(id);
        reads.push(uploads.read(id));
        for (const saved of await Promise.all(reads)) assert.ok(saved === null || saved.record === "begun");
        await removal;
        assert.equal(await waiting, null);
        await assertGone(uploads, id);
      }
    },
  },
  {
    name: "committing an upload of stored content keeps the blob and reports that it existed",
    needs: ["uploads"],
    run: async ({ store, uploads, largest }) => {
      for (const size of [10, largest]) {
        const bytes = content(size);
        await keep(store, bytes);
        const before = await store.stat(digestOf(bytes));
        const id = await begin(uploads);
        await append(uploads, id, { bytes });
        await using held = await take(uploads, id);
        assert.deepEqual(await held.commit(digestOf(bytes)), { existed: true });
        assert.deepEqual(await store.stat(digestOf(bytes)), before);
        await held.conclude("done");
        await assertKept(store, bytes);
      }
    },
  },
  {
    name: "a later holder can repeat a commit that was not concluded",
    needs: ["uploads"],
    run: async ({ store, uploads, largest }) => {
      for (const [seed, size] of [0, 10, largest].entries()) {
        const bytes = content(size, seed);
        const id = await begin(uploads);
        await append(uploads, id, { bytes, record: "all there" });
        for (let round = 0; round < 2; round += 1) {
          await using held = await take(uploads, id);
          assert.equal(held.record, "all there");
          await held.commit(digestOf(bytes));
        }
        {
          await using held = await take(uploads, id);
          await held.commit(digestOf(bytes));
          await held.conclude("done");
        }
        await assertEnded(uploads, id, "done");
        await assertKept(store, bytes);
      }
    },
  },
  {
    name: "a committed upload can be renewed, and the next holder finds that record and can go on",
    needs: ["uploads"],
    run: async ({ store, uploads, largest }) => {
      for (const [seed, size] of [0, 10, largest].entries()) {
        const bytes = content(size, seed + 40);
        const id = await begin(uploads);
        await append(uploads, id, { bytes, record: "all there" });
        {
          await using held = await take(uploads, id);
          await held.commit(digestOf(bytes));
          await held.renew("stored");
          assert.equal(held.record, "stored");
          await held.renew("stored, once more");
        }
        await assertSaved(uploads, id, { bytes, record: "stored, once more" });
        {
          await using held = await take(uploads, id);
          await held.commit(digestOf(bytes));
          await held.renew("stored again");
          await held.conclude("done");
        }
        await assertEnded(uploads, id, "done");
        await assertKept(store, bytes);
      }
    },
  },
  {
    name: "an upload is renewed after commitUnsaved, and the next holder concludes or removes it",
    needs: ["uploads"],
    run: async ({ store, uploads, largest }) => {
      for (const [seed, [saved, size]] of [
        [0, 10],
        [1000, 1010],
        [0, largest],
        [largest, largest],
      ].entries()) {
        for (const end of ["conclude", "remove"] as const) {
          const bytes = content(size ?? 0, seed + (end === "remove" ? 60 : 50));
          const id = await begin(uploads);
          await append(uploads, id, { bytes: bytes.subarray(0, saved), record: "begun" });
          {
            await using held = await take(uploads, id);
            if (held.commitUnsaved === undefined) return;
            await bring(held, bytes.subarray(saved));
            await held.commitUnsaved(digestOf(bytes), "all there");
            await held.renew("stored");
          }
          assert.equal((await uploads.read(id))?.record, "stored");
          {
            await using held = await take(uploads, id);
            assert.equal(held.record, "stored");
            await (end === "conclude" ? held.conclude("done") : held.remove());
          }
          await (end === "conclude" ? assertEnded(uploads, id, "done") : assertGone(uploads, id));
          await assertKept(store, bytes);
        }
      }
    },
  },
  {
    name: "appends after a commit that was not concluded never change the blob",
    needs: ["uploads"],
    run: async ({ store, uploads, largest }) => {
      for (const size of [10, largest]) {
        const bytes = content(size);
        const id = await begin(uploads);
        await append(uploads, id, { bytes });
        {
          await using held = await take(uploads, id);
          await held.commit(digestOf(bytes));
        }
        {
          await using held = await take(uploads, id);
          // These may fail: appending after a commit is never intended.
          await bring(held, content(largest, 9)).catch(() => null);
          await held.save("more").catch(() => null);
        }
        await assertKept(store, bytes);
        await using held = await take(uploads, id);
        await held.remove();
        await assertKept(store, bytes);
      }
    },
  },
  {
    name: "a concluded upload keeps only its record",
    needs: ["uploads"],
    run: async ({ store, uploads, largest }) => {
      for (const committed of [true, false]) {
        const bytes = content(largest, committed ? 1 : 2);
        const id = await begin(uploads);
        await append(uploads, id, { bytes });
        {
          await using held = await take(uploads, id);
          if (committed) await held.commit(digestOf(bytes));
          await held.conclude("ended");
        }
        await assertEnded(uploads, id, "ended");
        assert.deepEqual(await idsIn(uploads), [id.hex]);
        if (committed) await assertKept(store, bytes);
        else await assertAbsent(store, digestOf(bytes));
        await (await takeEnded(uploads, id)).remove();
        await assertGone(uploads, id);
      }
    },
  },
  {
    name: "an ended upload is reported to any number of callers and disturbs no holder",
    needs: ["uploads"],
    run: async ({ uploads }) => {
      const [concluded, created] = [await begin(uploads), UploadId.random()];
      await uploads.create(created, "ended", { isEnded: true });
      await using holder = await take(uploads, concluded);
      await bring(holder, content(100_000));
      await holder.conclude("ended");
      for (const id of [concluded, created]) {
        const reports = await Promise.all([1, 2, 3].map(() => takeEnded(uploads, id)));
        assert.deepEqual(new Set(reports.map(({ record }) => record)), new Set(["ended"]));
      }
      assert.equal(holder.takeover.aborted, false);
      await holder[Symbol.asyncDispose]();
      for (const id of [concluded, created]) {
        const [first, second] = [await takeEnded(uploads, id), await takeEnded(uploads, id)];
        await first.remove();
        await second.remove();
        await assertGone(uploads, id);
      }
    },
  },
  {
    name: "remove removes only its upload, and its blob stays",
    needs: ["uploads"],
    run: async ({ store, uploads, largest }) => {
      const bytes = content(largest);
      const [stays, empty, half, whole] = [
        await begin(uploads),
        await begin(uploads),
        await begin(uploads),
        await begin(uploads),
      ];
      await append(uploads, stays, { bytes });
      await append(uploads, half, { bytes: bytes.subarray(0, 1000) });
      await append(uploads, whole, { bytes });
      for (const id of [empty, half, whole]) {
        await using held = await take(uploads, id);
        if (id === whole) await held.commit(digestOf(bytes));
        else await bring(held, content(100_000));
        await held.remove();
        await assertGone(uploads, id);
      }
      await assertSaved(uploads, stays, { bytes, record: "appended" });
      await assertKept(store, bytes);
    },
  },
];
