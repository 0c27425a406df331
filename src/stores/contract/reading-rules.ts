import assert from "node:assert/strict";
import { ByteRange } from "../../core/byte-range.ts";
import { assertKept, content, digestOf, isStoreFailure, keep, openExisting, readAll } from "./tools.ts";
import type { Rule } from "./contract-place.ts";

const GONE = new Error("the client is gone");

function range(first: number, last: number | null = null): ByteRange {
  const made = ByteRange.between(first, last);
  assert(made !== null);
  return made;
}

function suffix(length: number): ByteRange {
  const made = ByteRange.suffix(length);
  assert(made !== null);
  return made;
}

/** What a reader yields, and how it ends. */
export const READING_RULES: readonly Rule[] = [
  {
    name: "a range yields exactly its bytes",
    run: async ({ store, largest }) => {
      const bytes = content(largest);
      await keep(store, bytes);
      const cases: readonly (readonly [ByteRange, number, number])[] = [
        [range(0, 0), 0, 1],
        [range(1, 70_000), 1, 70_001],
        [range(largest - 1), largest - 1, largest],
        [range(5), 5, largest],
        [range(0, largest * 2), 0, largest],
        [suffix(1), largest - 1, largest],
        [suffix(100_000), largest - 100_000, largest],
        [suffix(largest * 2), 0, largest],
      ];
      for (const [asked, start, end] of cases) {
        await using reader = await store.open(digestOf(bytes), { range: asked });
        assert(reader !== null);
        assert.equal(reader.size, largest);
        assert.deepEqual(reader.span, { start, end });
        assert((await readAll(reader)).equals(bytes.subarray(start, end)), asked.toString());
      }
    },
  },
  {
    name: "a range outside the blob is refused with the blob's size",
    run: async ({ store }) => {
      const bytes = content(10);
      await keep(store, bytes);
      await keep(store, new Uint8Array());
      for (const [asked, of] of [
        [range(10), bytes],
        [range(11, 20), bytes],
        [suffix(0), bytes],
        [range(0), new Uint8Array()],
        [suffix(5), new Uint8Array()],
      ] as const) {
        await assert.rejects(store.open(digestOf(of), { range: asked }), {
          code: "range-not-satisfiable",
          facts: { size: of.length },
        });
      }
    },
  },
  {
    name: "opening a range of an absent blob returns null",
    run: async ({ store }) => {
      assert.equal(await store.open(digestOf(content(10)), { range: range(5) }), null);
    },
  },
  {
    name: "chunks from a reader may be overwritten without changing the blob",
    run: async ({ store }) => {
      const bytes = content(200_000);
      await keep(store, bytes);
      await using reader = await openExisting(store, digestOf(bytes));
      for await (const chunk of reader) chunk.fill(0);
      await assertKept(store, bytes);
    },
  },
  {
    name: "concurrent readers of one blob are independent",
    run: async ({ store, largest }) => {
      const bytes = content(largest);
      await keep(store, bytes);
      await using one = await openExisting(store, digestOf(bytes));
      await using other = await openExisting(store, digestOf(bytes));
      const [first, second] = await Promise.all([readAll(one), readAll(other)]);
      assert(first.equals(bytes) && second.equals(bytes));
    },
  },
  {
    name: "a reader may be left early, or disposed of without being read",
    run: async ({ store, largest }) => {
      const bytes = content(largest);
      await keep(store, bytes);
      const left = await openExisting(store, digestOf(bytes));
      for await (const chunk of left) {
        assert(chunk.length > 0);
        break;
      }
      await left[Symbol.asyncDispose]();
      const unread = await openExisting(store, digestOf(bytes));
      await unread[Symbol.asyncDispose]();
      await unread[Symbol.asyncDispose]();
      await assert.rejects(readAll(unread), "a closed reader does not look like an empty blob");
      await assertKept(store, bytes);
    },
  },
  {
    name: "an aborted signal fails the read with its reason and never ends it early",
    run: async ({ store, largest }) => {
      const bytes = content(largest);
      await keep(store, bytes);
      await assert.rejects(store.open(digestOf(bytes), { signal: AbortSignal.abort(GONE) }), GONE);
      const client = new AbortController();
      await using reader = await store.open(digestOf(bytes), { signal: client.signal });
      assert(reader !== null);
      await assert.rejects(async () => {
        for await (const chunk of reader) {
          assert(chunk.length < largest, "a large blob comes in several pieces");
          client.abort(GONE);
        }
      }, GONE);
    },
  },
  {
    name: "a blob removed while it is read is read to its end or fails the reader",
    run: async ({ store, largest }) => {
      const bytes = content(largest);
      await keep(store, bytes);
      await using reader = await openExisting(store, digestOf(bytes));
      const chunks: Uint8Array[] = [];
      try {
        for await (const chunk of reader) {
          if (chunks.length === 0) assert.equal(await store.remove(digestOf(bytes)), true);
          chunks.push(chunk);
        }
      } catch (error) {
        assert(isStoreFailure(error), String(error));
        return;
      }
      assert(Buffer.concat(chunks).equals(bytes));
    },
  },
  {
    name: "every method rejects with the reason of an aborted signal",
    run: async ({ store }) => {
      const digest = digestOf(content(10));
      await keep(store, content(10));
      const signal = AbortSignal.abort(GONE);
      await assert.rejects(store.check(signal), GONE);
      await assert.rejects(store.stat(digest, signal), GONE);
      await assert.rejects(store.confirm(digest, signal), GONE);
      await assert.rejects(store.remove(digest, signal), GONE);
      await assert.rejects(store.collect(signal), GONE);
      await assert.rejects(async () => {
        for await (const stat of store.list(signal)) assert.fail(`listed ${stat.digest.hex}`);
      }, GONE);
      await assertKept(store, content(10));
    },
  },
];
