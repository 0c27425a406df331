import assert from "node:assert/strict";
import { UploadId } from "../../core/upload-id.ts";
import type { Rule } from "./contract-place.ts";
import { assertAbsent, assertKept, content, digestOf, listed } from "./tools.ts";
import { append, assertRead, assertGone, assertSaved, begin, bring, idsIn, savedBytes, take } from "./upload-tools.ts";

const GONE = new Error("the client is gone");

/** What a clock with a resolution of one second may add to an age. */
const CLOCK_STEP_MS = 2_000;

const NOTHING = new Uint8Array();

/** What an upload keeps from one request to the next. */
const SAVING: readonly Rule[] = [
  {
    name: "a created upload has zero bytes and its record",
    needs: ["uploads"],
    run: async ({ uploads }) => {
      const id = await begin(uploads, "a record");
      await assertSaved(uploads, id, { bytes: NOTHING, record: "a record" });
      assert.deepEqual(await idsIn(uploads), [id.hex]);
    },
  },
  {
    name: "renew replaces only the record, also during writes",
    needs: ["uploads"],
    run: async ({ uploads, largest }) => {
      const bytes = content(largest);
      const id = await begin(uploads);
      {
        await using held = await take(uploads, id);
        await held.renew("renewed, empty");
        await assertRead(uploads, id, { record: "renewed, empty", offset: 0 });
        await bring(held, bytes.subarray(0, 100_000));
        await held.save("saved");
        const writing = bring(held, bytes.subarray(100_000));
        await held.renew("renewed");
        await writing;
        await assertRead(uploads, id, { record: "renewed", offset: 100_000 });
        await held.renew("renewed again");
        assert.deepEqual([held.record, held.offset], ["renewed again", 100_000]);
      }
      await assertSaved(uploads, id, { bytes: bytes.subarray(0, 100_000), record: "renewed again" });
      await append(uploads, id, { bytes: bytes.subarray(100_000) });
      await assertSaved(uploads, id, { bytes, record: "appended" });
    },
  },
  {
    name: "bytes written before a renewal are saved by the next save",
    needs: ["uploads"],
    run: async ({ uploads, largest }) => {
      const bytes = content(largest);
      const id = await begin(uploads);
      await using held = await take(uploads, id);
      await bring(held, bytes);
      await held.renew("renewed");
      await held.save("saved");
      await held[Symbol.asyncDispose]();
      await assertSaved(uploads, id, { bytes, record: "saved" });
    },
  },
  {
    name: "hints to create have no visible effect",
    needs: ["uploads"],
    run: async ({ store, uploads, largest }) => {
      const bytes = content(largest);
      const id = UploadId.random();
      await uploads.create(id, "begun", { digest: digestOf(bytes), length: largest, mediaType: "text/plain" });
      await append(uploads, id, { bytes });
      await assertSaved(uploads, id, { bytes, record: "appended" });
      await assertAbsent(store, digestOf(bytes));
      await using held = await take(uploads, id);
      assert.deepEqual(await held.commit(digestOf(bytes)), { existed: false });
      await assertKept(store, bytes);
    },
  },
  {
    name: "an upload that was never created is null, and asking does not create it",
    needs: ["uploads"],
    run: async ({ uploads }) => {
      await assertGone(uploads, UploadId.random());
      await begin(uploads);
      await assertGone(uploads, UploadId.random());
    },
  },
  {
    name: "each holder finds the bytes and the record of the last save, over many requests",
    needs: ["uploads"],
    run: async ({ uploads, largest }) => {
      const bytes = content(largest);
      const id = await begin(uploads);
      const ends = [1, 2, 70_000, 70_000, 300_001, Math.floor(largest / 2), largest];
      let start = 0;
      for (const end of ends) {
        await append(uploads, id, { bytes: bytes.subarray(start, end), record: `until ${end}`, piece: 10_007 });
        await assertSaved(uploads, id, { bytes: bytes.subarray(0, end), record: `until ${end}` });
        start = end;
      }
    },
  },
  {
    name: "unsaved bytes are lost on release, and other bytes take their place",
    needs: ["uploads"],
    run: async ({ store, uploads, largest }) => {
      const bytes = content(largest, 1);
      const id = await begin(uploads);
      const middle = Math.floor(largest / 2) + 5;
      await append(uploads, id, { bytes: bytes.subarray(0, middle), record: "half" });
      {
        await using held = await take(uploads, id);
        await bring(held, content(largest, 2));
      }
      await assertSaved(uploads, id, { bytes: bytes.subarray(0, middle), record: "half" });
      await append(uploads, id, { bytes: bytes.subarray(middle), record: "whole" });
      await assertSaved(uploads, id, { bytes, record: "whole" });
      await using held = await take(uploads, id);
      await held.commit(digestOf(bytes));
      await assertKept(store, bytes);
    },
  },
  {
    name: "a save covers what was written before it while writes continue",
    needs: ["uploads"],
    run: async ({ uploads, largest }) => {
      const bytes = content(largest);
      const id = await begin(uploads);
      const cuts = [0, 3, 100_000, Math.floor(largest / 3), largest];
      await using held = await take(uploads, id);
      for (const [index, end] of cuts.entries()) {
        const next = cuts[index + 1] ?? end;
        const saving = held.save(`until ${end}`);
        await Promise.all([saving, bring(held, bytes.subarray(end, next), 30_011)]);
        await assertRead(uploads, id, { record: `until ${end}`, offset: end });
        assert.deepEqual([held.record, held.offset], [`until ${end}`, end]);
      }
      await held[Symbol.asyncDispose]();
      await assertSaved(uploads, id, { bytes, record: `until ${largest}` });
    },
  },
  {
    name: "a record may change without bytes and hold 32 KiB of any text",
    needs: ["uploads"],
    run: async ({ uploads }) => {
      const bytes = content(1000);
      const id = await begin(uploads, 'é\n"🗂\u2028\0'.repeat(2000));
      await append(uploads, id, { bytes, record: "x".repeat(32 * 1024) });
      for (const record of ["", "{}", "ÿ💾".repeat(5000)]) {
        await append(uploads, id, { bytes: NOTHING, record });
        await assertSaved(uploads, id, { bytes, record });
      }
    },
  },
  {
    name: "nextSave is always past what has been written",
    needs: ["uploads"],
    run: async ({ uploads, largest }) => {
      await using held = await take(uploads, await begin(uploads));
      const bytes = content(largest);
      let written = 0;
      assert(held.nextSave > 0);
      for (const size of [1, 65_536, 1024 ** 2, largest - 65_536 - 1 - 1024 ** 2]) {
        await bring(held, bytes.subarray(written, written + size));
        written += size;
        assert(Number.isSafeInteger(held.nextSave) && held.nextSave > written, `${held.nextSave} at ${written}`);
        const saving = held.save("on the way");
        assert(held.nextSave > written, "also while a save is under way");
        await saving;
        assert(held.nextSave > written, "and after it");
      }
    },
  },
  {
    name: "concurrent uploads do not mix",
    needs: ["uploads"],
    run: async ({ store, uploads, largest }) => {
      const blobs = Array.from({ length: 8 }, (_, n) => content(n % 4 === 0 ? largest : n * 10_000, n));
      await Promise.all(
        blobs.map(async (bytes) => {
          const id = await begin(uploads);
          const middle = Math.floor(bytes.length / 2);
          await append(uploads, id, { bytes: bytes.subarray(0, middle), piece: 9001 });
          await append(uploads, id, { bytes: bytes.subarray(middle) });
          await using held = await take(uploads, id);
          await held.commit(digestOf(bytes));
          await held.remove();
        }),
      );
      for (const bytes of blobs) await assertKept(store, bytes);
      assert.deepEqual(await idsIn(uploads), []);
    },
  },
];

