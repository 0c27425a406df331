import assert from "node:assert/strict";
import type { HeldUpload, UploadStore } from "../../core/upload-store.ts";
import type { Rule, RuleContext } from "./contract-place.ts";
import { assertAbsent, assertKept, content, digestOf } from "./tools.ts";
import {
  append,
  assertRead,
  assertGone,
  assertSaved,
  assertFencedOff,
  begin,
  bring,
  codeOf,
  savedBytes,
  SUPERSEDED,
  take,
  takeEnded,
  uploadsOf,
} from "./upload-tools.ts";

const RELEASE_ATTEMPTS = 5;

const GONE = new Error("the client is gone");

/** Behaves like a request that is asked to release: saves what it has and releases. */
function releaseWhenAsked(held: HeldUpload, record: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = async (): Promise<void> => {
      await held.save(record);
      await held[Symbol.asyncDispose]();
    };
    held.takeover.addEventListener("abort", () => void end().then(resolve, reject), { once: true });
  });
}

/** A holder that has not released in time is fenced off, so a busy machine gets more than one attempt. */
async function checkRelease(first: UploadStore, second: UploadStore, largest: number): Promise<void> {
  for (let attempts = 1; ; attempts += 1) {
    try {
      return await checkReleaseOnce(first, second, largest);
    } catch (error) {
      if (codeOf(error) !== SUPERSEDED.code || attempts === RELEASE_ATTEMPTS) throw error;
    }
  }
}

async function checkReleaseOnce(first: UploadStore, second: UploadStore, largest: number): Promise<void> {
  const bytes = content(largest);
  const id = await begin(first);
  const before = await take(first, id);
  assert.equal(before.takeover.aborted, false);
  await bring(before, bytes.subarray(0, 400_000));
  const released = releaseWhenAsked(before, "saved at the last moment");
  await using held = await take(second, id);
  await released;
  assert.deepEqual([held.record, held.offset], ["saved at the last moment", 400_000]);
  assert.equal(codeOf(before.takeover.reason), SUPERSEDED.code);
  await bring(held, bytes.subarray(400_000));
  await held.save("whole");
  await held[Symbol.asyncDispose]();
  await assertSaved(first, id, { bytes, record: "whole" });
  await assertSaved(second, id, { bytes, record: "whole" });
}

/**
 * The holder ignores the request: neither what it has written nor what it does from then on affects
 * its successor.
 */
async function checkFencing(context: RuleContext, first: UploadStore, second: UploadStore): Promise<void> {
  const { store, largest } = context;
  const bytes = content(largest, 1);
  const id = await begin(first);
  await append(first, id, { bytes: bytes.subarray(0, 100_000), record: "before" });
  await using unresponsive = await take(first, id);
  await bring(unresponsive, content(largest, 2));
  await using held = await take(second, id);
  assert.deepEqual([held.record, held.offset], ["before", 100_000]);
  assert.equal(held.takeover.aborted, false);
  await assertFencedOff(unresponsive, content(100_000, 3));
  await bring(held, bytes.subarray(100_000, 200_000));
  await held.save("between");
  await assertFencedOff(unresponsive, content(100_000, 4));
  await bring(held, bytes.subarray(200_000));
  await unresponsive[Symbol.asyncDispose]();
  await held.save("whole");
  assert((await savedBytes(held))?.equals(bytes) ?? true);
  await assert.rejects(unresponsive.commit(digestOf(bytes)), SUPERSEDED);
  assert.deepEqual(await held.commit(digestOf(bytes)), { existed: false });
  await assertKept(store, bytes);
  await held.conclude("done");
  await assertRead(first, id, { record: "done", offset: 0 });
}

/**
 * Many concurrent holders, each of which appends one byte and releases: no byte is lost or
 * duplicated. A waiting caller may be superseded by a later one.
 */
async function checkTurns(first: UploadStore, second: UploadStore): Promise<void> {
  const id = await begin(first, "0");
  const turn = async (uploads: UploadStore): Promise<void> => {
    await using held = await take(uploads, id);
    assert.equal(held.record, String(held.offset), "bytes and record of one save");
    await held.write(Uint8Array.of(held.offset));
    await held.save(String(held.offset + 1));
  };
  const turns = await Promise.allSettled(Array.from({ length: 12 }, (_, n) => turn(n % 2 === 0 ? first : second)));
  let appended = 0;
  for (const result of turns) {
    if (result.status === "fulfilled") appended += 1;
    else assert.equal(codeOf(result.reason), SUPERSEDED.code);
  }
  assert(appended > 0);
  await assertSaved(first, id, { bytes: Uint8Array.from({ length: appended }, (_, n) => n), record: String(appended) });
}

