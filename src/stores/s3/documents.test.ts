import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { failure, type ScriptedAnswer, type ScriptedRequest } from "../../../test/s3/scripted-bucket.ts";
import { ScriptedServer, type Step } from "../../../test/s3/scripted-server.ts";
import { DOCUMENT_MAX_BYTES, type DocumentStore } from "../../core/document-store.ts";
import type { BlobStore } from "../../core/store.ts";
import type { RuleContext } from "../contract/contract-place.ts";
import { DOCUMENT_RULES } from "../contract/document-rules.ts";

const NAME = "marks/one";
const KEY = `documents/${NAME}`;
const DAY_MS = 86_400_000;
const REFUSED = failure(412, "PreconditionFailed");

/** What happens to a conditional PUT; `null` for all other requests. */
type Behaviour = (request: ScriptedRequest, server: ScriptedServer) => Step;

function isConditional({ headers }: ScriptedRequest): boolean {
  return headers["if-match"] !== undefined || headers["if-none-match"] !== undefined;
}

/** Stores the object whatever the condition is. */
function ignoring({ headers, ...request }: ScriptedRequest, { bucket }: ScriptedServer): ScriptedAnswer {
  const { "if-match": _, "if-none-match": __, ...others } = headers;
  return bucket.answer({ ...request, headers: others });
}

/** Servers by what they do with conditions. */
const SERVERS: readonly (readonly [name: string, isConditional: boolean, behaviour: Behaviour])[] = [
  ["enforces conditions", true, () => null],
  [
    "compares bare tags, as Ceph does",
    true,
    ({ headers }) => (headers["if-match"]?.startsWith('"') === true ? REFUSED : null),
  ],
  [
    "refuses every If-Match, as Ceph does with versioning",
    false,
    ({ headers }) => (headers["if-match"] ? REFUSED : null),
  ],
  ["implements no conditions", false, (request) => (isConditional(request) ? failure(501, "NotImplemented") : null)],
  ["refuses all conditions", false, (request) => (isConditional(request) ? REFUSED : null)],
  ["ignores all conditions", false, (request, server) => (isConditional(request) ? ignoring(request, server) : null)],
];

interface Place {
  readonly server: ScriptedServer;
  readonly store: BlobStore;
  readonly documents: DocumentStore;
  readonly log: readonly string[];
}

/** A store over a scripted server. */
async function over(work: (place: Place) => Promise<void>, behaviour: Behaviour = () => null): Promise<void> {
  await using server = await ScriptedServer.start();
  server.always("PutObject", (request) => behaviour(request, server));
  const log: string[] = [];
  await using store = server.store({ log: (message) => log.push(message) });
  await work({ server, store, documents: documentsOf(store), log });
}

function documentsOf({ documents }: BlobStore): DocumentStore {
  return documents ?? assert.fail();
}

async function written(...[documents, ...write]: [DocumentStore, ...Parameters<DocumentStore["write"]>]) {
  return (await documents.write(...write)) ?? assert.fail("the document was not written");
}

function textIn({ bucket }: ScriptedServer): string | undefined {
  return bucket.objects.get(KEY)?.bytes.toString();
}

/** Sets when the object was modified. */
function age({ bucket }: ScriptedServer, milliseconds: number): void {
  const object = bucket.objects.get(KEY) ?? assert.fail();
  bucket.objects.set(KEY, { ...object, modified: new Date(Date.now() - milliseconds) });
}

for (const [name, isExpectedConditional, behaviour] of SERVERS) {
  void describe(`documents in a bucket that ${name}`, () => {
    for (const rule of DOCUMENT_RULES) {
      void test(rule.name, async () =>
        over(async ({ server, store, documents }) => {
          const another = async () => server.store();
          await rule.run({ store, documents, another } as unknown as RuleContext);
        }, behaviour),
      );
    }

    void test("isConditional reports it once a document was created and replaced", async () =>
      over(async ({ documents, server }) => {
        const first = await written(documents, NAME, "first", { ifAbsent: true });
        assert.equal(await documents.write(NAME, "again", { ifAbsent: true }), null);
        await written(documents, NAME, "second", { ifMatch: first });
        assert.equal(documents.isConditional, isExpectedConditional);
        assert.deepEqual([...server.bucket.objects.keys()], [KEY], "tests of conditions leave nothing behind");
      }, behaviour));
  });
}

