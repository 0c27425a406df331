/** `fixity import` of objects that the server copies: whatever happens to them meanwhile, and to the process. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { describe, test } from "node:test";
import { CreateBucketCommand, DeleteBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { Digest } from "../../src/index.ts";
import { encodedKey, ForeignObjects } from "../../src/stores/s3/foreign-objects.ts";
import { headObject } from "../../src/stores/s3/api/objects.ts";
import type { S3Store } from "../../src/stores/s3/s3-store.ts";
import { Command, jsonLines } from "../helpers/command.ts";
import { isFullRun } from "../helpers/full-run.ts";
import { sha256 } from "../helpers/service.ts";
import { FaultProxy, type SeenRequest } from "./fault-proxy.ts";
import { bucketSettings, type Gateway } from "./gateway.ts";
import { S3Place } from "./place.ts";

const MIB = 1024 * 1024;
/** Large enough to be copied by the server. */
const SIZE = 9 * MIB;

/** Objects that another program has stored, and an empty store at the same server, behind a proxy. */
class Import implements AsyncDisposable {
  readonly store: S3Place;
  readonly source: S3Place;
  readonly proxy: FaultProxy;
  readonly #gateway: Gateway;
  readonly #names = new Set<string>();

  private constructor(gateway: Gateway, proxy: FaultProxy) {
    this.#gateway = gateway;
    this.store = new S3Place(gateway);
    this.source = new S3Place(gateway);
    this.proxy = proxy;
  }

  static async of(gateway: Gateway, objects: Readonly<Record<string, Uint8Array>>): Promise<Import> {
    const place = new Import(gateway, await FaultProxy.start(gateway.endpoint));
    for (const [name, bytes] of Object.entries(objects)) await place.put(name, bytes);
    return place;
  }

  /** Stores or replaces an object of the other program. */
  async put(name: string, bytes: Uint8Array): Promise<void> {
    await this.source.put(this.#keyOf(name), bytes);
    this.#names.add(name);
  }

  #keyOf(name: string): string {
    return encodedKey(`${this.source.prefix}/${name}`);
  }

