import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { TypeList } from "../access/type-list.ts";
import { memoryStore } from "../memory.ts";
import { Digest } from "./digest.ts";
import type { ErrorCode } from "./errors.ts";
import { createFixity, type Fixity } from "./fixity.ts";
import { NO_TERMS, type UploadTerms } from "./upload-terms.ts";
import type { Uploads } from "./uploads/uploads.ts";

const ALICE = { kind: "app", name: "alice" } as const;
const HELLO = Buffer.from("hello");
const IMAGES = TypeList.parse(["image/*"]);

function termsOf(limits: Partial<UploadTerms>): UploadTerms {
  return { ...NO_TERMS, owner: ALICE, ...limits };
}

function digestOf(text: string): Digest {
  return Digest.fromBytes(createHash("sha256").update(text).digest()) ?? assert.fail("no digest");
}

function uploadsOf({ uploads }: Fixity): Uploads {
  return uploads ?? assert.fail("no uploads are kept");
}

async function storedIn(fixity: Fixity): Promise<number> {
  return (await Array.fromAsync(fixity.list())).length;
}

/** A source that fails the test if it is read. */
function* unread(): Generator<Uint8Array> {
  yield assert.fail("the content was read");
}

interface Refusal {
  readonly what: string;
  readonly limits: Partial<UploadTerms>;
  readonly code: ErrorCode;
}

/** Limits that content which announces its name, length and digest does not satisfy. */
const REFUSALS: readonly Refusal[] = [
  { what: "larger than the terms allow", limits: { maxSize: 4 }, code: "size-limit-exceeded" },
  { what: "of another type", limits: { types: IMAGES }, code: "type-not-allowed" },
  { what: "with another digest", limits: { digest: digestOf("other") }, code: "digest-mismatch" },
];

for (const { what, limits, code } of REFUSALS) {
  const terms = termsOf(limits);
  const announced = { filename: "a.txt", length: 5, digest: digestOf("hello"), terms };

  test(`an announced file ${what} is refused before a byte is read`, async () => {
    const fixity = createFixity({ store: memoryStore() });
    await assert.rejects(fixity.put(unread(), announced), { code });
    await assert.rejects(uploadsOf(fixity).create(announced), { code });
    assert.equal(await storedIn(fixity), 0);
  });

  test(`stored content ${what} is not acknowledged`, async () => {
    const fixity = createFixity({ store: memoryStore() });
    await fixity.put(HELLO);
    await assert.rejects(fixity.lookUp(digestOf("hello"), announced), { code });
    await assert.rejects(uploadsOf(fixity).create(announced), { code });
  });

  test(`an append to an upload ${what} is refused`, async () => {
    const fixity = createFixity({ store: memoryStore() });
    const uploads = uploadsOf(fixity);
    const { id } = await uploads.create({ ...announced, terms: NO_TERMS });
    await assert.rejects(uploads.append(id, { offset: 0, source: unread(), completes: true, terms }), { code });
    assert.equal((await uploads.find(id)).offset, 0);
  });
}

test("content of unknown length that is larger than the terms allow is not stored", async () => {
  const fixity = createFixity({ store: memoryStore() });
  const terms = termsOf({ maxSize: 4 });
  await assert.rejects(fixity.put(HELLO, { terms }), { code: "size-limit-exceeded", facts: { limit: 4 } });
  const { id } = await uploadsOf(fixity).create({ terms });
  const append = uploadsOf(fixity).append(id, { offset: 0, source: [HELLO], completes: true, terms });
  await assert.rejects(append, { code: "size-limit-exceeded", facts: { limit: 4 } });
  assert.equal(await storedIn(fixity), 0);
});

test("the terms of a creation hold for the bytes that come with it", async () => {
  const fixity = createFixity({ store: memoryStore() });
  const terms = termsOf({ maxSize: 4 });
  const first = { offset: 0, source: [HELLO], completes: true };
  const code = "size-limit-exceeded";
  await assert.rejects(
    uploadsOf(fixity).createAndAppend({ terms }, first, () => {}),
    { code },
  );
});

test("the terms cannot raise the limit of the service", async () => {
  const fixity = createFixity({ store: memoryStore(), maxSize: 4 });
  const terms = termsOf({ maxSize: 100 });
  await assert.rejects(fixity.put(HELLO, { terms }), { code: "size-limit-exceeded", facts: { limit: 4 } });
  await assert.rejects(uploadsOf(fixity).create({ length: 5, terms }), { code: "size-limit-exceeded" });
});

