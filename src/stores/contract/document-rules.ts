import assert from "node:assert/strict";
import {
  DOCUMENT_MAX_BYTES,
  type DocumentStore,
  type StoredDocument,
  type WriteCondition,
} from "../../core/document-store.ts";
import type { BlobStore } from "../../core/store.ts";
import type { Rule } from "./contract-place.ts";
import { assertKept, content, keep, listed } from "./tools.ts";

const WRITERS = 8;

function documentsOf(store: BlobStore): DocumentStore {
  return store.documents ?? assert.fail("the store keeps documents");
}

/** Writes a document, which must succeed. */
async function written(...[documents, ...write]: [DocumentStore, ...Parameters<DocumentStore["write"]>]) {
  const tag = await documents.write(...write);
  assert(tag !== null, "the document was written");
  return tag;
}

/** Everything that `list` yields, as tags by name. */
async function listedTags(documents: DocumentStore, prefix: string): Promise<Map<string, string>> {
  const tags = new Map<string, string>();
  for await (const { name, tag } of documents.list(prefix)) {
    assert(!tags.has(name), `${name} is listed once`);
    tags.set(name, tag);
  }
  return tags;
}

/** Asserts that a document can be read and listed, with this text and tag. */
async function assertDocument(documents: DocumentStore, name: string, expected: StoredDocument): Promise<void> {
  assert.deepEqual(await documents.read(name), expected);
  assert.deepEqual(await listedTags(documents, name), new Map([[name, expected.tag]]));
}

/** Asserts that no method sees a document. */
async function assertNoDocument(documents: DocumentStore, name: string): Promise<void> {
  assert.equal(await documents.read(name), null);
  assert.deepEqual(await listedTags(documents, name), new Map());
}

/** Calls `work` so many times at once, alternately over two stores. */
function together<T>(
  [one, other]: readonly [DocumentStore, DocumentStore],
  work: (documents: DocumentStore, index: number) => Promise<T>,
): Promise<T[]> {
  return Promise.all(Array.from({ length: WRITERS }, (_, index) => work(index % 2 === 0 ? one : other, index)));
}

/** Asserts that the conditional changes that were called together excluded each other. */
function assertExcluded(documents: readonly DocumentStore[], succeeded: number): void {
  assert(succeeded >= 1, "one of them succeeds");
  if (documents.every(({ isConditional }) => isConditional)) assert.equal(succeeded, 1, "no more than one succeeds");
}

