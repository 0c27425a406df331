/** Blocked files over HTTP: how they are read, uploaded and removed, in every way there is. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { request as send } from "node:http";
import { buffer } from "node:stream/consumers";
import { describe, test } from "node:test";
import { createClient } from "../../src/client.ts";
import { diskStore } from "../../src/disk.ts";
import { type BlobStore, Digest, type Fixity, type HeldUpload } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import { Service, type ServiceOptions, sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { ROUTES, uploadBy } from "../helpers/upload-routes.ts";
import { append, created, LAST } from "../resumable/ietf-client.ts";
import { request } from "../verification/wire.ts";

const BYTES = Buffer.from("what a court has ordered to be blocked");
const HEX = sha256(BYTES);
const DIGEST = Digest.fromHex(HEX) ?? assert.fail();
const OTHER_HEX = sha256("never stored");
const REASON = { reason: "court order 17/2026, confidential" };
const TUS = { "Tus-Resumable": "1.0.0" };

/** A service with the file stored and blocked. */
async function blockedService(options: ServiceOptions = {}): Promise<Service> {
  const service = await Service.start({ authorize: () => {}, ...options });
  await service.fixity.put(BYTES);
  await service.fixity.block(DIGEST, REASON);
  return service;
}

/** Ways to read a file. */
const READS: readonly { method?: string; query?: string; fields?: Record<string, string> }[] = [
  {},
  { query: ".png" },
  { query: "?download&filename=a.png" },
  { fields: { Range: "bytes=0-3" } },
  { fields: { Range: "bytes=0-3,9-12" } },
  { fields: { Range: "bytes=999-" } },
  { fields: { Range: "bytes=0-3", "If-Range": `"${HEX}"` } },
  { fields: { "If-None-Match": `"${HEX}"` } },
  { fields: { "If-None-Match": "*" } },
  { fields: { "If-Match": '"x"' } },
  { query: "?view" },
  { query: "?view", fields: { "If-None-Match": "*" } },
  { fields: { Accept: "text/html" } },
];
const ALL_READS = READS.flatMap((read) => [read, { ...read, method: "HEAD" }]);

describe("a blocked file", () => {
  test("is answered with 451 before any condition or range, and no cache keeps that", async () => {
    await using service = await blockedService();
    for (const { method = "GET", query = "", fields = {} } of ALL_READS) {
      const answer = await request(service.port, { method, target: `/uploads/${HEX}${query}`, fields });
      const name = JSON.stringify([method, query, fields]);
      assert.equal(answer.status, 451, name);
      assert.equal(answer.fields.get("cache-control"), "no-store", name);
      assert.equal(answer.fields.get("problem-code"), "blob-blocked", name);
      for (const field of ["etag", "repr-digest", "content-range"]) assert.ok(!answer.fields.has(field), name + field);
      assert.doesNotMatch(answer.content.toString(), /17\/2026|what a court/, "the reason is the operator's");
      if (method === "GET") assert.match(answer.content.toString(), /blob-blocked/, name);
    }
  });

  test("is not known to be stored", async () => {
    await using service = await blockedService();
    const answer = await request(service.port, { method: "HEAD", target: `/uploads/${HEX}?stored` });
    assert.equal(answer.status, 204);
    assert.equal(answer.fields.get("cache-control"), "no-store");
  });

  test("is not passed on to another server", async () => {
    await using folder = await StoreFolder.make();
    await using store = diskStore({ root: folder.path, durability: "none" });
    await using service = await blockedService({ store, downloads: { mode: "accelerated" } });
    const answer = await request(service.port, {
      target: `/uploads/${HEX}`,
      fields: { "X-Sendfile-Type": "X-Accel-Redirect" },
    });
    assert.deepEqual([answer.status, answer.fields.has("x-accel-redirect")], [451, false]);
    const presigning = Object.assign(memoryStore(), {
      presign: async () => ({ url: "https://bucket.example.com/x", expires: new Date(Date.now() + 60_000) }),
    });
    await using redirecting = await blockedService({ store: presigning, downloads: { mode: "redirect" } });
    const redirect = await request(redirecting.port, { target: `/uploads/${HEX}` });
    assert.deepEqual([redirect.status, redirect.fields.has("location")], [451, false]);
  });

  test("is removed by DELETE, and stays blocked until the block ends", async () => {
    await using service = await blockedService();
    const target = `/uploads/${HEX}`;
    const remove = { method: "DELETE", target, fields: { "If-Match": `"${HEX}"` } };
    assert.equal((await request(service.port, remove)).status, 204);
    assert.equal((await request(service.port, { target })).status, 451);
    assert.equal((await request(service.port, remove)).status, 404);
    assert.equal(await service.fixity.unblock(DIGEST), true);
    assert.equal((await request(service.port, { target })).status, 404);
    assert.equal((await uploadBy("put", service.port, BYTES)).status, 201);
    assert.equal((await request(service.port, { target })).status, 200);
  });

  test("is named by the client's error", async () => {
    await using service = await blockedService();
    const client = createClient({ endpoint: `${service.url}/uploads` });
    await assert.rejects(client.upload(BYTES), { code: "blob-blocked", status: 451, retryable: false });
    await assert.rejects(client.stat(HEX), { code: "blob-blocked" });
  });
});