test("content that is announced without a digest must have the one of the terms", async () => {
  const fixity = createFixity({ store: memoryStore() });
  const terms = termsOf({ digest: digestOf("other") });
  await assert.rejects(fixity.put(HELLO, { terms }), { code: "digest-mismatch" });
  const { id } = await uploadsOf(fixity).create({});
  const { outcome } = await uploadsOf(fixity).append(id, { offset: 0, source: [HELLO], completes: true, terms });
  assert.ok(outcome instanceof Error && outcome.code === "digest-mismatch");
  assert.equal(await storedIn(fixity), 0);
  assert.equal((await fixity.put(HELLO, { terms: termsOf({ digest: digestOf("hello") }) })).size, 5);
});

test("the digest of the terms alone is no claim of stored content", async () => {
  const fixity = createFixity({ store: memoryStore() });
  await fixity.put(HELLO);
  const { outcome } = await uploadsOf(fixity).create({ length: 5, terms: termsOf({ digest: digestOf("hello") }) });
  assert.equal(outcome, null);
});

test("content whose last byte arrives after the terms have expired is not stored", async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: 1_000 });
  const fixity = createFixity({ store: memoryStore() });
  const uploads = uploadsOf(fixity);
  const terms = termsOf({ expires: 2_000 });
  function* late(): Generator<Uint8Array> {
    yield HELLO;
    t.mock.timers.setTime(2_000);
  }
  await assert.rejects(fixity.put(late(), { terms }), { code: "access-expired" });
  t.mock.timers.setTime(1_999);
  const { id } = await uploads.create({ terms });
  await assert.rejects(uploads.append(id, { offset: 0, source: late(), completes: true, terms }), {
    code: "access-expired",
  });
  assert.equal(await storedIn(fixity), 0);
  // not sealed: a new permission completes it
  const state = await uploads.find(id);
  assert.deepEqual([state.offset, state.outcome], [5, null]);
  const done = await uploads.append(id, { offset: 5, source: [], completes: true, terms: termsOf({ expires: 3_000 }) });
  assert.ok(done.outcome !== null && "digest" in done.outcome);
});

test("an owner has at most so many unfinished uploads, others and anonymous ones are not counted", async () => {
  const fixity = createFixity({ store: memoryStore() });
  const uploads = uploadsOf(fixity);
  const terms = termsOf({ maxOpen: 2 });
  const { id } = await uploads.create({ terms });
  await uploads.create({ terms });
  await assert.rejects(uploads.create({ terms }), { code: "principal-limit-exceeded", facts: { limit: 2 } });
  for (const owner of [
    { kind: "app", name: "bob" },
    { kind: "token", name: "alice" },
  ] as const) {
    await uploads.create({ terms: { ...terms, owner } });
  }
  for (let count = 0; count < 5; count += 1) await uploads.create({ terms: { ...terms, owner: NO_TERMS.owner } });
  await uploads.append(id, { offset: 0, source: [HELLO], completes: true, terms });
  await uploads.create({ terms });
  await assert.rejects(uploads.create({ terms }), { code: "principal-limit-exceeded" });
});

test("an owner's uploads that ended on another instance are not counted", async () => {
  const store = memoryStore();
  const here = uploadsOf(createFixity({ store }));
  const there = uploadsOf(createFixity({ store }));
  const terms = termsOf({ maxOpen: 1 });
  const { id } = await here.create({ terms });
  await there.cancel(id);
  await here.create({ terms });
  await assert.rejects(here.create({ terms }), { code: "principal-limit-exceeded" });
});

test("an owner's expired uploads are not counted", async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: 1_000 });
  const uploads = uploadsOf(createFixity({ store: memoryStore(), uploads: { expiry: 1_000 } }));
  const terms = termsOf({ maxOpen: 1 });
  await uploads.create({ terms });
  t.mock.timers.tick(1_001);
  await uploads.create({ terms });
});

test("uploads that are created at the same time do not exceed their owner's limit together", async () => {
  const uploads = uploadsOf(createFixity({ store: memoryStore() }));
  const terms = termsOf({ maxOpen: 2 });
  const created = await Promise.allSettled([1, 2, 3, 4].map(() => uploads.create({ terms })));
  assert.equal(created.filter(({ status }) => status === "fulfilled").length, 2);
});