/** Documents: small texts with conditional writes. */
export const DOCUMENT_RULES: readonly Rule[] = [
  {
    name: "a document that was written can be read and listed, and an absent one cannot",
    needs: ["documents"],
    run: async ({ documents }) => {
      const name = "marks/one";
      await assertNoDocument(documents, name);
      const tag = await written(documents, name, '{"a":1}');
      await assertDocument(documents, name, { text: '{"a":1}', tag });
      await assertNoDocument(documents, "marks/other");
      await assertNoDocument(documents, "other/one");
    },
  },
  {
    name: "a document's text comes back unchanged: line ends, control characters, all planes of Unicode",
    needs: ["documents"],
    run: async ({ documents }) => {
      for (const text of [" ", "\n", "\r\n\ta\0b\u007f", "\ufeffü€𝄞\u2028\uffff\u{10ffff}", "null"]) {
        const tag = await written(documents, "texts/unicode", text);
        await assertDocument(documents, "texts/unicode", { text, tag });
      }
    },
  },
  {
    name: "a document has 1 to 65,536 bytes of UTF-8; other texts are refused and change nothing",
    needs: ["documents"],
    run: async ({ documents }) => {
      for (const text of ["a", "a".repeat(DOCUMENT_MAX_BYTES), `${"€".repeat((DOCUMENT_MAX_BYTES - 1) / 3)}a`]) {
        const tag = await written(documents, "texts/size", text);
        await assertDocument(documents, "texts/size", { text, tag });
        const larger = `${text}${"€".repeat(DOCUMENT_MAX_BYTES / 3)}b`;
        for (const refused of ["", larger, "a\ud800", "\udc00b"]) {
          await assert.rejects(documents.write("texts/size", refused), { code: "internal-error" });
          await assert.rejects(documents.write("texts/new", refused), { code: "internal-error" });
        }
        await assertDocument(documents, "texts/size", { text, tag });
        await assertNoDocument(documents, "texts/new");
      }
      await assert.rejects(documents.write("texts/new", "a".repeat(DOCUMENT_MAX_BYTES + 1)), {
        code: "internal-error",
      });
    },
  },
  {
    name: "the longest names and all their characters are accepted; other names and prefixes are refused",
    needs: ["documents"],
    run: async ({ documents }) => {
      for (const name of ["0/0", "a.b-c_9/z.y-x_0", `${"c".repeat(40)}/${"d".repeat(128)}`]) {
        const tag = await written(documents, name, name);
        await assertDocument(documents, name, { text: name, tag });
        assert.equal(await documents.remove(name), true);
      }
      const names = [
        "",
        "a",
        "a/",
        "/a",
        "a/b/c",
        "../a",
        "a/..",
        "a/.b",
        "A/b",
        "a/B",
        "a/b\n",
        "a\\b",
        "a/é",
        "a/b\0",
      ];
      for (const name of [...names, `${"c".repeat(41)}/d`, `c/${"d".repeat(129)}`]) {
        await assert.rejects(documents.read(name), { code: "internal-error" }, JSON.stringify(name));
        await assert.rejects(documents.write(name, "text"), { code: "internal-error" }, JSON.stringify(name));
        await assert.rejects(documents.remove(name), { code: "internal-error" }, JSON.stringify(name));
        if (name === "a/") continue;
        await assert.rejects(listedTags(documents, name), { code: "internal-error" }, JSON.stringify(name));
      }
    },
  },
  {
    name: "a write happens only if its condition holds",
    needs: ["documents"],
    run: async ({ documents }) => {
      const name = "marks/one";
      assert.equal(await documents.write(name, "never", { ifMatch: "none" }), null);
      await assertNoDocument(documents, name);
      const first = await written(documents, name, "first", { ifAbsent: true });
      assert.equal(await documents.write(name, "never", { ifAbsent: true }), null);
      const second = await written(documents, name, "second", { ifMatch: first });
      assert.equal(await documents.write(name, "never", { ifMatch: first }), null);
      await assertDocument(documents, name, { text: "second", tag: second });
      const third = await written(documents, name, "third");
      assert.equal(await documents.write(name, "never", { ifMatch: second }), null);
      await assertDocument(documents, name, { text: "third", tag: third });
    },
  },
  {
    name: "a removal happens only if its condition holds, and is idempotent",
    needs: ["documents"],
    run: async ({ documents }) => {
      const name = "marks/one";
      assert.equal(await documents.remove(name), false);
      assert.equal(await documents.remove(name, "none"), false);
      const first = await written(documents, name, "text");
      const second = await written(documents, name, "text");
      assert.equal(await documents.remove(name, first), false);
      await assertDocument(documents, name, { text: "text", tag: second });
      assert.equal(await documents.remove(name, second), true);
      await assertNoDocument(documents, name);
      assert.equal(await documents.remove(name, second), false);
      await written(documents, name, "text", { ifAbsent: true });
      assert.equal(await documents.remove(name), true);
      assert.equal(await documents.remove(name), false);
      await assertNoDocument(documents, name);
    },
  },
  {
    name: "a document's tag changes with every write, of the same text too, and after a removal",
    needs: ["documents"],
    run: async ({ documents }) => {
      const name = "marks/one";
      const tags = new Set<string>();
      for (let round = 0; round < 4; round += 1) {
        for (let write = 0; write < 3; write += 1) {
          const tag = await written(documents, name, "same");
          for (const old of tags) {
            assert.equal(await documents.write(name, "never", { ifMatch: old }), null);
            assert.equal(await documents.remove(name, old), false);
          }
          await assertDocument(documents, name, { text: "same", tag });
          tags.add(tag);
        }
        assert.equal(await documents.remove(name), true);
      }
      assert.equal(tags.size, 12);
    },
  },
  {
    name: "a listing has the documents with its prefix, and no removed ones",
    needs: ["documents"],
    run: async ({ documents }) => {
      const tags = new Map<string, string>();
      const names = Array.from({ length: 70 }, (_, index) => `marks/${index % 2 === 0 ? "damaged" : "other"}-${index}`);
      for (const name of [...names, "marks/damaged", "marks2/damaged-1", "mark/damaged-1"]) {
        tags.set(name, await written(documents, name, name));
      }
      for (const name of ["marks/damaged-0", "marks/other-1"]) {
        await documents.remove(name);
        tags.delete(name);
      }
      const expected = (prefix: string) => new Map([...tags].filter(([name]) => name.startsWith(prefix)));
      for (const prefix of ["marks/", "marks/damaged", "marks/damaged-", "marks/damaged-6", "mark/", "none/"]) {
        assert.deepEqual(await listedTags(documents, prefix), expected(prefix), prefix);
      }
      for (const [name, tag] of tags) assert.deepEqual(await documents.read(name), { text: name, tag });
    },
  },
  {
    name: "documents and their removals are visible to another store over the same place",
    needs: ["documents", "another"],
    run: async ({ documents, another }) => {
      await using store = await another();
      const second = documentsOf(store);
      const first = await written(documents, "marks/one", "first");
      await assertDocument(second, "marks/one", { text: "first", tag: first });
      const tag = await written(second, "marks/one", "second", { ifMatch: first });
      await assertDocument(documents, "marks/one", { text: "second", tag });
      assert.equal(await documents.remove("marks/one", tag), true);
      await assertNoDocument(second, "marks/one");
    },
  },
  {
    name: "of concurrent conditional writes of a document over two stores exactly one succeeds",
    needs: ["documents", "another"],
    run: async ({ documents, another }) => {
      await using store = await another();
      const both = [documents, documentsOf(store)] as const;
      let condition: WriteCondition = { ifAbsent: true };
      for (let round = 0; round < 10; round += 1) {
        const text = (index: number) => `${round} by ${index} ${"x".repeat(index * 1000)}`;
        const tags: (string | null)[] = await together(both, (one, index) =>
          one.write("marks/one", text(index), condition),
        );
        assertExcluded(both, tags.filter((tag) => tag !== null).length);
        const found = (await documents.read("marks/one")) ?? assert.fail();
        assert.equal(found.text, text(tags.indexOf(found.tag)), "the text is that of the write that has succeeded");
        if (round % 3 === 2) await documents.remove("marks/one");
        condition = round % 3 === 2 ? { ifAbsent: true } : { ifMatch: found.tag };
      }
    },
  },
  {
    name: "of concurrent conditional writes and removals of a document over two stores exactly one succeeds",
    needs: ["documents", "another"],
    run: async ({ documents, another }) => {
      await using store = await another();
      const both = [documents, documentsOf(store)] as const;
      for (let round = 0; round < 10; round += 1) {
        const ifMatch = await written(documents, "marks/one", "text");
        const succeeded = await together(both, async (one, index) => {
          if (index % 4 < 2) return one.remove("marks/one", ifMatch);
          return (await one.write("marks/one", `${index}`, { ifMatch })) !== null;
        });
        assertExcluded(both, succeeded.filter((one) => one).length);
      }
    },
  },
  {
    name: "concurrent writes of a document without a condition all succeed, and one of them is read",
    needs: ["documents", "another"],
    run: async ({ documents, another }) => {
      await using store = await another();
      const both = [documents, documentsOf(store)] as const;
      for (let round = 0; round < 5; round += 1) {
        const tags = await together(both, (one, index) => written(one, "marks/one", `by ${index}`));
        assert.equal(new Set(tags).size, WRITERS);
        const found = (await documents.read("marks/one")) ?? assert.fail();
        assert.equal(found.text, `by ${tags.indexOf(found.tag)}`);
        if (round % 2 === 0) await documents.remove("marks/one");
      }
    },
  },
  {
    name: "a read of a document during writes returns the whole text of one write",
    needs: ["documents", "another"],
    run: async ({ documents, another }) => {
      await using store = await another();
      const text = (index: number) => String(index % 10).repeat(index % 2 === 0 ? 10 : DOCUMENT_MAX_BYTES);
      await written(documents, "marks/one", text(0));
      const write = async () => {
        for (let index = 0; index < 20; index += 1) await written(documents, "marks/one", text(index));
      };
      const read = async (from: DocumentStore) => {
        for (let reads = 0; reads < 40; reads += 1) {
          const found = (await from.read("marks/one")) ?? assert.fail("the document is always there");
          assert.equal(found.text, text(Number(found.text[0])));
        }
      };
      await Promise.all([write(), read(documents), read(documentsOf(store))]);
    },
  },
  {
    name: "documents are not listed as blobs, and a collection removes none",
    needs: ["documents"],
    run: async ({ store, documents }) => {
      const bytes = content(1000);
      await keep(store, bytes);
      const tag = await written(documents, "marks/one", "text");
      await written(documents, "marks/two", "text");
      await documents.remove("marks/two");
      assert.deepEqual(await store.collect(), { staged: 0, bytes: 0 });
      assert.equal((await listed(store)).length, 1);
      await assertKept(store, bytes);
      await assertDocument(documents, "marks/one", { text: "text", tag });
      await assertNoDocument(documents, "marks/two");
    },
  },
  {
    name: "an aborted signal ends reads and listings of documents with its reason",
    needs: ["documents"],
    run: async ({ documents }) => {
      for (let index = 0; index < 3; index += 1) await written(documents, `marks/${index}`, "text");
      const reason = new Error("no longer wanted");
      const signal = AbortSignal.abort(reason);
      await assert.rejects(documents.read("marks/1", signal), reason);
      await assert.rejects(documents.list("marks/", signal)[Symbol.asyncIterator]().next(), reason);
      const controller = new AbortController();
      const walk = async () => {
        for await (const _ of documents.list("marks/", controller.signal)) controller.abort(reason);
      };
      await assert.rejects(walk(), reason);
    },
  },
];
