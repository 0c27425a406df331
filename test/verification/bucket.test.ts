/** Wrong bytes from a bucket: stored under a blob's key by another program, or changed on the way. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { BlobStore } from "../../src/core/store.ts";
import { Service, sha256 } from "../helpers/service.ts";
import { ScriptedServer } from "../s3/scripted-server.ts";

const BYTES = Buffer.from("the bytes that were uploaded");
const LINK = `/uploads/${sha256(BYTES)}`;
const KEY = `blobs/${sha256(BYTES)}`;

/** A service over a scripted bucket that has the file. */
async function serve(bucket: ScriptedServer, store: BlobStore): Promise<Service> {
  const service = await Service.start({ store, log: () => null });
  assert.equal((await fetch(service.url + LINK, { method: "PUT", body: BYTES })).status, 201);
  assert(bucket.bucket.objects.has(KEY));
  return service;
}

/** Puts other bytes under a key, as another program would. */
function overwrite({ bucket }: ScriptedServer, bytes: Buffer): void {
  const object = bucket.objects.get(KEY) ?? assert.fail();
  bucket.objects.set(KEY, { ...object, bytes, etag: `"${sha256(bytes).slice(0, 32)}"` });
}

/** The bytes of a response that is complete. */
async function bodyOf(response: Response): Promise<Buffer> {
  return Buffer.from(await response.arrayBuffer());
}

describe("an object with other bytes", () => {
  for (const [what, other] of [
    ["of the same size", Buffer.from("the bytes that were damaged!")],
    ["that are fewer", BYTES.subarray(1)],
  ] as const) {
    test(`${what} is refused by every route, and replaced by an upload`, async () => {
      await using bucket = await ScriptedServer.start();
      await using store = bucket.store();
      await using service = await serve(bucket, store);
      overwrite(bucket, other);
      for (const init of [{}, { method: "HEAD" }, { headers: { Range: "bytes=0-3" } }]) {
        const response = await fetch(service.url + LINK, init);
        assert.equal(response.status, 500);
        assert.equal(response.headers.get("cache-control"), "no-store");
        assert.equal(response.headers.get("problem-code"), "blob-damaged");
        await response.arrayBuffer();
      }
      await using another = await Service.start({ store, log: () => null });
      assert.equal((await fetch(another.url + LINK)).status, 500, "the mark is known to another server");
      assert.equal((await fetch(service.url + LINK, { method: "PUT", body: BYTES })).status, 201);
      assert((await bodyOf(await fetch(service.url + LINK))).equals(BYTES));
      assert(bucket.bucket.objects.get(KEY)?.bytes.equals(BYTES));
    });
  }

  test("that nobody has read is found and replaced by an upload", async () => {
    await using bucket = await ScriptedServer.start();
    await using store = bucket.store();
    await using service = await serve(bucket, store);
    overwrite(bucket, Buffer.from("the bytes that were damaged!"));
    const form = new FormData();
    form.append("file", new Blob([BYTES]));
    assert.equal((await fetch(`${service.url}/uploads`, { method: "POST", body: form })).status, 201);
    assert(bucket.bucket.objects.get(KEY)?.bytes.equals(BYTES));
  });
});

test("bits that flip on the way from the bucket take no file offline", async () => {
  await using bucket = await ScriptedServer.start();
  await using store = bucket.store();
  await using service = await serve(bucket, store);
  const flipped = Buffer.from(BYTES);
  flipped[3] = (flipped[3] ?? 0) ^ 4;
  const { etag, modified } = bucket.bucket.objects.get(KEY) ?? assert.fail();
  const headers = { etag, "last-modified": modified.toUTCString() };
  bucket.once("GetObject", { status: 200, headers, body: flipped });
  const response = await fetch(service.url + LINK);
  assert.equal(response.status, 200);
  assert((await bodyOf(response)).equals(BYTES));
  assert.equal((await fetch(service.url + LINK)).status, 200);
  assert(![...bucket.bucket.objects.keys()].some((key) => key.includes("damaged")), "nothing is marked");
});
