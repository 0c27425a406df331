/**
 * Every version reads the upload records of the version before. The fixture was written by an earlier version; each of its
 * uploads is looked at, continued and completed by this one.
 */
import assert from "node:assert/strict";
import { cp, readFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import { type BlobStore, FixityError, UploadId } from "../../src/index.ts";
import { patternBytes } from "../fixtures/uploads-1/bytes.ts";
import { Service, sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { ScriptedServer } from "../s3/scripted-server.ts";
import { ask, field } from "./client.ts";

const FIXTURE = new URL("../fixtures/uploads-1/", import.meta.url);
const TUS = { "Tus-Resumable": "1.0.0" };

/** One upload of the fixture. */
interface Earlier {
  readonly what: string;
  readonly size: number;
  readonly offset: number;
  readonly failed?: string;
}

type Range = { readonly start: number; readonly end: number } | { readonly text: string };

/** What lay in the bucket; see the fixture's `make.ts`. */
interface EarlierBucket {
  readonly objects: readonly { readonly key: string; readonly type: string; readonly bytes: Range }[];
  readonly multipart: readonly {
    readonly uploadId: string;
    readonly key: string;
    readonly type: string;
    readonly parts: readonly { readonly number: number; readonly bytes: Range }[];
  }[];
}

async function readJson(name: string): Promise<unknown> {
  return JSON.parse(await readFile(new URL(name, FIXTURE), "utf8")) as unknown;
}

function bytesOf(range: Range): Buffer {
  return "text" in range ? Buffer.from(range.text) : patternBytes(range.start, range.end);
}

async function fillBucket({ bucket }: ScriptedServer): Promise<void> {
  const { objects, multipart } = (await readJson("bucket.json")) as EarlierBucket;
  for (const { key, type, bytes } of objects) bucket.put(key, bytesOf(bytes), type);
  for (const { uploadId, key, type, parts } of multipart) {
    bucket.uploads.set(uploadId, {
      key,
      type,
      initiated: new Date(),
      parts: new Map(parts.map(({ number, bytes }) => [number, bytesOf(bytes)])),
    });
  }
}

const uploads = (await readJson("uploads.json")) as Readonly<Record<"disk" | "bucket", Record<string, Earlier>>>;

/** A store as the earlier version left it. */
type Opened = { readonly store: BlobStore } & AsyncDisposable;

const PLACES: Readonly<Record<keyof typeof uploads, () => Promise<Opened>>> = {
  async disk() {
    const stack = new AsyncDisposableStack();
    const folder = stack.use(await StoreFolder.make());
    await cp(new URL("disk", FIXTURE), folder.path, { recursive: true });
    const store = stack.use(diskStore({ root: folder.path }));
    await store.check();
    return { store, [Symbol.asyncDispose]: () => stack.disposeAsync() };
  },
  async bucket() {
    const stack = new AsyncDisposableStack();
    const server = stack.use(await ScriptedServer.start());
    await fillBucket(server);
    const store = stack.use(server.store());
    await store.check();
    return { store, [Symbol.asyncDispose]: () => stack.disposeAsync() };
  },
};

/** How far an upload is, as a client of one protocol learns it. */
async function offsetBy(service: Service, at: string, fields: Record<string, string>): Promise<number> {
  const answer = await ask(service.port, "HEAD", at, { fields });
  assert.ok(answer.status < 300, String(answer.status));
  return Number(field(answer, "upload-offset"));
}

async function assertStored(service: Service, url: string, size: number): Promise<void> {
  const stored = await fetch(new URL(url, service.url));
  assert.equal(stored.status, 200);
  const bytes = Buffer.from(await stored.arrayBuffer());
  assert.ok(bytes.equals(patternBytes(0, size)), "the link gives the whole upload");
  assert.ok(url.includes(sha256(bytes)));
}

async function assertContinues(service: Service, id: string, earlier: Earlier): Promise<void> {
  const { offset, size } = earlier;
  const at = `/uploads/in-progress/${id}`;
  assert.equal(await offsetBy(service, at, TUS), offset);
  assert.equal(await offsetBy(service, at, {}), offset);
  if (offset < size) {
    const half = offset + Math.ceil((size - offset) / 2);
    const tus = await ask(service.port, "PATCH", at, {
      fields: { ...TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(offset) },
      body: patternBytes(offset, half),
    });
    assert.equal(tus.status, 204, tus.body.toString());
    assert.equal(field(tus, "upload-offset"), String(half));
    const ietf = await ask(service.port, "PATCH", at, {
      fields: {
        "Content-Type": "application/partial-upload",
        "Upload-Offset": String(half),
        "Upload-Complete": "?1",
      },
      body: patternBytes(half, size),
    });
    assert.ok(ietf.status === 200 || ietf.status === 201, ietf.body.toString());
    assert.equal(field(ietf, "upload-complete"), "?1");
  }
  const told = await ask(service.port, "GET", at, { fields: { Accept: "application/json" } });
  assert.ok(told.status < 300, told.body.toString());
  await assertStored(service, (JSON.parse(told.body.toString()) as { url: string }).url, size);
}

for (const [kind, open] of Object.entries(PLACES) as [keyof typeof uploads, () => Promise<Opened>][]) {
  describe(`uploads that an earlier version left (${kind})`, () => {
    for (const [id, earlier] of Object.entries(uploads[kind])) {
      test(earlier.what, async () => {
        await using place = await open();
        await using service = await Service.start({ store: place.store });
        if (earlier.failed === undefined) {
          await assertContinues(service, id, earlier);
          return;
        }
        const state = await service.fixity.uploads?.find(UploadId.parse(id));
        assert.ok(state?.outcome instanceof FixityError);
        assert.equal(state.outcome.code, earlier.failed);
      });
    }

    test("can be removed, and are listed", async () => {
      await using place = await open();
      await using service = await Service.start({ store: place.store });
      const listed = await Array.fromAsync(place.store.uploads?.list() ?? [], ({ id }) => id);
      assert.deepEqual(listed.map(({ hex }) => hex).toSorted(), Object.keys(uploads[kind]).toSorted());
      for (const { hex } of listed) {
        const answer = await ask(service.port, "DELETE", `/uploads/in-progress/${hex}`, { fields: TUS });
        assert.equal(answer.status, 204, answer.body.toString());
      }
      assert.deepEqual(await Array.fromAsync(place.store.uploads?.list() ?? []), []);
    });

    test("outlive a collection", async () => {
      await using place = await open();
      await using service = await Service.start({ store: place.store });
      await service.fixity.collect();
      for (const [id, { offset, failed }] of Object.entries(uploads[kind])) {
        const state = await service.fixity.uploads?.find(UploadId.parse(id));
        assert.equal(state?.offset, offset);
        assert.equal(state.outcome instanceof FixityError, failed !== undefined);
      }
    });
  });
}