  /** Begins the command, which does one object after another. */
  command(): Command {
    const { bucket } = this.#gateway;
    const env = {
      ...bucketSettings(this.#gateway),
      UPLOAD_BUCKET_ENDPOINT: this.proxy.endpoint,
      UPLOAD_BUCKET_PREFIX: this.store.prefix,
    };
    return new Command(["import", `s3://${bucket}/${this.source.prefix}`, "--json", "--concurrency", "1"], { env });
  }

  async run() {
    await using command = this.command();
    return await command.ended;
  }

  /** The requests that copy an object of the other program. */
  get copies(): readonly SeenRequest[] {
    return this.proxy.seen.filter((request) => this.isCopy(request));
  }

  isCopy({ headers }: SeenRequest): boolean {
    return String(headers["x-amz-copy-source"]).includes(`/${this.source.prefix}/`);
  }

  /** Fails unless exactly these blobs are stored, and nothing else is left once everything was collected. */
  async assertHolds(contents: readonly Uint8Array[]): Promise<void> {
    await using store = this.store.store({}, { abandonedAfter: -Infinity });
    await store.collect();
    assert.equal(await this.store.leftovers(), 0);
    const found: string[] = [];
    for await (const { digest } of store.list()) {
      const reader = await store.open(digest);
      assert(reader !== null);
      assert.equal(sha256(await buffer(reader)), digest.hex);
      found.push(digest.hex);
    }
    assert.deepEqual(found.toSorted(), contents.map((bytes) => sha256(bytes)).toSorted());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.proxy[Symbol.asyncDispose]();
    for (const name of this.#names) await this.source.remove(this.#keyOf(name));
    await this.store[Symbol.asyncDispose]();
    await this.source[Symbol.asyncDispose]();
  }
}

/** Calls `act` once, when the first wanted request arrives, or when it has been carried out. */
function once(
  place: Import,
  when: "arriving" | "done",
  isWanted: (request: SeenRequest) => boolean,
  act: () => Promise<void>,
) {
  let hasActed = false;
  const on = async (moment: typeof when, request: SeenRequest): Promise<void> => {
    if (hasActed || moment !== when || !isWanted(request)) return;
    hasActed = true;
    await act();
  };
  place.proxy.watcher = {
    arriving: async (request) => {
      await on("arriving", request);
      return "passes";
    },
    done: (request) => on("done", request),
  };
}

export function importsSuite(gateway: Gateway): void {
  describe("objects that the server copies", () => {
    test("large objects are copied by the server with the type of their link, and small ones are sent", async () => {
      const [large, named, small] = [randomBytes(SIZE), randomBytes(SIZE), randomBytes(1000)];
      await using place = await Import.of(gateway, {
        "old/photo 1+(ü)?&%41.JPG": large,
        [`${sha256(named)}.pdf`]: named,
        "small.txt": small,
      });
      const { code, out, err } = await place.run();
      assert.equal(code, 0, out + err);
      assert.equal(place.copies.length, 2);
      // No bytes of a large object were sent.
      const sent = place.proxy.seen.reduce((sum, { length }) => sum + length, 0);
      assert.ok(sent < 100_000, `${sent}`);
      const links = jsonLines(out).map(({ link }) => link);
      assert.ok(links.includes(`/uploads/${sha256(large)}.jpg`), out);
      const digest = Digest.fromHex(sha256(large)) ?? assert.fail();
      const head = await headObject(place.store.client, place.store.layout.blob(digest));
      assert.equal(head?.contentType, "image/jpeg");
      await place.assertHolds([large, named, small]);
      await place.proxy.reset();
      const again = await place.run();
      assert.equal(jsonLines(again.out).at(-1)?.["existed"], 3);
      await place.assertHolds([large, named, small]);
    });

    test("an object of another bucket is copied", async () => {
      const content = randomBytes(SIZE);
      await using place = await Import.of(gateway, {});
      const { endpoint, region, accessKey: accessKeyId, secretKey: secretAccessKey } = gateway;
      const credentials = { accessKeyId, secretAccessKey };
      const client = new S3Client({ endpoint, region, forcePathStyle: true, credentials });
      const bucket = `other-${randomBytes(6).toString("hex")}`;
      await client.send(new CreateBucketCommand({ Bucket: bucket }));
      const other = new S3Place({ ...gateway, bucket });
      try {
        await other.put("a.bin", content);
        await using store = place.store.store() as S3Store;
        const copies = store.copiesOf(new ForeignObjects({ ...other.options(), keyPrefix: "" })) ?? assert.fail();
        const signal = new AbortController().signal;
        await using staged = await copies.stage("a.bin", { contentType: "image/png", signal });
        assert(staged !== null);
        const digest = Digest.fromHex(sha256(await buffer(staged.bytes))) ?? assert.fail();
        assert.deepEqual(await staged.commit(digest), { existed: false });
        await place.assertHolds([content]);
      } finally {
        await other.remove("a.bin");
        await other[Symbol.asyncDispose]();
        await client.send(new DeleteBucketCommand({ Bucket: bucket }));
        client.destroy();
      }
    });

    test("an object that is copied in parts, and one of which nothing is used, leave nothing behind", async () => {
      const content = randomBytes(12 * MIB);
      await using place = await Import.of(gateway, { film: content });
      const copyLimits = { ...place.store.options().copyLimits, wholeUpTo: 0, wholeUntried: 0, partSize: 5 * MIB };
      await using store = place.store.store({}, { copyLimits }) as S3Store;
      await using objects = new ForeignObjects(place.source.options());
      const copies = store.copiesOf(objects) ?? assert.fail();
      const signal = new AbortController().signal;
      const key = `${place.source.prefix}/film`;
      {
        await using unused = await copies.stage(key, { contentType: "video/mp4", signal });
        assert.equal(unused?.size, content.length);
      }
      await place.assertHolds([]);
      await using staged = await copies.stage(key, { contentType: "video/mp4", signal });
      assert(staged !== null);
      const digest = Digest.fromHex(sha256(await buffer(staged.bytes))) ?? assert.fail();
      await staged.commit(digest);
      await place.assertHolds([content]);
    });

    for (const [what, when, isWanted, expected] of [
      ["before it is copied", "arriving", "copy", "changed"],
      ["as soon as it was copied", "done", "copy", "changed"],
      ["once its copy was read", "arriving", "publication", "imported"],
    ] as const) {
      test(`an object that is replaced ${what} is never stored under a wrong name`, async () => {
        const [before, after] = [randomBytes(SIZE), randomBytes(SIZE)];
        await using place = await Import.of(gateway, { "a.bin": before });
        const isPublication = ({ operation, key }: SeenRequest): boolean =>
          operation === "CopyObject" && key.includes("/blobs/");
        const wanted = isWanted === "copy" ? (request: SeenRequest) => place.isCopy(request) : isPublication;
        once(place, when, wanted, () => place.put("a.bin", after));
        const { out, err } = await place.run();
        assert.equal(jsonLines(out)[0]?.["status"], expected, out + err);
        await place.assertHolds(expected === "changed" ? [] : [before]);
        assert.equal((await place.run()).code, 0);
        await place.assertHolds(expected === "changed" ? [after] : [before, after]);
      });
    }

    test("objects that the server does not copy are read and sent, and only the first is tried", async () => {
      const contents = [randomBytes(SIZE), randomBytes(SIZE)];
      await using place = await Import.of(gateway, Object.fromEntries(contents.entries()));
      place.proxy.strike({ operation: "CopyObject", fault: "status-403" });
      const { code, out, err } = await place.run();
      assert.equal(code, 0, out + err);
      assert.equal(place.copies.length, 1);
      await place.assertHolds(contents);
    });

    test("an import that is killed at any of its requests leaves only what is collected, and is completed by the next", async () => {
      const content = randomBytes(SIZE);
      await using place = await Import.of(gateway, { "a.bin": content });
      await place.run();
      const total = place.proxy.seen.length;
      const all = Array.from({ length: total }, (_, index) => index);
      const copies = all.filter((index) => place.proxy.seen[index]?.operation === "CopyObject");
      assert.equal(copies.length, 2);
      for (const index of isFullRun ? all : copies) {
        for (const when of ["arriving", "done"] as const) {
          await using killed = await Import.of(gateway, { "a.bin": content });
          await using command = killed.command();
          once(
            killed,
            when,
            () => killed.proxy.seen.length > index,
            async () => {
              command.signal("SIGKILL");
              await command.ended;
            },
          );
          await command.ended;
          await using store = killed.store.store();
          for await (const { digest } of store.list()) assert.equal(digest.hex, sha256(content));
          killed.proxy.watcher = null;
          const { code, err } = await killed.run();
          assert.equal(code, 0, err);
          await killed.assertHolds([content]);
        }
      }
    });
  });
}
