import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { test } from "node:test";
import { memoryStore } from "../memory.ts";
import { type AppendEvent, cleanupEnded, type CleanupEvent, uploadEnded, type UploadEvent } from "./diagnostics.ts";
import { Digest } from "./digest.ts";
import { FixityError } from "./errors.ts";
import { createFixity, type Fixity } from "./fixity.ts";
import type { UploadId } from "./upload-id.ts";
import type { Uploads } from "./uploads/uploads.ts";

const HELLO = Buffer.from("hello");
const DIGEST = Digest.fromBytes(createHash("sha256").update(HELLO).digest()) ?? assert.fail("no digest");

function uploadsOf({ uploads }: Fixity): Uploads {
  return uploads ?? assert.fail("the store keeps no uploads");
}

/** The events of one channel while `work` runs, without their durations. */
async function eventsOf<Event extends { readonly durationMs: number }>(
  name: string,
  work: () => Promise<unknown>,
): Promise<Omit<Event, "durationMs">[]> {
  const events: Omit<Event, "durationMs">[] = [];
  const listener = (message: unknown): void => {
    const { durationMs, ...event } = message as Event;
    assert.ok(durationMs >= 0);
    events.push(event);
  };
  subscribe(name, listener);
  try {
    await work();
  } finally {
    unsubscribe(name, listener);
  }
  return events;
}

/** What became of each upload. */
async function uploadsIn(work: () => Promise<unknown>): Promise<Partial<UploadEvent>[]> {
  const events = await eventsOf<UploadEvent>("fixity:upload", work);
  return events.map(({ kind, outcome, code, size }) => ({ kind, outcome, code, size }));
}

test("the end of a plain upload is published, whatever its outcome", async () => {
  const fixity = createFixity({ store: memoryStore(), maxSize: 10 });
  const events = await uploadsIn(async () => {
    await fixity.put(HELLO);
    await fixity.put(HELLO);
    await fixity.claim(DIGEST, { length: 5 });
    await assert.rejects(fixity.put([HELLO, HELLO, HELLO]), { code: "size-limit-exceeded" });
  });
  assert.deepEqual(events, [
    { kind: "plain", outcome: "stored", code: null, size: 5 },
    { kind: "plain", outcome: "existed", code: null, size: 5 },
    { kind: "plain", outcome: "existed", code: null, size: 0 },
    { kind: "plain", outcome: "failed", code: "size-limit-exceeded", size: 10 },
  ]);
});

test("a claim of content that is not stored is no upload", async () => {
  const fixity = createFixity({ store: memoryStore() });
  assert.deepEqual(await uploadsIn(() => fixity.claim(DIGEST, { length: 5 })), []);
});

test("the end of a resumable upload is published once, with its last append", async () => {
  const uploads = uploadsOf(createFixity({ store: memoryStore() }));
  const events = await uploadsIn(async () => {
    const { id } = await uploads.create({});
    await uploads.append(id, { offset: 0, source: [HELLO.subarray(0, 2)], completes: false });
    await uploads.append(id, { offset: 2, source: [HELLO.subarray(2)], completes: true });
    await uploads.append(id, { offset: 5, source: [], completes: true });
    await uploads.find(id);
    await uploads.create({ digest: DIGEST, length: 5 });
    const { id: other } = await uploads.create({ length: 3 });
    await assert.rejects(uploads.append(other, { offset: 0, source: [HELLO], completes: true }));
    await uploads.find(other);
  });
  assert.deepEqual(events, [
    { kind: "resumable", outcome: "stored", code: null, size: 5 },
    { kind: "resumable", outcome: "existed", code: null, size: 5 },
    { kind: "resumable", outcome: "failed", code: "inconsistent-length", size: 0 },
  ]);
});

test("an append that fails without ending its upload is not published", async () => {
  const uploads = uploadsOf(createFixity({ store: memoryStore() }));
  const { id } = await uploads.create({});
  const events = await uploadsIn(() =>
    assert.rejects(uploads.append(id, { offset: 1, source: [HELLO], completes: true }), { code: "offset-mismatch" }),
  );
  assert.deepEqual(events, []);
});

