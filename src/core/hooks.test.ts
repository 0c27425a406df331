import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { ANONYMOUS } from "../access/principal.ts";
import { memoryStore } from "../memory.ts";
import { Digest } from "./digest.ts";
import { FixityError } from "./errors.ts";
import { createFixity, type Fixity } from "./fixity.ts";
import type { StoredDetails } from "./hooks.ts";
import type { Receipt } from "./link.ts";
import type { BlobStore } from "./store.ts";
import { NO_TERMS, type UploadTerms } from "./upload-terms.ts";
import type { AppendOptions } from "./uploads/upload-options.ts";
import type { UploadState } from "./uploads/upload-record.ts";
import type { Uploads } from "./uploads/uploads.ts";

const ALICE = { kind: "app", name: "alice" } as const;
const TERMS: UploadTerms = {
  ...NO_TERMS,
  owner: ALICE,
  context: { session: 1 },
  kept: '{"album":7}',
  requestId: "request-1",
};
const HELLO = Buffer.from("hello");
const DIGEST = Digest.fromBytes(createHash("sha256").update(HELLO).digest()) ?? assert.fail("no digest");
const TAKEN_BY_THE_APP = new FixityError("forbidden", "The album is full.");

/** An app whose hook can fail. */
class App {
  readonly calls: { readonly receipt: Receipt; readonly details: StoredDetails }[] = [];
  failure: Error | null = null;
  /** Called by the hook, before it fails or succeeds. */
  during: () => Promise<void> | void = () => {};

  async onStored(receipt: Receipt, details: StoredDetails): Promise<void> {
    this.calls.push({ receipt, details });
    await this.during();
    if (this.failure !== null) throw this.failure;
  }

  over(store: BlobStore): Fixity {
    return createFixity({ store, onStored: (receipt, details) => this.onStored(receipt, details) });
  }
}

function uploadsOf({ uploads }: Fixity): Uploads {
  return uploads ?? assert.fail("no uploads are kept");
}

function last(offset: number, text: string, more: Partial<AppendOptions> = {}): AppendOptions {
  return { offset, source: [Buffer.from(text)], completes: true, terms: TERMS, ...more };
}

function assertStored({ outcome }: UploadState): void {
  assert.ok(outcome !== null && "digest" in outcome);
}

/** An upload whose blob is stored and whose hook has failed. */
async function pendingUpload(app: App, store: BlobStore) {
  const uploads = uploadsOf(app.over(store));
  app.failure = TAKEN_BY_THE_APP;
  const { id } = await uploads.create({ terms: TERMS, filename: "a.txt" });
  await assert.rejects(uploads.append(id, last(0, "hello")), TAKEN_BY_THE_APP);
  return { id, uploads };
}

test("the hook of a plain upload receives the receipt, the owner, the context and the request's id", async () => {
  const app = new App();
  const fixity = app.over(memoryStore());
  app.during = async () => assert.ok(await fixity.stat(DIGEST), "the file is stored by then");
  const receipt = await fixity.put(HELLO, { terms: TERMS, filename: "a.txt" });
  const details = { principal: ALICE, context: { session: 1 }, kept: { album: 7 }, key: "request-1" };
  assert.deepEqual(app.calls, [{ receipt, details }]);
});

test("without terms the hook receives an anonymous principal", async () => {
  const app = new App();
  await app.over(memoryStore()).put(HELLO);
  assert.deepEqual(app.calls[0]?.details, { principal: ANONYMOUS, context: null, kept: null, key: "" });
});

test("the failure of the hook is that of the upload, the file stays, and a repetition calls again", async () => {
  const app = new App();
  const fixity = app.over(memoryStore());
  app.failure = TAKEN_BY_THE_APP;
  await assert.rejects(fixity.put(HELLO, { terms: TERMS }), TAKEN_BY_THE_APP);
  await assert.rejects(fixity.claim(DIGEST, { length: 5, terms: TERMS }), TAKEN_BY_THE_APP);
  app.failure = new Error("the app's database is down");
  await assert.rejects(fixity.put(HELLO, { terms: TERMS }), { code: "internal-error", cause: app.failure });
  app.failure = null;
  assert.equal((await fixity.put(HELLO, { terms: TERMS })).existed, true);
  assert.equal((await fixity.claim(DIGEST, { length: 5, terms: TERMS }))?.existed, true);
  assert.deepEqual(
    app.calls.map(({ receipt }) => receipt.existed),
    [false, true, true, true, true],
  );
});

