import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { BlobStore } from "../../src/core/store.ts";
import { content, digestOf, keep, readAll, writeAll } from "../../src/stores/contract/tools.ts";
import { headObject } from "../../src/stores/s3/api/objects.ts";
import { FaultProxy } from "./fault-proxy.ts";
import type { Gateway } from "./gateway.ts";
import { S3Place } from "./place.ts";

const MIB = 1024 * 1024;
/** Two parts. */
const LARGE = 5 * MIB + 1000;

/** The bytes, or `null` where the blob cannot be opened. */
async function read(store: BlobStore, bytes: Uint8Array): Promise<Buffer | null> {
  await using reader = await store.open(digestOf(bytes));
  return reader === null ? null : await readAll(reader);
}

/** What only shows when several things happen at once, or long afterwards. */
export function racesSuite(gateway: Gateway): void {
  void describe("races", () => {
    void test("no upload that is given up during its completion loses bytes to the server's garbage collection", async (context) => {
      if (gateway.collectGarbage === null) return context.skip("the server's collection cannot be started from here");
      await using proxy = await FaultProxy.start(gateway.endpoint);
      await using place = new S3Place(gateway);
      await using store = place.store({
        endpoint: proxy.endpoint,
        attempts: 2,
        timeouts: { answer: 500, completion: 500, retries: 1_000 },
      });
      const blobs = Array.from({ length: 24 }, (_, n) => content(LARGE, n));
      // Every response to a completion is lost, and most clients disconnect at some moment around it.
      proxy.strike({ operation: "CompleteMultipartUpload", fault: "lost-answer", times: 1_000 });
      const acknowledged = new Set<number>();
      const work = async (bytes: Uint8Array, n: number) => {
        const client = new AbortController();
        const hints = n % 2 === 0 ? { digest: digestOf(bytes), length: LARGE } : {};
        await using staged = await store.stage({ ...hints, signal: client.signal });
        await writeAll(staged, bytes);
        const committing = staged.commit(digestOf(bytes)).then(
          () => acknowledged.add(n),
          () => null,
        );
        // The last clients stay, however busy the machine is: some uploads have to be acknowledged.
        await (n < blobs.length - 4 ? sleep(n * 40) : committing);
        client.abort(new Error("the client is gone"));
        await staged.abort();
        await committing;
      };
      for (let n = 0; n < blobs.length; n += 4) {
        await Promise.all(blobs.slice(n, n + 4).map((bytes, index) => work(bytes, n + index)));
      }
      assert(proxy.hasStruck && acknowledged.size > 0);
      await proxy.reset();
      await using witness = place.store({}, { abandonedAfter: -Infinity });
      await witness.collect();
      await gateway.collectGarbage();
      for (const [n, bytes] of blobs.entries()) {
        const found = await read(witness, bytes);
        if (found !== null) assert(found.equals(bytes), `blob ${n} is whole`);
        else assert(!acknowledged.has(n), `blob ${n} was acknowledged`);
      }
    });

    void test("sixteen uploads of one large content over two stores, announced and not, make one blob", async (context) => {
      await using place = new S3Place(gateway);
      await using one = place.store();
      await using other = place.store();
      const bytes = content(LARGE, 99);
      const work = async (n: number) => {
        const hints = n % 4 < 2 ? { digest: digestOf(bytes), length: LARGE } : {};
        await using staged = await (n % 2 === 0 ? one : other).stage(hints);
        await writeAll(staged, bytes);
        return staged.commit(digestOf(bytes));
      };
      const committed = await Promise.all(Array.from({ length: 16 }, (_, n) => work(n)));
      assert(committed.some(({ existed }) => !existed));
      if (gateway.collectGarbage === null) context.diagnostic("the server's garbage collection was not run");
      await gateway.collectGarbage?.();
      assert((await read(one, bytes))?.equals(bytes));
      assert.equal((await place.objects()).length, 1);
      assert.equal(await place.leftovers(), 0);
    });

    void test("copies keep their bytes when what they were made of is removed and collected", async (context) => {
      if (gateway.collectGarbage === null) return context.skip("the server's collection cannot be started from here");
      await using place = new S3Place(gateway);
      await using store = place.store();
      const bytes = content(12 * MIB, 5);
      await keep(store, bytes);
      await gateway.collectGarbage();
      assert((await read(store, bytes))?.equals(bytes));
    });

    void test("an upload whose object may live on its parts is removed, and the object lives on", async (context) => {
      if (gateway.collectGarbage === null) context.diagnostic("the server's garbage collection was not run");
      await using place = new S3Place(gateway);
      await using store = place.store({}, { abandonedAfter: -Infinity });
      const bytes = content(LARGE, 3);
      const key = place.layout.blob(digestOf(bytes));
      // The same parts twice: one upload is completed and the other is not. From outside they cannot be told from one
      // upload whose completion was cut off in the middle.
      await place.beginUpload(key, [bytes.subarray(0, 5 * MIB), bytes.subarray(5 * MIB)]);
      await using staged = await store.stage({ digest: digestOf(bytes), mediaType: "image/png" });
      await writeAll(staged, bytes);
      await staged.commit(digestOf(bytes));
      const before = await headObject(place.client, key);
      assert.match(before?.etag ?? "", /-2"$/);
      assert.deepEqual(await store.collect(), { staged: 1, bytes: LARGE });
      assert.equal(await place.leftovers(), 0);
      await gateway.collectGarbage?.();
      assert((await read(store, bytes))?.equals(bytes));
      const after = await headObject(place.client, key);
      assert.match(after?.etag ?? "", /-1"$/);
      assert.equal(after?.contentType, "image/png");
    });

    void test("a collection leaves what is young", async () => {
      await using place = new S3Place(gateway);
      await using store = place.store();
      await place.abandon();
      await place.put(place.layout.newStaging(), content(10));
      assert.deepEqual(await store.collect(), { staged: 0, bytes: 0 });
      assert.equal(await place.leftovers(), 2);
      assert.deepEqual(await place.store({}, { abandonedAfter: -Infinity }).collect(), { staged: 2, bytes: 1010 });
    });

    void test("a collection leaves objects and uploads that are not the store's own", async () => {
      await using place = new S3Place(gateway);
      await using store = place.store({}, { abandonedAfter: -Infinity });
      const strange = [`${place.layout.staging}notes.txt`, `${place.layout.blobs}README`];
      for (const key of strange) {
        await place.put(key, content(10));
        await place.abandon(key);
      }
      assert.deepEqual(await store.collect(), { staged: 0, bytes: 0 });
      assert.equal((await place.objects()).length, 2);
      assert.equal((await place.uploads()).length, 2);
      for await (const stat of store.list()) assert.fail(`listed ${stat.digest.hex}`);
    });
  });
}