void describe("documents in a bucket", () => {
  void test("a document is a text object with its revision in the first line", async () =>
    over(async ({ documents, server }) => {
      await written(documents, NAME, "text\n");
      assert.match(textIn(server) ?? "", /^fixity-document 1 [0-9a-f]{32}\ntext\n$/);
      assert.equal(server.bucket.objects.get(KEY)?.type, "text/plain; charset=utf-8");
      assert.deepEqual(server.operations, ["PutObject"]);
    }));

  void test("the conditions of a server are tested once, before the first conditional write", async () =>
    over(async ({ documents, server }) => {
      await Promise.all([1, 2, 3].map((n) => documents.write(`marks/${n}`, "text", { ifAbsent: true })));
      assert.equal(server.seen.filter(({ key }) => key.startsWith("tmp/")).length, 4);
      server.seen.length = 0;
      const tag = await written(documents, NAME, "text", { ifAbsent: true });
      await written(documents, NAME, "text", { ifMatch: tag });
      assert.deepEqual(server.operations, ["PutObject", "PutObject"]);
    }));

  void test("a test of the conditions that fails makes the write fail, and is repeated by the next one", async () =>
    over(async ({ documents, server }) => {
      server.always("PutObject", ({ key }) => (key.startsWith("tmp/") ? failure(403, "AccessDenied") : null));
      await assert.rejects(documents.write(NAME, "text", { ifAbsent: true }), { code: "store-misconfigured" });
      assert.equal(await documents.read(NAME), null);
      server.always("PutObject", null);
      await written(documents, NAME, "text", { ifAbsent: true });
    }));

  for (const [ending, step] of [
    ["is lost", { done: "close" }],
    ["is 500 although it was carried out", { done: failure(500, "InternalError") }],
    ["never comes, and the request was not carried out", "close"],
  ] as const satisfies readonly (readonly [string, Step])[]) {
    void test(`a write whose first response ${ending} succeeds once, under each condition`, async () =>
      over(async ({ documents, server }) => {
        const losing = (nth: number) => {
          let count = 0;
          server.always("PutObject", ({ key }) => (key === KEY && (count += 1) === nth ? step : null));
        };
        losing(1);
        const first = await written(documents, NAME, "first", { ifAbsent: true });
        assert.deepEqual(await documents.read(NAME), { text: "first", tag: first });
        losing(1);
        const second = await written(documents, NAME, "second", { ifMatch: first });
        assert.deepEqual(await documents.read(NAME), { text: "second", tag: second });
        losing(1);
        const third = await written(documents, NAME, "third");
        assert.deepEqual(await documents.read(NAME), { text: "third", tag: third });
        losing(1);
        assert.equal(await documents.remove(NAME, third), true);
        assert.equal(await documents.read(NAME), null);
        losing(1);
        const fourth = await written(documents, NAME, "fourth", { ifAbsent: true });
        assert.deepEqual(await documents.read(NAME), { text: "fourth", tag: fourth });
        server.once("DeleteObject", step);
        assert.equal(await documents.remove(NAME), true);
        assert.equal(await documents.read(NAME), null);
      }));
  }

  void test("an unconditional write that is repeated does not bring back a tag that was replaced", async () =>
    over(async ({ documents, server, store }) => {
      await written(documents, NAME, "zero");
      const replaced: string[] = [];
      let attempts = 0;
      server.always("PutObject", (request) => {
        if (request.key !== KEY) return null;
        attempts += 1;
        if (attempts > 1) return null;
        server.bucket.answer(request);
        replaced.push(server.bucket.objects.get(KEY)?.etag ?? "");
        // Another writer replaces the document before the first attempt is repeated.
        server.bucket.put(KEY, Buffer.from(`fixity-document 1 ${"0".repeat(32)}\nanother`), "text/plain");
        return { status: 500 };
      });
      const tag = await written(documents, NAME, "first");
      assert.equal(attempts, 2);
      assert(!replaced.includes(tag));
      assert.equal(await documentsOf(store).write(NAME, "late", { ifMatch: replaced[0] ?? "" }), null);
    }));

  void test("a write that may have been carried out and replaced since fails, instead of reporting that it was not", async () =>
    over(async ({ documents, server }) => {
      const first = await written(documents, NAME, "first");
      await written(documents, "marks/test", "text", { ifAbsent: true });
      let attempts = 0;
      server.always("PutObject", (request) => {
        attempts += 1;
        if (attempts > 1) return null;
        server.bucket.answer(request);
        server.bucket.put(KEY, Buffer.from(`fixity-document 1 ${"0".repeat(32)}\nanother`), "text/plain");
        return "close";
      });
      await assert.rejects(documents.write(NAME, "second", { ifMatch: first }), { code: "store-unavailable" });
      assert.equal((await documents.read(NAME))?.text, "another");
    }));

  void test("a write that lost a race, which Ceph reports as 500 UnknownError, was not written", async () =>
    over(async ({ documents, server }) => {
      const first = await written(documents, NAME, "first");
      await written(documents, "marks/test", "text", { ifAbsent: true });
      let attempts = 0;
      server.always("PutObject", () => {
        attempts += 1;
        if (attempts > 1) return null;
        server.bucket.put(KEY, Buffer.from(`fixity-document 1 ${"0".repeat(32)}\nanother`), "text/plain");
        return failure(500, "UnknownError");
      });
      assert.equal(await documents.write(NAME, "second", { ifMatch: first }), null);
      assert.equal((await documents.read(NAME))?.text, "another");
    }));

  void test("a single refusal without cause is repeated, and conditions stay in use", async () =>
    over(async ({ documents, server, log }) => {
      await written(documents, "marks/test", "text", { ifAbsent: true });
      server.once("PutObject", REFUSED);
      const tag = await written(documents, NAME, "first", { ifAbsent: true });
      server.once("PutObject", REFUSED, REFUSED);
      await written(documents, NAME, "second", { ifMatch: tag });
      assert.equal(documents.isConditional, true);
      assert.deepEqual(log, []);
    }));

  void test("a tag that is not an entity tag matches nothing, and is not sent", async () =>
    over(async ({ documents, server }) => {
      const tag = await written(documents, NAME, "text");
      server.seen.length = 0;
      for (const ifMatch of ["*", '"*"', "", '""', `${tag}, "x"`, `"x", ${tag}`, "a\r\nb: c", tag.slice(1, -1)]) {
        assert.equal(await documents.write(NAME, "never", { ifMatch }), null, ifMatch);
        assert.equal(await documents.remove(NAME, ifMatch), false, ifMatch);
      }
      assert.deepEqual(server.operations, []);
    }));

  void test("a conditional removal leaves a tombstone, which is collected a day later by the server's clock", async () =>
    over(async ({ documents, server, store }) => {
      const tag = await written(documents, NAME, "text");
      assert.equal(await documents.remove(NAME, tag), true);
      assert.equal(textIn(server)?.indexOf("\n"), (textIn(server)?.length ?? 0) - 1);
      assert.equal(await documents.remove(NAME), false);
      assert.equal(await documents.remove(NAME, tag), false);
      assert.deepEqual(await Array.fromAsync(documents.list("marks/")), []);
      age(server, DAY_MS - 60_000);
      await store.collect();
      assert(server.bucket.objects.has(KEY));
      age(server, DAY_MS + 60_000);
      assert.deepEqual(await store.collect(), { staged: 0, bytes: 0 });
      assert(!server.bucket.objects.has(KEY));
    }));

  void test("a collection removes no document, however old it is", async () =>
    over(async ({ documents, server, store }) => {
      await written(documents, NAME, "x");
      age(server, 400 * DAY_MS);
      await store.collect();
      assert.equal((await documents.read(NAME))?.text, "x");
    }));

  void test("a document that was written over a tombstone after it was listed is not collected", async () =>
    over(async ({ documents, server, store }) => {
      await documents.remove(NAME, await written(documents, NAME, "text"));
      age(server, 2 * DAY_MS);
      server.always("HeadObject", ({ key }) => {
        if (key === KEY) server.bucket.put(KEY, Buffer.from(`fixity-document 1 ${"0".repeat(32)}\nnew`), "text/plain");
        return null;
      });
      await store.collect();
      assert.equal((await documents.read(NAME))?.text, "new");
    }));

  void test("a tombstone that is collected while a document is written over it does not hinder the write", async () =>
    over(async ({ documents, server }) => {
      await documents.remove(NAME, await written(documents, NAME, "text"));
      server.always("PutObject", ({ key, headers }) => {
        if (key === KEY && headers["if-match"] !== undefined) server.bucket.objects.delete(KEY);
        return null;
      });
      await written(documents, NAME, "new", { ifAbsent: true });
      assert.equal((await documents.read(NAME))?.text, "new");
    }));

  void test("objects of other programs under documents/ are not listed, and reading one is an error", async () =>
    over(async ({ documents, server }) => {
      for (const key of ["documents/", "documents/marks/", "documents/marks/a/b", "documents/marks/A", "documents/x"]) {
        server.bucket.put(key, Buffer.from("text"), "text/plain");
      }
      assert.deepEqual(await Array.fromAsync(documents.list("marks/")), []);
      for (const content of ["", "text", "fixity-document 2 x\ntext", "fixity-document 1 0\n", "<Html/>"]) {
        server.bucket.put(KEY, Buffer.from(content), "text/plain");
        await assert.rejects(documents.read(NAME), { name: "FixityError", code: "store-unavailable" });
      }
    }));

  void test("a bucket that permits nothing under documents/ is reported as misconfigured", async () =>
    over(async ({ documents, server }) => {
      const denied = failure(403, "AccessDenied");
      for (const operation of ["GetObject", "HeadObject", "DeleteObject", "ListObjectsV2"])
        server.always(operation, denied);
      server.always("PutObject", ({ key }) => (key.startsWith("documents/") ? denied : null));
      const expected = { name: "FixityError", code: "store-misconfigured" };
      await assert.rejects(documents.read(NAME), expected);
      await assert.rejects(documents.write(NAME, "text"), expected);
      await assert.rejects(documents.write(NAME, "text", { ifAbsent: true }), expected);
      await assert.rejects(documents.write(NAME, "text", { ifMatch: '"x"' }), expected);
      await assert.rejects(documents.remove(NAME), expected);
      await assert.rejects(documents.remove(NAME, '"x"'), expected);
      await assert.rejects(Array.fromAsync(documents.list("marks/")), expected);
    }));

  void test("a missing bucket is an error, and not an absent document", async () =>
    over(async ({ documents, server }) => {
      server.always("GetObject", failure(404, "NoSuchBucket"));
      await assert.rejects(documents.read(NAME), { code: "store-misconfigured" });
    }));

  void test("more documents than fit on a page are listed with their tags, without a read", async () =>
    over(async ({ documents, server }) => {
      server.bucket.pageSize = 7;
      const tags = new Map<string, string>();
      for (let n = 0; n < 30; n += 1) tags.set(`marks/${n}`, await written(documents, `marks/${n}`, "x".repeat(n + 1)));
      await written(documents, "marks/large", "x".repeat(DOCUMENT_MAX_BYTES));
      await documents.remove("marks/large");
      server.seen.length = 0;
      const found = await Array.fromAsync(documents.list("marks/"));
      assert.deepEqual(new Map(found.map(({ name, tag }) => [name, tag])), tags);
      assert.deepEqual(new Set(server.operations), new Set(["ListObjectsV2"]));
    }));
});