test("a download that has begun breaks off when its file is blocked", async () => {
  await using service = await Service.start();
  const bytes = Buffer.alloc(64 * 1024 * 1024, "large");
  const { digest } = await service.fixity.put(bytes);
  await service.fixity.verify(digest);
  const outgoing = send({ port: service.port, path: `/uploads/${digest.hex}`, agent: false }).end();
  const [response] = await once(outgoing, "response");
  assert.equal(response.statusCode, 200);
  await once(response, "readable");
  await service.fixity.block(digest, REASON);
  await assert.rejects(buffer(response), { code: "ECONNRESET" });
});

describe("where reads are restricted", () => {
  const LINK_KEY = "a key for links that is long enough!!";
  const TOKEN = { Authorization: "Bearer 0123456789abcdef" };

  test("a blocked file is like one that is not stored, by signed links and for tokens that may read", async () => {
    await using service = await blockedService({
      reads: "signed",
      linkKeys: [LINK_KEY],
      tokens: ["ops=0123456789abcdef may=read|create|remove"],
      authorize: () => undefined,
    });
    const missing = Digest.fromHex(OTHER_HEX) ?? assert.fail();
    const signed = (digest: Digest): string => service.fixity.sign(digest, { expires: 3_600_000 }).split("?")[1] ?? "";
    const heard = async (
      digest: Digest,
      query: string,
      read: (typeof ALL_READS)[number],
      own = {},
    ): Promise<unknown> => {
      const fields = Object.fromEntries(
        Object.entries<string>({ ...read.fields, ...own }).map(([name, value]) => [
          name,
          value.replace(HEX, digest.hex),
        ]),
      );
      const answer = await request(service.port, {
        method: read.method ?? "GET",
        target: `/uploads/${digest.hex}${query}`,
        fields,
      });
      const kept = [...answer.fields].filter(([name]) => !["x-request-id", "date"].includes(name));
      return { status: answer.status, kept, content: answer.content.toString() };
    };
    for (const read of ALL_READS) {
      const name = JSON.stringify(read);
      const byToken = await heard(DIGEST, read.query ?? "", read, TOKEN);
      assert.equal((byToken as { status: number }).status, 404, name);
      assert.deepEqual(byToken, await heard(missing, read.query ?? "", read, TOKEN), name);
      if (read.query !== undefined) continue;
      const byLink = await heard(DIGEST, `?${signed(DIGEST)}`, read);
      assert.equal((byLink as { status: number }).status, 404, name);
      assert.deepEqual(byLink, await heard(missing, `?${signed(missing)}`, read), name);
    }
  });

  test("a digest alone does not reveal whether it is blocked: its bytes have to arrive", async () => {
    const tokens = ["ops=0123456789abcdef may=create"];
    await using service = await blockedService({ reads: "signed", linkKeys: [LINK_KEY], tokens });
    const wrong = await fetch(`${service.url}/uploads/${HEX}`, {
      method: "PUT",
      headers: TOKEN,
      body: Buffer.alloc(BYTES.length),
    });
    assert.equal(wrong.status, 422, await wrong.text());
    const right = await fetch(`${service.url}/uploads/${HEX}`, { method: "PUT", headers: TOKEN, body: BYTES });
    assert.equal(right.status, 451);
    const fields = { ...TOKEN, "Repr-Digest": `sha-256=:${DIGEST.base64}:` };
    assert.equal((await fetch(await createdUrl(service, fields), { method: "HEAD", headers: TOKEN })).status, 204);
  });

  async function createdUrl(service: Service, fields: Record<string, string>): Promise<string> {
    return new URL(await created(service, "", fields), service.url).href;
  }
});