test("an upload is published with the times in which it was received, hashed and committed", async () => {
  const fixity = createFixity({ store: memoryStore(), maxSize: 10 });
  const events = await eventsOf<UploadEvent>("fixity:upload", async () => {
    await fixity.put(HELLO);
    const { id } = await uploadsOf(fixity).create({});
    await uploadsOf(fixity).append(id, { offset: 0, source: [Buffer.from("other")], completes: true });
    await assert.rejects(fixity.put([HELLO, HELLO, HELLO]));
  });
  const times = events.map(({ receiveMs, hashMs, commitMs }) => [receiveMs, hashMs, commitMs]);
  for (const time of times.slice(0, 2).flat()) assert.ok(time !== null && time >= 0);
  for (const [receiveMs, hashMs] of times.slice(0, 2))
    assert.ok((hashMs ?? 0) > 0 && (hashMs ?? 0) <= (receiveMs ?? 0));
  assert.deepEqual(times[2], [null, null, null]);
  assert.deepEqual(new Set(events.map(({ route, protocol }) => `${route} ${protocol}`)), new Set(["none none"]));
});

test("appends are published with their offset, and one that fails with the bytes that it added", async () => {
  const uploads = uploadsOf(createFixity({ store: memoryStore() }));
  const { id } = await uploads.create({});
  const events = await eventsOf<AppendEvent>("fixity:append", async () => {
    await uploads.append(id, { offset: 0, source: [HELLO], completes: false });
    await assert.rejects(uploads.append(id, { offset: 5, source: cutOff(), completes: true }));
    await uploads.append(id, { offset: 10, source: [], completes: true });
    await uploads.append(id, { offset: 10, source: [], completes: true });
  });
  assert.deepEqual(
    events.map(({ outcome, offset, size }) => [outcome, offset, size]),
    [
      ["ok", 0, 5],
      ["failed", 5, 5],
      ["ok", 10, 0],
    ],
  );
});

async function* cutOff(): AsyncGenerator<Buffer> {
  yield HELLO;
  throw new FixityError("upload-aborted", "The client disconnected.");
}

test("an unfinished upload that is cancelled or expires is published once, a finished one not at all", async (context) => {
  const fixity = createFixity({ store: memoryStore(), uploads: { expiry: 60_000 } });
  const uploads = uploadsOf(fixity);
  const ids = await Promise.all(Array.from({ length: 4 }, async () => (await uploads.create({})).id));
  const [cancelled, expired, found, finished] = ids as [UploadId, UploadId, UploadId, UploadId];
  await uploads.append(expired, { offset: 0, source: [HELLO], completes: false });
  await uploads.append(finished, { offset: 0, source: [HELLO], completes: true });
  assert.equal(fixity.usage().openUploads, 3);
  const events = await uploadsIn(async () => {
    await uploads.cancel(cancelled);
    await uploads.cancel(finished);
    context.mock.timers.enable({ apis: ["Date"], now: Date.now() + 120_000 });
    await assert.rejects(uploads.append(found, { offset: 0, source: [HELLO], completes: false }));
    await fixity.collect();
  });
  assert.deepEqual(events, [
    { kind: "resumable", outcome: "cancelled", code: null, size: 0 },
    { kind: "resumable", outcome: "expired", code: null, size: 0 },
    { kind: "resumable", outcome: "expired", code: null, size: 5 },
  ]);
  assert.equal(fixity.usage().openUploads, 0);
});

test("the end of a collection is published, whatever its outcome", async (context) => {
  const store = memoryStore();
  const fixity = createFixity({ store, uploads: { expiry: 60_000 } });
  const { id } = await uploadsOf(fixity).create({});
  const append = uploadsOf(fixity).append(id, { offset: 0, source: [HELLO], completes: false });
  const { expires } = await append;
  // the store may have noted the last byte some milliseconds after the service
  context.mock.timers.enable({ apis: ["Date"], now: expires.getTime() + 1000 });
  const events = await eventsOf<CleanupEvent>("fixity:cleanup", async () => {
    await fixity.collect();
    store.collect = () => Promise.reject(new Error("a bad disk"));
    await assert.rejects(fixity.collect(), /a bad disk/);
  });
  assert.deepEqual(events, [
    { outcome: "ok", staged: 1, bytes: 5 },
    { outcome: "failed", staged: 0, bytes: 0 },
  ]);
});

test("channels without subscribers are not observed", () => {
  assert.deepEqual([uploadEnded.isObserved, cleanupEnded.isObserved], [false, false]);
});
