import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createFixity } from "../../src/core/fixity.ts";
import type { StageOptions } from "../../src/core/staged-blob.ts";
import type { BlobStore } from "../../src/core/store.ts";
import { content, digestOf, readAll, writeAll } from "../../src/stores/contract/tools.ts";
import { FaultProxy } from "./fault-proxy.ts";
import type { Gateway } from "./gateway.ts";
import { type InnerOptions, S3Place } from "./place.ts";

const MIB = 1024 * 1024;
/** Of five MiB each. */
const PARTS = 4;
const LARGE = 18 * MIB;

type Counted = (run: () => Promise<unknown>) => Promise<Readonly<Record<string, number>>>;
type Work = (store: BlobStore, counted: Counted, place: S3Place) => Promise<void>;

async function upload(store: BlobStore, bytes: Uint8Array, options: StageOptions = {}): Promise<boolean> {
  await using staged = await store.stage(options);
  await writeAll(staged, bytes);
  return (await staged.commit(digestOf(bytes))).existed;
}

/** What each way costs in requests: they are what S3 is paid for, and what its users wait for. */
export function requestsSuite(gateway: Gateway): void {
  void describe("requests", () => {
    const counting = async (work: Work, inner: InnerOptions = {}) => {
      await using proxy = await FaultProxy.start(gateway.endpoint);
      await using place = new S3Place(gateway);
      await using store = place.store({ endpoint: proxy.endpoint }, inner);
      const counted = async (run: () => Promise<unknown>) => {
        await proxy.reset();
        await run();
        return proxy.counts;
      };
      await work(store, counted, place);
      assert.equal(await place.leftovers(), 0);
    };

    void test("a new file that fits a part takes one", async () =>
      counting(async (store, counted) => {
        for (const size of [0, 4096, 5 * MIB]) {
          assert.deepEqual(await counted(() => upload(store, content(size))), { PutObject: 1 });
        }
      }));

    void test("a small file that is there already takes two: the condition that fails is no proof", async () =>
      counting(async (store, counted) => {
        await upload(store, content(4096));
        const again = await counted(async () => assert.equal(await upload(store, content(4096)), true));
        assert.deepEqual(again, { PutObject: 1, HeadObject: 1 });
      }));

    void test("a file that is there already and whose digest was announced takes one once it is verified, and sends nothing", async () =>
      counting(async (store, counted) => {
        const fixity = createFixity({ store });
        const bytes = content(LARGE);
        await upload(store, bytes, { digest: digestOf(bytes) });
        const claim = async (): Promise<void> => assert(await fixity.claim(digestOf(bytes), { length: LARGE }));
        // The marks of damaged files are listed, and this file is read.
        assert.deepEqual(await counted(claim), { ListObjectsV2: 1, HeadObject: 1, GetObject: 1 });
        assert.deepEqual(await counted(claim), { HeadObject: 1 });
      }));

    void test("a large file whose digest was announced takes its parts and two", async () =>
      counting(async (store, counted) => {
        const bytes = content(LARGE);
        // As every upload that announces its digest begins.
        assert.equal(await store.confirm(digestOf(bytes)), null);
        const hints = { digest: digestOf(bytes), length: LARGE, isKnownAbsent: true };
        const run = () => upload(store, bytes, hints);
        assert.deepEqual(await counted(run), {
          CreateMultipartUpload: 1,
          UploadPart: PARTS,
          CompleteMultipartUpload: 1,
        });
      }));

    void test("a large file of unknown digest takes its parts, one copy and four", async () =>
      counting(async (store, counted) => {
        assert.deepEqual(await counted(() => upload(store, content(LARGE))), {
          CreateMultipartUpload: 1,
          UploadPart: PARTS,
          HeadObject: 1,
          CompleteMultipartUpload: 1,
          CopyObject: 1,
          DeleteObject: 1,
        });
      }));

    void test("a huge file of unknown digest is copied in parts, with six requests around them", async () =>
      counting(
        async (store, counted) => {
          assert.deepEqual(await counted(() => upload(store, content(LARGE))), {
            CreateMultipartUpload: 2,
            UploadPart: PARTS,
            HeadObject: 1,
            UploadPartCopy: 3,
            CompleteMultipartUpload: 2,
            DeleteObject: 1,
          });
          await using reader = await store.open(digestOf(content(LARGE)));
          assert(reader !== null && (await readAll(reader)).equals(content(LARGE)));
        },
        {
          copyLimits: {
            wholeUpTo: 10 * MIB,
            wholeUntried: 0,
            wholeAtMost: 0,
            partSize: 6 * MIB,
            maxParts: 100,
            concurrency: 2,
          },
        },
      ));

    void test("a large file that is there already is neither sent to its end nor copied", async () =>
      counting(async (store, counted) => {
        await upload(store, content(LARGE));
        const again = await counted(async () => assert.equal(await upload(store, content(LARGE)), true));
        const { UploadPart: sent = 0, ...rest } = again;
        assert(sent < PARTS);
        assert.deepEqual(rest, { CreateMultipartUpload: 1, HeadObject: 1, AbortMultipartUpload: 1 });
      }));

    void test("reading takes one, of a range too; removing takes two", async () =>
      counting(async (store, counted) => {
        const bytes = content(100_000);
        await upload(store, bytes);
        const read = await counted(async () => {
          await using reader = await store.open(digestOf(bytes));
          assert(reader !== null && (await readAll(reader)).equals(bytes));
        });
        assert.deepEqual(read, { GetObject: 1 });
        const removed = await counted(async () => store.remove(digestOf(bytes)));
        assert.deepEqual(removed, { HeadObject: 1, DeleteObject: 1 });
      }));

    void test("an upload that is given up after its first part is aborted at once", async () =>
      counting(async (store, counted) => {
        const given = await counted(async () => {
          await using staged = await store.stage();
          await writeAll(staged, content(6 * MIB));
        });
        // It may be early enough to keep the part from being sent at all.
        const { UploadPart: sent = 0, ...rest } = given;
        assert(sent <= 1);
        assert.deepEqual(rest, { CreateMultipartUpload: 1, AbortMultipartUpload: 1 });
      }));

    void test("objects have the media type of their link", async () =>
      counting(async (store, _counted, place) => {
        for (const size of [10, LARGE]) {
          for (const digest of [digestOf(content(size)), undefined]) {
            const bytes = content(size);
            await upload(store, bytes, { mediaType: "image/png", ...(digest !== undefined && { digest }) });
            const key = place.layout.blob(digestOf(bytes));
            const type = await place.client.call({ operation: "HeadObject", method: "HEAD", key }, (answer) =>
              answer.header("content-type"),
            );
            assert.equal(type, "image/png");
            await store.remove(digestOf(bytes));
          }
        }
      }));
  });
}
