/** The consequences that `fixity doctor` reports for buckets that show objects late, in a service. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { createClient } from "../../src/client/node.ts";
import { Service, sha256 } from "../helpers/service.ts";
import { hiddenAtFirst } from "./scripted-bucket.ts";
import { ScriptedServer } from "./scripted-server.ts";

const MIB = 1024 * 1024;
const SIZES = [1_000, 6 * MIB];
const LOOKS = 2;

/** A service on a bucket that shows an object to some operations only after a few requests for it. */
async function lateService(operations: RegExp) {
  const server = await ScriptedServer.start();
  const isSeen = hiddenAtFirst(LOOKS);
  server.bucket.isShown = ({ operation }, key) => !operations.test(operation) || isSeen(`${operation} ${key}`);
  const store = server.store();
  const service = await Service.start({ store });
  return {
    service,
    server,
    [Symbol.asyncDispose]: async () => {
      await service[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

async function byForm(url: string, bytes: Buffer): Promise<number> {
  const form = new FormData();
  form.append("upload", new Blob([new Uint8Array(bytes)]), "a.bin");
  return (await fetch(`${url}/uploads`, { method: "POST", body: form })).status;
}

async function byPut(url: string, bytes: Buffer): Promise<number> {
  return (await fetch(`${url}/uploads/${sha256(bytes)}`, { method: "PUT", body: new Uint8Array(bytes) })).status;
}

async function byClient(url: string, bytes: Buffer): Promise<number> {
  const client = createClient({ endpoint: `${url}/uploads` });
  return (await client.upload(new Uint8Array(bytes))).digest === `sha256:${sha256(bytes)}` ? 201 : 0;
}

/** The status of each request: creation without content, then one append of everything. */
async function byTus(url: string, bytes: Buffer): Promise<number> {
  const tus = { "Tus-Resumable": "1.0.0" };
  const created = await fetch(`${url}/uploads`, {
    method: "POST",
    headers: { ...tus, "Upload-Length": String(bytes.length) },
  });
  assert.equal(created.status, 201);
  const headers = { ...tus, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream" };
  const body = new Uint8Array(bytes);
  const appended = await fetch(new URL(created.headers.get("location") ?? "", url), { method: "PATCH", headers, body });
  return appended.status;
}

for (const [kind, operations] of [
  ["HEAD", /^HeadObject$/],
  ["GET", /^GetObject$/],
  ["HEAD and GET", /^(Head|Get)Object$/],
] as const) {
  test(`objects shown late to ${kind}: plain uploads are stored and acknowledged, and links answer 404 until then`, async () => {
    await using late = await lateService(operations);
    const { url } = late.service;
    for (const size of SIZES) {
      for (const send of [byForm, byPut]) {
        const bytes = randomBytes(size);
        assert.equal(await send(url, bytes), 201, `${send.name}, ${size} bytes`);
        const stored = late.server.bucket.objects.get(`blobs/${sha256(bytes)}`);
        assert.ok(stored?.bytes.equals(bytes), "the bytes are stored");
        const link = `${url}/uploads/${sha256(bytes)}`;
        const misses = operations.test("GetObject") ? LOOKS : 0;
        for (let look = 0; look < misses; look += 1) assert.equal((await fetch(link)).status, 404);
        const answer = await fetch(link);
        assert.equal(sha256(Buffer.from(await answer.arrayBuffer())), sha256(bytes));
      }
    }
  });
}

test("objects shown late to HEAD: resumable uploads and the client's are stored, too", async () => {
  await using late = await lateService(/^HeadObject$/);
  for (const size of SIZES) {
    assert.equal(await byTus(late.service.url, randomBytes(size)), 204);
    assert.equal(await byClient(late.service.url, randomBytes(size)), 201);
  }
});

test("objects shown late to GET: an append right after the creation is refused with 404", async () => {
  await using late = await lateService(/^GetObject$/);
  assert.equal(await byTus(late.service.url, randomBytes(1_000)), 404);
});

test("objects shown late to HEAD: a file that is sent again is stored once more", async () => {
  await using late = await lateService(/^HeadObject$/);
  const bytes = randomBytes(1_000);
  assert.equal(await byForm(late.service.url, bytes), 201);
  assert.equal(await byForm(late.service.url, bytes), 201);
  assert.equal(late.server.operations.filter((operation) => operation === "PutObject").length, 3, "one was refused");
});