test("the hook is not called for a claim without a receipt, nor for a refused upload", async () => {
  const app = new App();
  const fixity = app.over(memoryStore());
  assert.equal(await fixity.lookUp(DIGEST, { length: 5 }), "absent");
  await assert.rejects(fixity.put(HELLO, { maxSize: 4 }), { code: "size-limit-exceeded" });
  assert.deepEqual(app.calls, []);
});

test("the hook of a resumable upload is called with its id, its creator and the last request's context", async () => {
  const app = new App();
  const uploads = uploadsOf(app.over(memoryStore()));
  const { id } = await uploads.create({ terms: TERMS, filename: "a.txt" });
  await uploads.append(id, last(0, "hel", { completes: false }));
  assert.equal(app.calls.length, 0);
  const bob = { ...NO_TERMS, owner: { kind: "token", name: "bob" }, context: { session: 2 } } as const;
  assertStored(await uploads.append(id, last(3, "lo", { terms: bob })));
  const [call] = app.calls;
  assert.equal(call?.receipt.name, "a.txt");
  assert.deepEqual(call?.details, { principal: ALICE, context: { session: 2 }, kept: { album: 7 }, key: id.hex });
  await uploads.append(id, last(5, ""));
  await uploads.find(id, { retriesHook: true });
  assert.equal(app.calls.length, 1, "a replay does not call it");
});

test("the hook is called for a resumable upload that is complete at once", async () => {
  const app = new App();
  const fixity = app.over(memoryStore());
  await fixity.put(HELLO);
  app.failure = TAKEN_BY_THE_APP;
  const creation = { digest: DIGEST, length: 5, terms: TERMS };
  await assert.rejects(uploadsOf(fixity).create(creation), TAKEN_BY_THE_APP);
  app.failure = null;
  const state = await uploadsOf(fixity).create(creation);
  assertStored(state);
  assert.equal(app.calls.at(-1)?.details.key, state.id.hex);
  assert.deepEqual(app.calls.at(-1)?.details.context, { session: 1 });
});

test("an upload whose hook failed keeps its full offset without an outcome", async () => {
  const app = new App();
  const store = memoryStore();
  const { id, uploads } = await pendingUpload(app, store);
  for (const engine of [uploads, uploadsOf(app.over(store))]) {
    const state = await engine.find(id);
    assert.deepEqual([state.offset, state.length, state.outcome], [5, 5, null]);
    assert.equal((await engine.look(id)).offset, 5);
  }
  assert.equal(app.calls.length, 1, "finding it does not call the hook");
});

test("the request whose hook fails learns that all bytes are durable", async () => {
  const app = new App();
  const uploads = uploadsOf(app.over(memoryStore()));
  app.failure = TAKEN_BY_THE_APP;
  const { id } = await uploads.create({});
  const offsets: number[] = [];
  const onFailure = (offset: number): void => void offsets.push(offset);
  await assert.rejects(uploads.append(id, last(0, "hello", { onFailure })), TAKEN_BY_THE_APP);
  assert.deepEqual(offsets, [5]);
});

test("the code of the hook's failure never ends the upload", async () => {
  const app = new App();
  const store = memoryStore();
  const uploads = uploadsOf(app.over(store));
  for (const code of ["upload-damaged", "size-limit-exceeded", "content-refused"] as const) {
    app.failure = new FixityError(code, "The app says so.");
    const { id } = await uploads.create({});
    await assert.rejects(uploads.append(id, last(0, "hello")), { code });
    await assert.rejects(uploads.append(id, last(5, "")), { code });
    app.failure = null;
    assertStored(await uploads.append(id, last(5, "")));
  }
});