/** How uploads coexist with the rest of a store. */
const COEXISTENCE: readonly Rule[] = [
  {
    name: "every upload is listed, and creations and removals meanwhile hide no other",
    needs: ["uploads"],
    run: async ({ uploads }) => {
      const stays = await Promise.all(Array.from({ length: 30 }, () => begin(uploads)));
      const goes = await Promise.all(Array.from({ length: 30 }, () => begin(uploads)));
      const found: string[] = [];
      for await (const { id } of uploads.list()) {
        found.push(id.hex);
        const gone = goes.pop();
        if (gone !== undefined) await (await take(uploads, gone)).remove();
        if (found.length <= 20) await begin(uploads);
      }
      for (const { hex } of stays) assert.equal(found.filter((one) => one === hex).length, 1);
    },
  },
  {
    name: "a listing reports the age of records and which uploads have ended, or that it cannot tell",
    needs: ["uploads"],
    run: async ({ uploads }) => {
      const began = performance.now();
      const [fresh, saved, held, concluded, created] = [
        await begin(uploads),
        await begin(uploads),
        await begin(uploads),
        await begin(uploads),
        UploadId.random(),
      ];
      await append(uploads, saved, { bytes: content(100_000) });
      await using holder = await take(uploads, held);
      await bring(holder, content(100_000));
      await uploads.create(created, "ended", { isEnded: true });
      {
        await using ending = await take(uploads, concluded);
        await ending.conclude("ended");
      }
      const found = new Map((await Array.fromAsync(uploads.list())).map((one) => [one.id.hex, one]));
      const most = performance.now() - began + CLOCK_STEP_MS;
      for (const { hex } of [fresh, saved, held, concluded, created]) {
        const { age } = found.get(hex) ?? assert.fail("not listed");
        assert(age === null || (age >= 0 && age <= most), `${age} ms, and it was written at most ${most} ms ago`);
      }
      for (const { hex } of [fresh, saved, held]) assert.equal(found.get(hex)?.isEnded, false);
      const ended = [concluded, created].map(({ hex }) => found.get(hex)?.isEnded);
      assert.equal(ended[0], ended[1], "a store that can tell one can tell the other");
      for (const id of [concluded, created]) await assertRead(uploads, id, { record: "ended", offset: 0 });
    },
  },
  {
    name: "the collection mark reports its age, or that the store cannot tell",
    run: async ({ store }) => {
      const { collectionMark: mark } = store;
      if (mark === undefined) return;
      assert.equal(await mark.age(), null);
      const began = performance.now();
      for (let round = 0; round < 2; round += 1) {
        await mark.set();
        const age = await mark.age();
        const most = performance.now() - began + CLOCK_STEP_MS;
        assert(age === null || (age >= 0 && age <= most), `${age} ms, and it was set at most ${most} ms ago`);
      }
      assert.deepEqual(await listed(store), []);
      await assert.rejects(mark.age(AbortSignal.abort(GONE)), GONE);
    },
  },
  {
    name: "collect and check touch no upload, held or not",
    needs: ["uploads"],
    run: async ({ store, uploads, largest }) => {
      const bytes = content(largest);
      const [fresh, saved, running] = [await begin(uploads), await begin(uploads), await begin(uploads)];
      await append(uploads, saved, { bytes });
      await using held = await take(uploads, running);
      await bring(held, bytes.subarray(0, 2_000_000));
      await store.check();
      assert.deepEqual(await store.collect(), { staged: 0, bytes: 0 });
      await bring(held, bytes.subarray(2_000_000));
      await held.save("after it");
      await held[Symbol.asyncDispose]();
      await assertSaved(uploads, fresh, { bytes: NOTHING, record: "begun" });
      await assertSaved(uploads, saved, { bytes, record: "appended" });
      await assertSaved(uploads, running, { bytes, record: "after it" });
    },
  },
  {
    name: "uploads are not listed as blobs",
    needs: ["uploads"],
    run: async ({ store, uploads }) => {
      await append(uploads, await begin(uploads), { bytes: content(300_000) });
      assert.deepEqual(await listed(store), []);
    },
  },
  {
    name: "every method of uploads rejects with the reason of an aborted signal",
    needs: ["uploads"],
    run: async ({ uploads }) => {
      const id = await begin(uploads);
      const signal = AbortSignal.abort(GONE);
      await assert.rejects(uploads.read(id, signal), GONE);
      await assert.rejects(uploads.hold(id, signal), GONE);
      await assert.rejects(async () => {
        for await (const { id } of uploads.list(signal)) assert.fail(`listed ${id.hex}`);
      }, GONE);
      await assertSaved(uploads, id, { bytes: NOTHING, record: "begun" });
    },
  },
  {
    name: "saved bytes are read back from any offset",
    needs: ["uploads"],
    run: async ({ uploads }) => {
      const bytes = content(100_000);
      const id = await begin(uploads);
      for (const [start, end] of [
        [0, 30_000],
        [30_000, 30_000],
        [30_000, 100_000],
      ] as const) {
        await append(uploads, id, { bytes: bytes.subarray(start, end), piece: 9_000 });
      }
      await using held = await take(uploads, id);
      for (const from of [0, 1, 8_999, 9_000, 29_999, 30_000, 30_001, 99_999, 100_000]) {
        const rest = await savedBytes(held, from);
        assert(rest?.equals(bytes.subarray(from)) ?? true, `from ${from}`);
      }
    },
  },
  {
    name: "chunks of saved bytes may be overwritten without changing the upload",
    needs: ["uploads"],
    run: async ({ uploads }) => {
      const bytes = content(300_000);
      const id = await begin(uploads);
      await append(uploads, id, { bytes });
      {
        await using held = await take(uploads, id);
        for await (const chunk of held.read?.() ?? []) chunk.fill(0);
        assert((await savedBytes(held))?.equals(bytes) ?? true, "and they may be read twice");
      }
      await assertSaved(uploads, id, { bytes, record: "appended" });
    },
  },
];

/** What resumable uploads keep, and how they coexist with the rest of a store. */
export const UPLOAD_SAVING_RULES: readonly Rule[] = [...SAVING, ...COEXISTENCE];
