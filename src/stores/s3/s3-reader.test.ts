import assert from "node:assert/strict";
import { test } from "node:test";
import type { ScriptedAnswer, ScriptedRequest } from "../../../test/s3/scripted-bucket.ts";
import { ScriptedServer } from "../../../test/s3/scripted-server.ts";
import { ByteRange } from "../../core/byte-range.ts";
import type { BlobStore } from "../../core/store.ts";
import { content, digestOf, readAll } from "../contract/tools.ts";

const BYTES = content(1000);
const DIGEST = digestOf(BYTES);
const KEY = `blobs/${DIGEST.hex}`;

async function over(work: (store: BlobStore, server: ScriptedServer) => Promise<void>): Promise<void> {
  await using server = await ScriptedServer.start();
  server.bucket.put(KEY, BYTES, "text/plain");
  await using store = server.store();
  await work(store, server);
}

/** Adds fields to the responses to reads, or replaces them. */
function withFields(server: ScriptedServer, fields: Readonly<Record<string, string>>): void {
  for (const operation of ["HeadObject", "GetObject"]) {
    server.always(operation, (request) => {
      const answer = server.bucket.answer(request);
      return { ...answer, headers: { ...answer.headers, ...fields } };
    });
  }
}

async function identitiesIn(store: BlobStore): Promise<readonly (string | undefined)[]> {
  await using whole = await store.open(DIGEST);
  return [(await store.stat(DIGEST))?.identity, (await store.confirm(DIGEST))?.identity, whole?.identity];
}

/** The identity, which is the same by each method. */
async function identityIn(store: BlobStore): Promise<string> {
  const [first, ...others] = await identitiesIn(store);
  assert(first !== undefined && first.length > 0 && first.length <= 200);
  for (const other of others) assert.equal(other, first);
  return first;
}

test("the identity of a blob is its entity tag and time", () =>
  over(async (store, server) => {
    const object = server.bucket.objects.get(KEY) ?? assert.fail();
    const first = await identityIn(store);
    server.bucket.objects.set(KEY, { ...object, modified: new Date(object.modified.getTime() + 1000) });
    const later = await identityIn(store);
    server.bucket.objects.set(KEY, { ...object, etag: '"another"' });
    const other = await identityIn(store);
    assert.equal(new Set([first, later, other]).size, 3);
    server.bucket.objects.set(KEY, object);
    assert.equal(await identityIn(store), first);
  }));

test("in a bucket with versioning, the version alone is the identity of a blob", () =>
  over(async (store, server) => {
    withFields(server, { "x-amz-version-id": "3/L4kqtJlcpXroDTDmJ" });
    const first = await identityIn(store);
    withFields(server, { "x-amz-version-id": "3/L4kqtJlcpXroDTDmJ", "last-modified": new Date(0).toUTCString() });
    assert.equal(await identityIn(store), first);
    withFields(server, { "x-amz-version-id": "QUpfdndhfd8438MNFDN" });
    assert.notEqual(await identityIn(store), first);
  }));

test('the version "null" of a bucket with suspended versioning tells no copies apart', () =>
  over(async (store, server) => {
    withFields(server, { "x-amz-version-id": "null" });
    const first = await identityIn(store);
    withFields(server, { "x-amz-version-id": "null", "last-modified": new Date(0).toUTCString() });
    assert.notEqual(await identityIn(store), first);
  }));

test("a version of any length makes an identity of at most 200 characters", () =>
  over(async (store, server) => {
    withFields(server, { "x-amz-version-id": `${"v".repeat(1000)}1` });
    const first = await identityIn(store);
    withFields(server, { "x-amz-version-id": `${"v".repeat(1000)}2` });
    assert.notEqual(await identityIn(store), first);
  }));

test("a HEAD without an entity tag has no identity, and a range has that of its blob", () =>
  over(async (store, server) => {
    const identity = await identityIn(store);
    await using part = await store.open(DIGEST, { range: ByteRange.over({ start: 10, end: 20 }) });
    assert.equal(part?.identity, identity);
    server.always("HeadObject", (request) => {
      const { headers, ...answer } = server.bucket.answer(request);
      const { etag: _, ...others } = headers ?? {};
      return { ...answer, headers: others };
    });
    assert.equal("identity" in ((await store.stat(DIGEST)) ?? {}), false);
  }));

/** Breaks the connection after half of the content, once, and runs `meanwhile`. */
function breakOnce(server: ScriptedServer, meanwhile: () => void): void {
  let isBroken = false;
  server.always("GetObject", (request: ScriptedRequest): ScriptedAnswer | null => {
    if (isBroken) return null;
    isBroken = true;
    const { body, ...answer } = server.bucket.answer(request);
    const bytes = Buffer.from(body ?? "");
    meanwhile();
    const headers = { ...answer.headers, "content-length": String(bytes.length), connection: "close" };
    return { ...answer, headers, body: bytes.subarray(0, bytes.length / 2) };
  });
}

async function read(store: BlobStore): Promise<Buffer> {
  await using reader = (await store.open(DIGEST)) ?? assert.fail();
  return await readAll(reader);
}

test("a read whose connection breaks continues in the same copy", () =>
  over(async (store, server) => {
    breakOnce(server, () => null);
    assert((await read(store)).equals(BYTES));
    assert.equal(server.operations.filter((operation) => operation === "GetObject").length, 2);
  }));

const REPLACEMENTS: readonly (readonly [what: string, code: string, replace: (server: ScriptedServer) => void])[] = [
  [
    "other bytes of the same size",
    "store-unavailable",
    ({ bucket }) => void bucket.put(KEY, content(BYTES.length, 2), "text/plain"),
  ],
  [
    "a later copy of the same bytes",
    "store-unavailable",
    ({ bucket }) => {
      const object = bucket.objects.get(KEY) ?? assert.fail();
      bucket.objects.set(KEY, { ...object, modified: new Date(object.modified.getTime() + 5000) });
    },
  ],
  [
    "bytes of another size",
    "blob-damaged",
    ({ bucket }) => void bucket.put(KEY, content(BYTES.length + 1), "text/plain"),
  ],
];

for (const [what, code, replace] of REPLACEMENTS) {
  test(`a read whose connection breaks fails if the blob was replaced by ${what}`, () =>
    over(async (store, server) => {
      breakOnce(server, () => replace(server));
      await assert.rejects(read(store), { name: "FixityError", code });
    }));
}
