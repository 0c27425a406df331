/** A store under overload: of the server behind it, or of its own memory. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { FixityError } from "../../src/core/errors.ts";
import { assertKept, content, digestOf, readAll, writeAll } from "../../src/stores/contract/tools.ts";
import { append, assertEnded, begin, bring, take, uploadsOf } from "../../src/stores/contract/upload-tools.ts";
import { ADMISSION_BYTES } from "../../src/stores/s3/buffers/buffer-pool.ts";
import { failure } from "./scripted-bucket.ts";
import { ScriptedServer } from "./scripted-server.ts";

const MIB = 1024 * 1024;
/** More bytes than an upload is admitted with, fewer than a part. */
const MEDIUM = 200_000;

const failsWith = (code: string) => (error: unknown) => error instanceof FixityError && error.code === code;

void describe("a Retry-After of the server", () => {
  const asking = (retryAfter: string) => {
    const slowDown = failure(503, "SlowDown");
    return { ...slowDown, headers: { ...slowDown.headers, "retry-after": retryAfter } };
  };

  test("is waited for, in seconds", async () => {
    await using server = await ScriptedServer.start();
    await using store = server.store();
    server.once("HeadObject", asking("1"));
    assert.equal(await store.stat(digestOf(content(1))), null);
    const [first, second] = server.seen;
    assert(first !== undefined && second !== undefined);
    // Timers may be a little early.
    assert(second.at - first.at > 950, `${second.at - first.at} ms`);
  });

  test("is waited for, as a date", async () => {
    await using server = await ScriptedServer.start();
    await using store = server.store();
    const date = new Date(Date.now() + 2_000).toUTCString();
    server.once("HeadObject", asking(date));
    assert.equal(await store.stat(digestOf(content(1))), null);
    const again = performance.timeOrigin + (server.seen[1]?.at ?? 0);
    assert(again > Date.parse(date) - 50, `${Date.parse(date) - again} ms early`);
  });

  test("is not waited for beyond the time of the retries", async () => {
    await using server = await ScriptedServer.start();
    await using store = server.store({ timeouts: { retries: 5_000 } });
    server.always("GetObject", asking("3600"));
    await assert.rejects(store.open(digestOf(content(1))), failsWith("store-busy"));
    assert.equal(server.seen.length, 1);
  });
});

void describe("memory", () => {
  /** Memory for `count` small uploads. */
  const roomFor = (count: number, queue: number) => ({
    memory: { budget: count * ADMISSION_BYTES * 4, queue, minRate: 0, window: 60_000 },
  });

  test("the upload that exceeds the queue is refused with store-busy, until there is room", async () => {
    await using server = await ScriptedServer.start();
    await using store = server.store({}, roomFor(2, 1));
    const first = await store.stage();
    await using second = await store.stage();
    const waiting = store.stage();
    await assert.rejects(store.stage(), failsWith("store-busy"));
    await first.abort();
    await using third = await waiting;
    for (const staged of [second, third]) {
      await writeAll(staged, content(1000));
      await staged.commit(digestOf(content(1000)));
    }
    await using fourth = await store.stage({ length: 10 });
    await fourth.write(content(10));
    await fourth.commit(digestOf(content(10)));
    assert.equal(server.bucket.objects.size, 2);
  });

  test("an upload that is aborted while it waits holds no memory and sends no request", async () => {
    await using server = await ScriptedServer.start();
    await using store = server.store({}, roomFor(1, 5));
    const leaving = new AbortController();
    const reason = new Error("the client is gone");
    const first = await store.stage();
    const left = store.stage({ signal: leaving.signal });
    leaving.abort(reason);
    await assert.rejects(left, (error) => error === reason);
    await first.abort();
    await using next = await store.stage();
    await next.commit(digestOf(content(0)));
    assert.deepEqual(server.operations, ["PutObject"]);
  });

  for (const isSaved of [false, true]) {
    const what = isSaved ? "saved" : "unsaved";
    test(`an upload that was committed with ${what} bytes holds no memory while it waits to be concluded`, async () => {
      await using server = await ScriptedServer.start();
      await using store = server.store({}, roomFor(1, 1));
      const uploads = uploadsOf(store);
      const id = await begin(uploads);
      const bytes = content(1000);
      if (isSaved) await append(uploads, id, { bytes });
      await using held = await take(uploads, id);
      if (!isSaved) await bring(held, bytes);
      await (isSaved ? held.commit(digestOf(bytes)) : held.commitUnsaved?.(digestOf(bytes), "all there"));
      await using other = await store.stage();
      await writeAll(other, content(1000, 1));
      await other.commit(digestOf(content(1000, 1)));
      await held.renew("stored");
      assert.deepEqual(await held.commit(digestOf(bytes)), { existed: true });
      await held.conclude("done");
      await assertEnded(uploads, id, "done");
      await assertKept(store, bytes);
    });
  }

  test("an idle upload is dropped while another waits for its memory, and the others complete", async () => {
    await using server = await ScriptedServer.start();
    // Memory for the parts of three uploads.
    await using store = server.store({}, { memory: { budget: 20 * MIB, queue: 5, minRate: 1_000, window: 30 } });
    const standing = await Promise.all(Array.from({ length: 3 }, () => store.stage()));
    for (const staged of standing) await staged.write(content(MEDIUM));
    await using fourth = await store.stage();
    await fourth.write(content(MEDIUM, 4));
    await fourth.commit(digestOf(content(MEDIUM, 4)));
    const outcomes = await Promise.all(
      standing.map(async (staged, n) => {
        try {
          await staged.write(content(10, n));
          return "goes on";
        } catch (error) {
          assert(failsWith("upload-stalled")(error), String(error));
          return "ended";
        } finally {
          await staged.abort();
        }
      }),
    );
    assert(outcomes.includes("ended"), outcomes.join());
    assert.deepEqual([...server.bucket.objects.keys()], [`blobs/${digestOf(content(MEDIUM, 4)).hex}`]);
    assert.equal(server.bucket.uploads.size, 0);
  });

  test("an idle upload is not dropped while no other waits", async () => {
    await using server = await ScriptedServer.start();
    await using store = server.store({}, { memory: { budget: 20 * MIB, queue: 5, minRate: 1_000, window: 10 } });
    await using staged = await store.stage();
    await staged.write(content(MEDIUM));
    await sleep(100);
    await staged.commit(digestOf(content(MEDIUM)));
    await using reader = await store.open(digestOf(content(MEDIUM)));
    assert(reader !== null && (await readAll(reader)).equals(content(MEDIUM)));
  });

  test("parts that S3 does not accept delay their own uploads, but no small ones", async () => {
    await using server = await ScriptedServer.start();
    await using store = server.store({}, { memory: { budget: 20 * MIB, queue: 5, minRate: 1_000, window: 30 } });
    const held = Promise.withResolvers<void>();
    server.hold("UploadPart", held.promise);
    const large = Array.from({ length: 3 }, async (_, n) => {
      const bytes = content(11 * MIB, n);
      await using staged = await store.stage();
      await writeAll(staged, bytes);
      await staged.commit(digestOf(bytes));
    });
    while (!server.operations.includes("UploadPart")) await sleep(10);
    await using small = await store.stage();
    await writeAll(small, content(50_000));
    await small.commit(digestOf(content(50_000)));
    assert.equal(server.bucket.objects.size, 1);
    held.resolve();
    await Promise.all(large);
    assert.equal(server.bucket.objects.size, 4);
  });
});