/** What becomes of the last request of a process: it is lost, or carried out. No later one arrives. */
const DEATHS: readonly (readonly [name: string, step: Step])[] = [
  ["before", "close"],
  ["after", { done: "close" }],
];

interface Change {
  readonly name: string;
  readonly before: string | null;
  readonly after: string | null;
  readonly run: (documents: DocumentStore, tag: string) => Promise<unknown>;
}

const CHANGES: readonly Change[] = [
  { name: "a write", before: "old", after: "new", run: async (documents) => documents.write(NAME, "new") },
  {
    name: "a write with ifMatch",
    before: "old",
    after: "new",
    run: async (documents, ifMatch) => documents.write(NAME, "new", { ifMatch }),
  },
  {
    name: "a write with ifAbsent over a tombstone",
    before: null,
    after: "new",
    run: async (documents) => documents.write(NAME, "new", { ifAbsent: true }),
  },
  { name: "a removal", before: "old", after: null, run: async (documents) => documents.remove(NAME) },
  {
    name: "a removal with ifMatch",
    before: "old",
    after: null,
    run: async (documents, tag) => documents.remove(NAME, tag),
  },
];

/** Returns whether the change ended before its n-th request. */
async function killAtRequest(nth: number, { before, after, run }: Change, death: Step): Promise<boolean> {
  let requests = 0;
  await over(async ({ documents, server }) => {
    const tag = await written(documents, NAME, "old");
    if (before === null) await documents.remove(NAME, tag);
    const step = (): Step => {
      requests += 1;
      if (requests < nth) return null;
      return requests === nth ? death : "close";
    };
    const operations = ["PutObject", "GetObject", "HeadObject", "DeleteObject"];
    for (const operation of operations) server.always(operation, step);
    const dying = server.store({ attempts: 1 });
    await run(documentsOf(dying), tag).catch(() => null);
    await dying[Symbol.asyncDispose]();
    for (const operation of operations) server.always(operation, null);
    const left = await documents.read(NAME);
    const mayBeLeft = requests < nth ? [after] : [before, after];
    assert(mayBeLeft.includes(left?.text ?? null), `request ${nth} left ${left?.text}`);
    // Whatever is left, the next process can continue with it.
    await written(documents, NAME, "next", left === null ? { ifAbsent: true } : { ifMatch: left.tag });
    assert.equal((await documents.read(NAME))?.text, "next");
  });
  return requests < nth;
}

void describe("a process that dies while it changes a document", () => {
  for (const change of CHANGES) {
    for (const [when, death] of DEATHS) {
      void test(`${change.name}: killed ${when} any request, it leaves the document as it was or as it should be`, async () => {
        let nth = 1;
        while (!(await killAtRequest(nth, change, death))) nth += 1;
        assert(nth > 1 && nth < 20);
      });
    }
  }
});