describe("an upload of blocked content", () => {
  for (const route of ROUTES) {
    test(`by ${route} is refused, whether it is stored or not`, async () => {
      await using service = await blockedService();
      assert.deepEqual(await uploadBy(route, service.port, BYTES), { status: 451, link: null, code: "blob-blocked" });
      await service.fixity.remove(DIGEST);
      assert.deepEqual(await uploadBy(route, service.port, BYTES), { status: 451, link: null, code: "blob-blocked" });
      assert.equal(await service.count(), 0);
    });
  }

  test("is refused before its content if its digest is declared", async () => {
    await using service = await blockedService();
    const fields = { "Content-Length": String(BYTES.length), Expect: "100-continue" };
    for (const digest of [{}, { "If-None-Match": "*" }]) {
      const target = `/uploads/${HEX}`;
      const answer = await request(service.port, { method: "PUT", target, fields: { ...fields, ...digest } });
      assert.equal(answer.status, 451);
    }
    const posted = { ...fields, "Repr-Digest": `sha-256=:${DIGEST.base64}:` };
    assert.equal((await request(service.port, { method: "POST", target: "/uploads", fields: posted })).status, 451);
    const resumable = { ...posted, "Upload-Complete": "?0", "Upload-Length": "38" };
    const refused = await request(service.port, { method: "POST", target: "/uploads", fields: resumable });
    assert.deepEqual([refused.status, refused.fields.get("upload-complete")], [451, "?1"]);
    assert.equal(refused.fields.has("location"), false);
  });

  test("by the IETF's protocol ends with the refusal, which HEAD repeats", async () => {
    await using service = await blockedService();
    const at = await created(service, BYTES.subarray(0, 9));
    const last = await append(service, at, { offset: 9, body: BYTES.subarray(9), fields: LAST });
    assert.equal(last.status, 451, last.body.toString());
    assert.match(last.body.toString(), /blob-blocked/);
    const asked = await request(service.port, { method: "HEAD", target: at });
    assert.deepEqual([asked.status, asked.fields.get("problem-code")], [451, "blob-blocked"]);
  });

  test("by tus ends with the refusal", async () => {
    await using service = await blockedService();
    const { headers } = await fetch(`${service.url}/uploads`, {
      method: "POST",
      headers: { ...TUS, "Upload-Length": String(BYTES.length) },
    });
    const patch = { ...TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream" };
    const at = new URL(headers.get("location") ?? "", service.url);
    const ended = await fetch(at, { method: "PATCH", headers: patch, body: BYTES });
    assert.equal(ended.status, 451);
    assert.equal((await fetch(at, { method: "HEAD", headers: TUS })).status, 451);
  });
});

/** A memory store that calls `committed` when an upload was committed, before anything knows of it. */
function storeThatTells(committed: () => Promise<unknown>): BlobStore {
  const store = memoryStore();
  const stage = store.stage.bind(store);
  const tell = <T extends { commit: HeldUpload["commit"] }>(staged: T): T => {
    const commit = staged.commit.bind(staged);
    staged.commit = async (...args) => {
      const result = await commit(...args);
      await committed();
      return result;
    };
    return staged;
  };
  store.stage = async (options) => tell(await stage(options));
  const uploads = store.uploads ?? assert.fail();
  const hold = uploads.hold.bind(uploads);
  uploads.hold = async (...args) => {
    const taken = await hold(...args);
    return taken?.status === "held" ? tell(taken) : taken;
  };
  return store;
}

/** Moments at which a block arrives while a file is uploaded, and what is stored then. */
const MOMENTS: Readonly<
  Record<string, (block: () => Promise<unknown>) => { options: ServiceOptions; stored: number }>
> = {
  "between its last byte and its commit": (block) => ({
    options: { inspect: async () => block().then(() => "allow" as const) },
    stored: 0,
  }),
  "between its commit and its answer": (block) => ({
    options: { store: storeThatTells(block) },
    // Another upload of it may have been acknowledged.
    stored: 1,
  }),
};

describe("content that is blocked while it is uploaded", () => {
  for (const [moment, optionsFor] of Object.entries(MOMENTS)) {
    const upload = async (run: (service: Service) => Promise<number>): Promise<void> => {
      let fixity: Fixity | null = null;
      const hooked: unknown[] = [];
      const { options, stored } = optionsFor(async () => fixity?.block(DIGEST, REASON));
      await using service = await Service.start({ ...options, onStored: (receipt) => void hooked.push(receipt) });
      ({ fixity } = service);
      assert.equal(await run(service), 451);
      assert.deepEqual(hooked, [], "the app is not told that it was stored");
      assert.equal(await service.count(), stored);
      assert.equal((await request(service.port, { target: `/uploads/${HEX}` })).status, 451);
      await service.fixity.unblock(DIGEST);
      assert.equal((await request(service.port, { target: `/uploads/${HEX}` })).status, stored === 1 ? 200 : 404);
    };

    test(`${moment} is not acknowledged`, async () => {
      for (const route of ["form", "raw", "put"] as const) {
        await upload(async ({ port }) => (await uploadBy(route, port, BYTES)).status);
      }
    });

    test(`${moment} is not acknowledged by a resumable upload, whose outcome says so`, async () => {
      await upload(async (service) => {
        const at = await created(service, BYTES.subarray(0, 9));
        const last = await append(service, at, { offset: 9, body: BYTES.subarray(9), fields: LAST });
        assert.equal((await request(service.port, { method: "HEAD", target: at })).status, 451);
        return last.status;
      });
    });
  }
});
