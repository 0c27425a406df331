/** An object store that is unreachable for longer than a few attempts take. */
import assert from "node:assert/strict";
import { describe, mock, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { FixityError } from "../../src/core/errors.ts";
import type { BlobStore } from "../../src/core/store.ts";
import { UploadId } from "../../src/core/upload-id.ts";
import { content, digestOf, readAll, writeAll } from "../../src/stores/contract/tools.ts";
import { append, bring, take, uploadsOf } from "../../src/stores/contract/upload-tools.ts";
import { failure, type ScriptedAnswer } from "./scripted-bucket.ts";
import { ScriptedServer, type Step } from "./scripted-server.ts";

const MIB = 1024 * 1024;
/** More consecutive failures than a few attempts survive. */
const MANY = 7;
const FOREVER = 1_000_000;

// A retry delay is a random share of a limit that grows to seconds. Here the share is small.
mock.method(Math, "random", () => 0.02);

async function over(work: (server: ScriptedServer, store: BlobStore) => Promise<void>): Promise<void> {
  await using server = await ScriptedServer.start();
  await using store = server.store({ attempts: 1_000 });
  await work(server, store);
}

async function assertReadable(store: BlobStore, bytes: Uint8Array): Promise<void> {
  await using reader = await store.open(digestOf(bytes));
  assert(reader !== null && (await readAll(reader)).equals(bytes));
}

const isUnavailable = (error: unknown): boolean => error instanceof FixityError && error.code === "store-unavailable";

/** The same failure `count` times. */
const times = (count: number, step: Step): Step[] => Array.from({ length: count }, () => step);

void describe("an outage during an upload", () => {
  test("a small file that is committed during it is stored afterwards", () =>
    over(async (server, store) => {
      server.breakDown(MANY);
      const bytes = content(1000);
      await using staged = await store.stage();
      await writeAll(staged, bytes);
      await staged.commit(digestOf(bytes));
      assert.equal(server.refused, MANY);
      await assertReadable(store, bytes);
    }));

  for (const isDeclared of [true, false]) {
    test(`a large file ${isDeclared ? "with" : "without"} a digest continues afterwards, part by part`, () =>
      over(async (server, store) => {
        const bytes = content(16 * MIB);
        await using staged = await store.stage(isDeclared ? { digest: digestOf(bytes), length: bytes.length } : {});
        await writeAll(staged, bytes.subarray(0, 8 * MIB));
        server.breakDown(2 * MANY);
        await writeAll(staged, bytes.subarray(8 * MIB));
        await staged.commit(digestOf(bytes));
        assert.equal(server.refused, 2 * MANY);
        await assertReadable(store, bytes);
        assert.equal(server.bucket.uploads.size, 0);
      }));
  }

  test("a resumable upload is created, taken over, saved and committed during it", () =>
    over(async (server, store) => {
      const bytes = content(7 * MIB);
      const id = UploadId.random();
      server.breakDown(MANY);
      await uploadsOf(store).create(id, "begun", { length: bytes.length });
      server.breakDown(MANY);
      await append(uploadsOf(store), id, { bytes: bytes.subarray(0, MIB) });
      await using held = await take(uploadsOf(store), id);
      server.breakDown(MANY);
      await bring(held, bytes.subarray(MIB));
      await held.save("all there");
      server.breakDown(MANY);
      await held.commit(digestOf(bytes));
      await assertReadable(store, bytes);
    }));

  const answers: readonly ScriptedAnswer[] = [
    ...[500, 502, 503, 504].map((status) => ({ status })),
    failure(503, "SlowDown"),
    failure(500, "InternalError"),
  ];
  for (const answer of answers) {
    const name = `${answer.status} ${answer.body === undefined ? "of a proxy" : "of S3"}`;
    test(`uploads survive a series of failures (${name})`, () =>
      over(async (server, store) => {
        for (const operation of ["PutObject", "UploadPart", "CreateMultipartUpload"]) {
          server.once(operation, ...times(MANY, answer));
        }
        for (const size of [1000, 6 * MIB]) {
          const bytes = content(size);
          await using staged = await store.stage();
          await writeAll(staged, bytes);
          await staged.commit(digestOf(bytes));
          await assertReadable(store, bytes);
        }
      }));
  }

  test("a refusal is reported at once, however much time remains", () =>
    over(async (server, store) => {
      server.always("PutObject", failure(403, "AccessDenied"));
      await using staged = await store.stage();
      await writeAll(staged, content(10));
      await assert.rejects(staged.commit(digestOf(content(10))), { code: "store-misconfigured" });
      assert.equal(server.operations.length, 1);
    }));
});

void describe("waiting for an unreachable object store", () => {
  for (const size of [1000, 8 * MIB]) {
    test(`ends at once when the sender of ${size} bytes disconnects, and releases the memory`, () =>
      over(async (server, store) => {
        const leaving = new AbortController();
        const reason = new Error("the client is gone");
        server.breakDown(FOREVER);
        const staged = await store.stage({ signal: leaving.signal });
        await writeAll(staged, content(size));
        const committing = staged.commit(digestOf(content(size)));
        const outcome = committing.then(
          () => "committed",
          (error: unknown) => error,
        );
        while (server.refused < 3) await sleep(5);
        leaving.abort(reason);
        assert.equal(await outcome, reason);
        const tried = server.refused;
        server.breakDown(0);
        await staged.abort();
        // A running attempt may still have created an upload, which was then aborted.
        const operations = server.operations.filter((operation) => operation !== "HeadObject");
        if (operations.length > 0) assert.deepEqual(operations, ["CreateMultipartUpload", "AbortMultipartUpload"]);
        assert(tried >= 3);
      }));
  }

  test("ends when the store is closed, with the last failure", async () => {
    await using server = await ScriptedServer.start();
    const store = server.store({ attempts: 1_000 });
    server.breakDown(FOREVER);
    const staged = await store.stage();
    await writeAll(staged, content(10));
    const outcome = staged.commit(digestOf(content(10))).catch((error: unknown) => error);
    while (server.refused < 3) await sleep(5);
    await store[Symbol.asyncDispose]();
    assert(isUnavailable(await outcome), String(await outcome));
  });

  test("ends with the time, and the error allows a retry", async () => {
    await using server = await ScriptedServer.start();
    await using store = server.store({ attempts: 1_000, timeouts: { retries: 500 } });
    server.breakDown(FOREVER);
    const staged = await store.stage();
    await writeAll(staged, content(10));
    await assert.rejects(staged.commit(digestOf(content(10))), isUnavailable);
  });

  test("waiting parts keep their memory: another upload waits for it, and both are stored in the end", async () => {
    await using server = await ScriptedServer.start();
    await using store = server.store(
      { attempts: 1_000 },
      { memory: { budget: 20 * MIB, queue: 5, minRate: 1_000, window: 50 } },
    );
    server.breakDown(4 * MANY);
    const upload = async (n: number): Promise<void> => {
      const bytes = content(12 * MIB, n);
      await using staged = await store.stage();
      await writeAll(staged, bytes);
      await staged.commit(digestOf(bytes));
    };
    await Promise.all([upload(1), upload(2), upload(3)]);
    assert.equal(server.refused, 4 * MANY);
    for (const n of [1, 2, 3]) await assertReadable(store, content(12 * MIB, n));
  });
});

void describe("lookups in an unreachable object store", () => {
  test("a check fails within seconds and states that nothing listens, however long uploads would wait", async () => {
    const { endpoint } = await (async () => {
      await using server = await ScriptedServer.start();
      return { endpoint: server.endpoint };
    })();
    await using server = await ScriptedServer.start();
    await using store = server.store({ endpoint, attempts: 1_000, timeouts: { retries: 3_600_000 } });
    await assert.rejects(store.check(), /Nothing listens at 127\.0\.0\.1:\d+\./);
  });

  test("a read fails after ten seconds, so that its reader learns of the outage", async () => {
    await using server = await ScriptedServer.start();
    await using store = server.store({ attempts: 1_000, timeouts: { retries: 3_600_000 } });
    server.always("GetObject", { status: 503, headers: { "retry-after": "11" } });
    server.always("HeadObject", { status: 503, headers: { "retry-after": "11" } });
    // A delay of eleven seconds is longer than a reader waits.
    await assert.rejects(store.open(digestOf(content(1))), isUnavailable);
    await assert.rejects(store.stat(digestOf(content(1))), isUnavailable);
    assert.equal(server.operations.length, 2);
  });
});
