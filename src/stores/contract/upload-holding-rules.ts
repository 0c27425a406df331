import assert from "node:assert/strict";
import type { HeldUpload, UploadStore } from "../../core/upload-store.ts";
import type { Rule, RuleContext } from "./contract-place.ts";
import { assertAbsent, assertKept, content, digestOf } from "./tools.ts";
import {
  append,
  assertRead,
  assertGone,
  assertSaved,
  assertShutOut,
  begin,
  bring,
  codeOf,
  savedBytes,
  SUPERSEDED,
  take,
  takeEnded,
  uploadsOf,
} from "./upload-tools.ts";

const GONE = new Error("the client is gone");

/** Lets go, as a request does that is told to: saves what it has, and releases. */
function givesUp(held: HeldUpload, record: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = async (): Promise<void> => {
      await held.save(record);
      await held[Symbol.asyncDispose]();
    };
    held.takeover.addEventListener("abort", () => void end().then(resolve, reject), { once: true });
  });
}

async function holderGivesUp(first: UploadStore, second: UploadStore, largest: number): Promise<void> {
  const bytes = content(largest);
  const id = await begin(first);
  const before = await take(first, id);
  assert.equal(before.takeover.aborted, false);
  await bring(before, bytes.subarray(0, 400_000));
  const givenUp = givesUp(before, "saved at the last moment");
  await using held = await take(second, id);
  await givenUp;
  assert.deepEqual([held.record, held.offset], ["saved at the last moment", 400_000]);
  assert.equal(codeOf(before.takeover.reason), SUPERSEDED.code);
  await bring(held, bytes.subarray(400_000));
  await held.save("whole");
  await held[Symbol.asyncDispose]();
  await assertSaved(first, id, { bytes, record: "whole" });
  await assertSaved(second, id, { bytes, record: "whole" });
}

/** The holder does not listen: what it has written and does from then on is nothing to its successor. */
async function holderIsShutOut(context: RuleContext, first: UploadStore, second: UploadStore): Promise<void> {
  const { store, largest } = context;
  const bytes = content(largest, 1);
  const id = await begin(first);
  await append(first, id, { bytes: bytes.subarray(0, 100_000), record: "before" });
  await using deaf = await take(first, id);
  await bring(deaf, content(largest, 2));
  await using held = await take(second, id);
  assert.deepEqual([held.record, held.offset], ["before", 100_000]);
  assert.equal(held.takeover.aborted, false);
  await assertShutOut(deaf, content(100_000, 3));
  await bring(held, bytes.subarray(100_000, 200_000));
  await held.save("between");
  await assertShutOut(deaf, content(100_000, 4));
  await bring(held, bytes.subarray(200_000));
  await deaf[Symbol.asyncDispose]();
  await held.save("whole");
  assert((await savedBytes(held))?.equals(bytes) ?? true);
  await assert.rejects(deaf.commit(digestOf(bytes)), SUPERSEDED);
  assert.deepEqual(await held.commit(digestOf(bytes)), { existed: false });
  await assertKept(store, bytes);
  await held.conclude("done");
  await assertRead(first, id, { record: "done", offset: 0 });
}

/**
 * Many at once, each of which adds a byte and goes: none is lost, and none is there twice. Who waits may be told that a
 * later one has come before it.
 */
async function everyoneHasATurn(first: UploadStore, second: UploadStore): Promise<void> {
  const id = await begin(first, "0");
  const turn = async (uploads: UploadStore): Promise<void> => {
    await using held = await take(uploads, id);
    assert.equal(held.record, String(held.offset), "bytes and record of one save");
    await held.write(Uint8Array.of(held.offset));
    await held.save(String(held.offset + 1));
  };
  const turns = await Promise.allSettled(Array.from({ length: 12 }, (_, n) => turn(n % 2 === 0 ? first : second)));
  let had = 0;
  for (const result of turns) {
    if (result.status === "fulfilled") had += 1;
    else assert.equal(codeOf(result.reason), SUPERSEDED.code);
  }
  assert(had > 0);
  await assertSaved(first, id, { bytes: Uint8Array.from({ length: had }, (_, n) => n), record: String(had) });
}

/** Uploads that outlive a request: who holds them. */
export const UPLOAD_HOLDING_RULES: readonly Rule[] = [
  {
    name: "a holder that is asked to let go saves what it has, and its successor goes on from there",
    needs: ["uploads"],
    run: async ({ uploads, largest }) => holderGivesUp(uploads, uploads, largest),
  },
  {
    name: "the same between two stores over one place",
    needs: ["uploads", "another"],
    run: async ({ uploads, another, largest }) => {
      await using second = await another();
      await holderGivesUp(uploads, uploadsOf(second), largest);
    },
  },
  {
    name: "a holder that does not let go is shut out, and changes nothing any more",
    needs: ["uploads"],
    run: async (context) => holderIsShutOut(context, context.uploads, context.uploads),
  },
  {
    name: "a holder in another store over the place that does not let go is shut out likewise",
    needs: ["uploads", "another"],
    run: async (context) => {
      await using second = await context.another();
      await holderIsShutOut(context, context.uploads, uploadsOf(second));
    },
  },
  {
    name: "a holder whose upload another store has ended meanwhile is told so by whatever it does next",
    needs: ["uploads", "another"],
    run: async ({ uploads, another, largest }) => {
      await using second = await another();
      for (const ends of ["concludes", "removes"] as const) {
        const id = await begin(uploads);
        await append(uploads, id, { bytes: content(100_000, 1), record: "before" });
        await using deaf = await take(uploads, id);
        {
          await using held = await take(uploadsOf(second), id);
          if (ends === "removes") await held.remove();
          else await held.conclude("done");
        }
        // a store that does not look may still give back what it has; what it gives must not be a store's fault
        await savedBytes(deaf).catch((error: unknown) => assert.equal(codeOf(error), SUPERSEDED.code));
        await assertShutOut(deaf, content(largest, 2));
      }
    },
  },
  {
    name: "holders that come at once have their turns one after another",
    needs: ["uploads"],
    run: async ({ uploads }) => everyoneHasATurn(uploads, uploads),
  },
  {
    name: "holders that come at once to two stores have their turns one after another",
    needs: ["uploads", "another"],
    run: async ({ uploads, another }) => {
      await using second = await another();
      await everyoneHasATurn(uploads, uploadsOf(second));
    },
  },
  {
    name: "an upload that was released is taken without asking, and its former holder does no more",
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
    name: "who gives up waiting for an upload leaves it as it is",
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
    name: "an upload that is removed while another waits for it is gone for that one",
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
    name: "what one store saves, concludes or removes, another over the same place sees",
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
    name: "a store that is disposed of leaves its uploads to the others",
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
