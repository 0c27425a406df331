import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { ANONYMOUS } from "../access/principal.ts";
import { memoryStore } from "../memory.ts";
import { Digest } from "./digest.ts";
import { FixityError } from "./errors.ts";
import { createFixity, type Fixity } from "./fixity.ts";
import type { InspectedFile, Inspection } from "./hooks.ts";
import type { BlobStore } from "./store.ts";
import type { HeldUpload } from "./upload-store.ts";
import { NO_TERMS } from "./upload-terms.ts";
import type { Uploads } from "./uploads/uploads.ts";

const ALICE = { kind: "app", name: "alice" } as const;
const TERMS = { ...NO_TERMS, owner: ALICE, context: { session: 1 } };
const CONTENT = Buffer.alloc(10_000, "0123456789");
const DIGEST = Digest.fromBytes(createHash("sha256").update(CONTENT).digest()) ?? assert.fail("no digest");

/** An app that inspects files. */
class App {
  readonly seen: InspectedFile[] = [];
  readonly logged: { readonly message: string; readonly cause: unknown }[] = [];
  answer: (file: InspectedFile) => unknown = () => "allow";

  over(store: BlobStore, more: { inspectTimeout?: number } = {}): Fixity {
    return createFixity({
      store,
      inspect: (file) => {
        this.seen.push(file);
        return this.answer(file) as Inspection;
      },
      log: (message, cause) => this.logged.push({ message, cause }),
      ...more,
    });
  }
}

function uploadsOf({ uploads }: Fixity): Uploads {
  return uploads ?? assert.fail("no uploads are kept");
}

async function storedIn(store: BlobStore): Promise<number> {
  return (await Array.fromAsync(store.list())).length;
}

/** A memory store that cannot return saved bytes, like S3. */
function blindStore(): BlobStore {
  const store = memoryStore();
  const uploads = store.uploads ?? assert.fail("no uploads are kept");
  const hold = uploads.hold.bind(uploads);
  uploads.hold = async (...args) => {
    const held = await hold(...args);
    if (held?.status === "held")
      Object.defineProperty(held, "read", { value: undefined } satisfies { value: HeldUpload["read"] });
    return held;
  };
  return store;
}

const STORES = [
  ["can return saved bytes", memoryStore],
  ["cannot return saved bytes", blindStore],
] as const;

test("a plain upload is inspected by its first 4 KiB before it is stored", async () => {
  const app = new App();
  const store = memoryStore();
  app.answer = () => "allow";
  await app.over(store).put([CONTENT.subarray(0, 3000), CONTENT.subarray(3000)], { filename: "a.txt", terms: TERMS });
  const [file] = app.seen;
  assert.deepEqual(
    { ...file, head: null },
    {
      head: null,
      size: 10_000,
      type: "text/plain; charset=utf-8",
      name: "a.txt",
      principal: ALICE,
      context: { session: 1 },
    },
  );
  assert.ok(CONTENT.subarray(0, 4096).equals(file?.head ?? assert.fail()));
  await app.over(store).put(Buffer.alloc(0));
  assert.deepEqual(app.seen[1], {
    head: Buffer.alloc(0),
    size: 0,
    type: "application/octet-stream",
    name: null,
    principal: ANONYMOUS,
    context: null,
  });
});

/** Answers of an app, and the message that the client receives; `null` for what is not refused. */
const REFUSALS: readonly (readonly [what: string, answer: App["answer"], message: RegExp, isLogged: boolean])[] = [
  ["refuse", () => "refuse", /not accepted/, false],
  ["a reason", () => ({ refuse: "No executables." }), /^No executables\.$/, false],
  [
    "an exception",
    () => {
      throw new Error("secret");
    },
    /not accepted/,
    true,
  ],
  ["a rejection", () => Promise.reject(new FixityError("forbidden", "secret")), /not accepted/, true],
  ["nothing", () => undefined, /not accepted/, true],
  ["another text", () => "yes", /not accepted/, true],
  ["silence", () => new Promise(() => {}), /not accepted/, true],
];

for (const [what, answer, message, isLogged] of REFUSALS) {
  test(`a file is refused by ${what}, and nothing is stored`, async () => {
    const app = new App();
    app.answer = answer;
    const store = memoryStore();
    const fixity = app.over(store, { inspectTimeout: 50 });
    await assert.rejects(fixity.put(CONTENT), { code: "content-refused", message });
    assert.equal(app.logged.length, isLogged ? 1 : 0);
    const { id } = await uploadsOf(fixity).create({});
    const { outcome } = await uploadsOf(fixity).append(id, { offset: 0, source: [CONTENT], completes: true });
    assert.ok(outcome instanceof FixityError && outcome.code === "content-refused");
    assert.match(outcome.message, message);
    const again = await uploadsOf(fixity).find(id);
    assert.ok(again.outcome instanceof FixityError && again.outcome.code === "content-refused");
    assert.equal(app.seen.length, 2, "the refusal of a resumable upload is final");
    assert.equal(await storedIn(store), 0);
  });
}