for (const isElsewhere of [false, true]) {
  const where = isElsewhere ? "another instance" : "the same instance";

  test(`an empty append at the end, on ${where}, calls the hook again and never commits again`, async () => {
    const app = new App();
    const store = memoryStore();
    const { id, uploads } = await pendingUpload(app, store);
    const engine = isElsewhere ? uploadsOf(app.over(store)) : uploads;
    await store.remove(DIGEST);
    await assert.rejects(engine.append(id, last(5, "")), TAKEN_BY_THE_APP);
    app.failure = null;
    assertStored(await engine.append(id, last(5, "", { completes: false })));
    assertStored(await engine.append(id, last(5, "")));
    assert.equal(await store.stat(DIGEST), null);
    assert.deepEqual(
      app.calls.map(({ details }) => details.key),
      [id.hex, id.hex, id.hex],
    );
  });

  test(`a find that retries the hook, on ${where}, returns its failure or the outcome`, async () => {
    const app = new App();
    const store = memoryStore();
    const { id, uploads } = await pendingUpload(app, store);
    const engine = isElsewhere ? uploadsOf(app.over(store)) : uploads;
    const seen = await engine.look(id);
    await assert.rejects(engine.find(id, { retriesHook: true, seen, terms: TERMS }), TAKEN_BY_THE_APP);
    app.failure = null;
    assertStored(await engine.find(id, { retriesHook: true, seen }));
    assert.deepEqual(
      app.calls.map(({ details }) => details.context),
      [{ session: 1 }, { session: 1 }, null],
    );
  });
}

test("any other append to an upload whose hook failed is refused and does not call the hook", async () => {
  const app = new App();
  const { id, uploads } = await pendingUpload(app, memoryStore());
  for (const options of [last(0, "hello"), last(5, "x"), last(5, "", { announced: 3 }), last(3, "")]) {
    await assert.rejects(uploads.append(id, options), { code: "offset-mismatch" });
  }
  await assert.rejects(uploads.append(id, last(5, "", { lengths: [6] })), { code: "inconsistent-length" });
  assert.equal(app.calls.length, 1);
});

test("a collection calls the hook of an abandoned upload without a context", async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() });
  const app = new App();
  const store = memoryStore();
  const { id } = await pendingUpload(app, store);
  const fixity = app.over(store);
  await fixity.collect();
  assert.equal(app.calls.length, 1, "it may not be abandoned yet");
  t.mock.timers.tick(6 * 60_000);
  await assert.rejects(fixity.collect(), TAKEN_BY_THE_APP);
  app.failure = null;
  await fixity.collect();
  const details = { principal: ALICE, context: null, kept: { album: 7 }, key: id.hex };
  assert.deepEqual(app.calls.at(-1)?.details, details);
  assertStored(await uploadsOf(fixity).find(id));
  assert.equal(app.calls.length, 3);
});

test("a collection by a program without the hook leaves its uploads alone", async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() });
  const app = new App();
  const store = memoryStore();
  const { id, uploads } = await pendingUpload(app, store);
  t.mock.timers.tick(6 * 60_000);
  await createFixity({ store }).collect();
  assert.equal((await uploads.find(id)).outcome, null);
});

test("an upload whose hook never succeeds expires like any other", async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() });
  const app = new App();
  const store = memoryStore();
  const { id, uploads } = await pendingUpload(app, store);
  t.mock.timers.tick(24 * 3_600_000 + 1);
  assert.deepEqual(await app.over(store).collect(), { staged: 1, bytes: 5 });
  await assert.rejects(uploads.find(id), { code: "upload-not-found" });
  assert.ok(await store.stat(DIGEST), "the file stays");
});

test("two requests for one upload share the running hook", async () => {
  const app = new App();
  const uploads = uploadsOf(app.over(memoryStore()));
  const { promise: mayEnd, resolve: end } = Promise.withResolvers<void>();
  const { promise: isCalled, resolve: called } = Promise.withResolvers<void>();
  app.during = () => {
    called();
    return mayEnd;
  };
  const { id } = await uploads.create({});
  const append = uploads.append(id, last(0, "hello"));
  await isCalled;
  const others = [uploads.append(id, last(5, "")), uploads.find(id), uploads.find(id, { retriesHook: true })];
  end();
  for (const state of await Promise.all([append, ...others])) assertStored(state);
  assert.equal(app.calls.length, 1);
});

test("a service of a typed context is a service of any", () => {
  const fixity: Fixity<{ readonly user: string }> = createFixity<{ readonly user: string }>({
    store: memoryStore(),
    onStored: (_receipt, { context }) => void context?.user.length,
  });
  const any: Fixity = fixity;
  assert.equal(any, fixity);
});