/** Who holds a resumable upload. */
export const UPLOAD_HOLDING_RULES: readonly Rule[] = [
  {
    name: "a holder that is asked to release saves its bytes, and its successor continues from there",
    needs: ["uploads"],
    run: async ({ uploads, largest }) => checkRelease(uploads, uploads, largest),
  },
  {
    name: "the same across two stores over one place",
    needs: ["uploads", "another"],
    run: async ({ uploads, another, largest }) => {
      await using second = await another();
      await checkRelease(uploads, uploadsOf(second), largest);
    },
  },
  {
    name: "a holder that does not release is fenced off and changes nothing afterwards",
    needs: ["uploads"],
    run: async (context) => checkFencing(context, context.uploads, context.uploads),
  },
  {
    name: "a holder in another store that does not release is fenced off likewise",
    needs: ["uploads", "another"],
    run: async (context) => {
      await using second = await context.another();
      await checkFencing(context, context.uploads, uploadsOf(second));
    },
  },
  {
    name: "after another store has ended the upload, every call of the former holder fails with upload-superseded",
    needs: ["uploads", "another"],
    run: async ({ uploads, another, largest }) => {
      await using second = await another();
      for (const ends of ["concludes", "removes"] as const) {
        const id = await begin(uploads);
        await append(uploads, id, { bytes: content(100_000, 1), record: "before" });
        await using unresponsive = await take(uploads, id);
        {
          await using held = await take(uploadsOf(second), id);
          if (ends === "removes") await held.remove();
          else await held.conclude("done");
        }
        // A store that does not check may still return its bytes. A failure must not be reported as
        // a fault of the store.
        await savedBytes(unresponsive).catch((error: unknown) => assert.equal(codeOf(error), SUPERSEDED.code));
        await assertFencedOff(unresponsive, content(largest, 2));
      }
    },
  },
  {
    name: "concurrent holders take turns",
    needs: ["uploads"],
    run: async ({ uploads }) => checkTurns(uploads, uploads),
  },
  {
    name: "concurrent holders of two stores take turns",
    needs: ["uploads", "another"],
    run: async ({ uploads, another }) => {
      await using second = await another();
      await checkTurns(uploads, uploadsOf(second));
    },
  },
  {
    name: "a released upload is taken without asking, and its former holder can do nothing more",
    needs: ["uploads"],
    run: async ({ uploads }) => {
      const bytes = content(1000);
      const id = await begin(uploads);
      const before = await take(uploads, id);
      await before.write(Uint8Array.from(bytes));
      await before.save("saved");
      await before[Symbol.asyncDispose]();
      await before[Symbol.asyncDispose]();
      await using held = await take(uploads, id);
      assert.equal(before.takeover.aborted, false);
      await assert.rejects(before.save("again"));
      await assert.rejects(async () => before.write(Uint8Array.from(bytes)));
      await held[Symbol.asyncDispose]();
      await assertSaved(uploads, id, { bytes, record: "saved" });
    },
  },
  {
    name: "a caller that gives up waiting leaves the upload unchanged",
    needs: ["uploads"],
    run: async ({ uploads }) => {
      const bytes = content(300_000);
      const id = await begin(uploads);
      await using held = await take(uploads, id);
      await bring(held, bytes);
      const client = new AbortController();
      const waiting = assert.rejects(uploads.hold(id, client.signal), GONE);
      await new Promise((resolve) => setImmediate(resolve));
      client.abort(GONE);
      await waiting;
      await held.save("saved all the same");
      await held[Symbol.asyncDispose]();
      await assertSaved(uploads, id, { bytes, record: "saved all the same" });
    },
  },
  {
    name: "a caller waiting for an upload that is removed gets null",
    needs: ["uploads"],
    run: async ({ store, uploads }) => {
      const id = await begin(uploads);
      const held = await take(uploads, id);
      await held.write(content(1000));
      const removed = new Promise<void>((resolve, reject) => {
        held.takeover.addEventListener("abort", () => void held.remove().then(resolve, reject), { once: true });
      });
      assert.equal(await uploads.hold(id), null);
      await removed;
      await held[Symbol.asyncDispose]();
      await assertGone(uploads, id);
      await assertAbsent(store, digestOf(content(1000)));
    },
  },
  {
    name: "saves, conclusions and removals are visible to another store over the same place",
    needs: ["uploads", "another"],
    run: async ({ store, uploads, another }) => {
      await using other = await another();
      const second = uploadsOf(other);
      const bytes = content(300_000);
      const id = await begin(uploads);
      await append(uploads, id, { bytes: bytes.subarray(0, 100_000), record: "one" });
      await append(second, id, { bytes: bytes.subarray(100_000), record: "two" });
      await assertSaved(uploads, id, { bytes, record: "two" });
      {
        await using held = await take(second, id);
        assert.deepEqual(await held.commit(digestOf(bytes)), { existed: false });
      }
      {
        await using held = await take(uploads, id);
        await held.commit(digestOf(bytes));
        await held.conclude("done");
      }
      await assertKept(store, bytes);
      await assertRead(second, id, { record: "done", offset: 0 });
      await (await takeEnded(second, id)).remove();
      await assertGone(uploads, id);
    },
  },
  {
    name: "disposing of a store leaves its uploads to other stores",
    needs: ["uploads", "another"],
    run: async ({ uploads, another }) => {
      const bytes = content(1000);
      const other = await another();
      const id = await begin(uploadsOf(other));
      await append(uploadsOf(other), id, { bytes });
      await other[Symbol.asyncDispose]();
      await assertSaved(uploads, id, { bytes, record: "appended" });
    },
  },
];