for (const [what, storeOf] of STORES) {
  test(`over a store that ${what}, the head of a resumable upload is kept across requests and instances`, async () => {
    const app = new App();
    const store = storeOf();
    const { id } = await uploadsOf(app.over(store)).create({ filename: "a.txt", terms: TERMS });
    let offset = 0;
    for (const end of [0, 1, 3000, 4095, 4096, 4097, 10_000]) {
      const uploads = uploadsOf(app.over(store));
      const completes = end === CONTENT.length;
      const source = [CONTENT.subarray(offset, end)];
      await uploads.append(id, { offset, source, completes, terms: TERMS });
      offset = end;
    }
    assert.equal(app.seen.length, 1);
    const { head, ...facts } = app.seen[0] ?? assert.fail();
    assert.ok(CONTENT.subarray(0, 4096).equals(head));
    assert.deepEqual(facts, {
      size: 10_000,
      type: "text/plain; charset=utf-8",
      name: "a.txt",
      principal: ALICE,
      context: { session: 1 },
    });
  });
}

test("an upload that was begun before files were inspected is refused where its head is lost", async () => {
  for (const [what, storeOf] of STORES) {
    const app = new App();
    const store = storeOf();
    const { id } = await uploadsOf(createFixity({ store })).create({});
    await uploadsOf(createFixity({ store })).append(id, {
      offset: 0,
      source: [CONTENT.subarray(0, 10)],
      completes: false,
    });
    const rest = { offset: 10, source: [CONTENT.subarray(10)], completes: true };
    const { outcome } = await uploadsOf(app.over(store)).append(id, rest);
    const isRefused = outcome instanceof FixityError && outcome.code === "content-refused";
    assert.equal(isRefused, storeOf === blindStore, what);
  }
});

test("a file that is to be served as octet-stream gets a link without an extension, by every route", async () => {
  const app = new App();
  app.answer = () => "octet-stream";
  const fixity = app.over(memoryStore());
  const uploads = uploadsOf(fixity);
  assert.equal((await fixity.put(CONTENT, { filename: "a.txt" })).link.extension, null);
  assert.equal((await fixity.claim(DIGEST, { filename: "a.txt", length: 10_000 }))?.link.extension, null);
  const { id } = await uploads.create({ filename: "a.txt" });
  const states = [
    await uploads.append(id, { offset: 0, source: [CONTENT], completes: true }),
    await uploads.find(id),
    await uploads.create({ filename: "a.txt", digest: DIGEST, length: 10_000 }),
  ];
  for (const { outcome } of states) {
    assert.ok(outcome !== null && "link" in outcome);
    assert.deepEqual([outcome.link.extension, outcome.name, outcome.type], [null, "a.txt", "application/octet-stream"]);
  }
});

test("an inspection's octet-stream outlives a hook that fails", async () => {
  const store = memoryStore();
  let fails = true;
  const fixity = createFixity({
    store,
    inspect: () => "octet-stream",
    onStored: () => {
      if (fails) throw new FixityError("forbidden", "Not now.");
    },
  });
  const { id } = await uploadsOf(fixity).create({ filename: "a.txt" });
  await assert.rejects(uploadsOf(fixity).append(id, { offset: 0, source: [CONTENT], completes: true }));
  fails = false;
  const { outcome } = await uploadsOf(fixity).find(id, { retriesHook: true });
  assert.ok(outcome !== null && "link" in outcome && outcome.link.extension === null);
});

test("a claim of stored content is inspected by what is stored", async () => {
  const app = new App();
  const store = memoryStore();
  await createFixity({ store }).put(CONTENT);
  app.answer = () => "refuse";
  const fixity = app.over(store);
  const claim = { digest: DIGEST, length: 10_000, terms: TERMS };
  await assert.rejects(fixity.lookUp(DIGEST, claim), { code: "content-refused" });
  await assert.rejects(uploadsOf(fixity).create(claim), { code: "content-refused" });
  for (const { head } of app.seen) assert.ok(CONTENT.subarray(0, 4096).equals(head));
  assert.equal(app.seen.length, 2);
});

test("stored content that is damaged is not claimed, and is uploaded instead", async () => {
  const app = new App();
  const store = memoryStore();
  await createFixity({ store }).put(CONTENT);
  const damaged = new FixityError("blob-damaged", "damaged");
  const fixity = createFixity({ store, verifyReads: "never", inspect: (file) => app.answer(file) as Inspection });
  store.open = () => Promise.reject(damaged);
  assert.equal(await fixity.lookUp(DIGEST, { length: 10_000 }), "unknown");
  assert.equal((await uploadsOf(fixity).create({ digest: DIGEST, length: 10_000 })).outcome, null);
});

test("the service's own types hold for every route", async () => {
  const store = memoryStore();
  const open = createFixity({ store });
  await open.put(CONTENT);
  const { id } = await uploadsOf(open).create({ filename: "a.exe" });
  const fixity = createFixity({ store, types: ["image/*", ".pdf"] });
  const refused = { code: "type-not-allowed" } as const;
  await assert.rejects(fixity.put(CONTENT, { filename: "a.exe" }), refused);
  await assert.rejects(fixity.put(CONTENT), refused);
  await assert.rejects(fixity.lookUp(DIGEST, { length: 10_000 }), refused);
  await assert.rejects(uploadsOf(fixity).create({ filename: "a.exe" }), refused);
  await assert.rejects(uploadsOf(fixity).append(id, { offset: 0, source: [CONTENT], completes: true }), refused);
  assert.equal((await fixity.put(CONTENT, { filename: "a.PNG" })).type, "image/png");
  assert.equal((await fixity.put(CONTENT, { type: "application/pdf" })).link.extension, "pdf");
  assert.throws(() => createFixity({ store, types: [] }), { code: "invalid-option" });
  assert.throws(() => createFixity({ store, inspectTimeout: 0 }), { code: "invalid-option" });
});
