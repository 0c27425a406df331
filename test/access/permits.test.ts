/** Permits over HTTP: once only, for certain content, until they expire, while their key is known. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import { type BlobStore, Digest } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import { RawClient } from "../helpers/raw-client.ts";
import { Service, sha256 } from "../helpers/service.ts";
import { until } from "../helpers/settled.ts";

const KEY = "a key for permits that is long enough";
const NEW_KEY = "another key for permits, long enough";
const HOUR_MS = 3_600_000;

let folder = "";
before(async () => void (folder = await mkdtemp(join(tmpdir(), "fixity-permits-"))));
after(() => rm(folder, { recursive: true, force: true }));

type Fields = Readonly<Record<string, string>>;

function start(store: BlobStore = memoryStore()): Promise<Service> {
  return Service.start({ store, permitKeys: [KEY], log: () => {} });
}

function once(service: Service): Fields {
  return service.fixity.permit({ maxSize: 1000, expires: HOUR_MS, once: true }).headers;
}

async function outcome(response: Response): Promise<string> {
  const text = await response.text();
  return response.ok ? String(response.status) : `${response.status} ${(JSON.parse(text) as { code: string }).code}`;
}

async function put(service: Service, permit: Fields, bytes: string, fields: Fields = {}): Promise<string> {
  const init = { method: "PUT", body: bytes, headers: { ...permit, ...fields } };
  return outcome(await fetch(`${service.url}/uploads/a.txt`, init));
}

const PARTIAL = { "Upload-Complete": "?0", "Content-Type": "application/partial-upload" };

function post(service: Service, permit: Fields, fields: Fields, body = "abc"): Promise<Response> {
  return fetch(`${service.url}/uploads`, { method: "POST", body, headers: { ...permit, ...fields } });
}

const STORES: Readonly<Record<string, () => readonly BlobStore[]>> = {
  "one memory store": () => {
    const store = memoryStore();
    return [store, store];
  },
  "one folder": () => {
    const root = join(folder, "shared");
    return [diskStore({ root }), diskStore({ root })];
  },
};

for (const [name, stores] of Object.entries(STORES)) {
  test(`of requests at the same time, on two instances over ${name}, one uses a permit for one upload`, async () => {
    const [first, second] = await Promise.all(stores().map(start));
    assert.ok(first !== undefined && second !== undefined);
    await using _first = first;
    await using _second = second;
    for (let round = 1; round <= 5; round += 1) {
      const permit = once(first);
      const requests: Promise<string>[] = [first, second, first, second].map((service, index) =>
        index < 2
          ? put(service, permit, `round ${round}, request ${index}`)
          : post(service, permit, { "Upload-Complete": "?1" }, `round ${round}, request ${index}`).then(outcome),
      );
      const outcomes = (await Promise.all(requests)).toSorted((one, other) => one.localeCompare(other));
      assert.deepEqual(outcomes, ["201", "403 permit-used", "403 permit-used", "403 permit-used"]);
      assert.equal(await second.count(), round);
      assert.equal(await put(second, permit, "later"), "403 permit-used");
    }
  });
}

test("a failed attempt does not use a permit up, and a stored file does, also one that existed", async () => {
  await using service = await start();
  await service.fixity.put(Buffer.from("abc"));
  const permit = once(service);
  assert.equal(await put(service, permit, "x".repeat(1001)), "413 size-limit-exceeded");
  const wrong = { "Repr-Digest": `sha-256=:${Buffer.alloc(32).toString("base64")}:` };
  assert.equal(await put(service, permit, "abc", wrong), "422 digest-mismatch");
  assert.equal(await put(service, permit, "abc", { "Content-Encoding": "gzip" }), "415 unsupported-content-encoding");
  const large = { "Upload-Complete": "?0", "Upload-Length": "1001" };
  assert.equal(await outcome(await post(service, permit, large)), "413 size-limit-exceeded");
  {
    await using client = await RawClient.open(service.port);
    const head = `PUT /uploads/a.txt HTTP/1.1\r\nHost: x\r\nAuthorization: ${permit["Authorization"]}\r\n`;
    await client.send(`${head}Content-Length: 9\r\nExpect: 100-continue\r\n\r\n`);
    assert.equal((await client.answer()).status, 100);
    await client.send("abc");
    assert.equal(await put(service, permit, "abc"), "403 permit-used", "while it is in use");
  }
  // once the server knows that the client is gone
  await until(async () => (await put(service, permit, "abc")) === "200");
  assert.equal(await put(service, permit, "abc"), "403 permit-used");
});

test("a resumable upload uses a permit when it is created, and is continued and completed with it", async () => {
  await using service = await start();
  const permit = once(service);
  const created = await post(service, permit, { "Upload-Complete": "?0" });
  assert.equal(created.status, 201);
  const upload = service.url + created.headers.get("location");
  assert.equal(await outcome(await post(service, permit, { "Upload-Complete": "?0" })), "403 permit-used");
  assert.equal(await put(service, permit, "abc"), "403 permit-used");
  const append = (offset: number, complete: string): Promise<Response> => {
    const headers = { ...permit, ...PARTIAL, "Upload-Complete": complete, "Upload-Offset": String(offset) };
    return fetch(upload, { method: "PATCH", body: "def", headers });
  };
  assert.equal((await append(3, "?0")).status, 204);
  assert.equal((await append(6, "?1")).status, 201);
  assert.equal(await put(service, permit, "abc"), "403 permit-used");
  assert.equal(await service.count(), 1);
});

test("the creation of a resumable upload that breaks off uses a permit, and the upload can be continued", async () => {
  await using service = await start();
  const permit = once(service);
  const head =
    `POST /uploads HTTP/1.1\r\nHost: x\r\nAuthorization: ${permit["Authorization"]}\r\n` +
    "Upload-Draft-Interop-Version: 9\r\nUpload-Complete: ?1\r\nContent-Length: 6\r\n\r\n";
  let location = "";
  {
    await using client = await RawClient.open(service.port);
    await client.send(`${head}abc`);
    location = (await client.answer()).fields.get("location") ?? assert.fail("there is no 104");
  }
  const offset = async (): Promise<string | null> => {
    const response = await fetch(service.url + location, { method: "HEAD", headers: permit });
    return response.headers.get("upload-offset");
  };
  await until(async () => (await offset()) === "3");
  assert.equal(await put(service, permit, "other"), "403 permit-used");
  const headers = { ...permit, ...PARTIAL, "Upload-Complete": "?1", "Upload-Offset": "3" };
  assert.equal((await fetch(service.url + location, { method: "PATCH", body: "def", headers })).status, 201);
});

test("a permit without once may be used again, and by others not to see its uploads under another name", async () => {
  await using service = await start();
  const permit = (name: string): Fields => service.fixity.permit({ maxSize: 9, expires: HOUR_MS, name }).headers;
  const ann = permit("ann");
  assert.deepEqual([await put(service, ann, "a"), await put(service, ann, "b")], ["201", "201"]);
  const created = await post(service, ann, { "Upload-Complete": "?0" });
  const head = async (headers: Fields): Promise<number> =>
    (await fetch(service.url + created.headers.get("location"), { method: "HEAD", headers })).status;
  assert.deepEqual([await head(ann), await head(permit("ann")), await head(permit("bob"))], [204, 204, 404]);
});

test("a permit expires to the second, also for an upload that is running", async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() });
  await using service = await start();
  const { headers, expires } = service.fixity.permit({ maxSize: 100, expires: HOUR_MS });
  const begin = async (content: string): Promise<RawClient> => {
    const client = await RawClient.open(service.port);
    const head = `PUT /uploads/a.txt HTTP/1.1\r\nHost: x\r\nAuthorization: ${headers.Authorization}\r\n`;
    await client.send(`${head}Content-Length: 6\r\nExpect: 100-continue\r\n\r\n`);
    assert.equal((await client.answer()).status, 100);
    await client.send(content);
    return client;
  };
  const created = await post(service, headers, { "Upload-Complete": "?0" });
  await using early = await begin("abc");
  await using late = await begin("xyz");
  t.mock.timers.setTime(expires.getTime() - 1);
  await early.send("def");
  assert.equal((await early.answer()).status, 201);
  t.mock.timers.setTime(expires.getTime());
  await late.send("uvw");
  const refused = await late.answer();
  assert.deepEqual([refused.status, (JSON.parse(refused.body.toString()) as { code: string }).code], [403, "access-expired"]); // prettier-ignore
  assert.equal(await put(service, headers, "abc"), "401 unauthorized");
  const append = { ...headers, ...PARTIAL, "Upload-Complete": "?1", "Upload-Offset": "3" };
  const patch = await fetch(service.url + created.headers.get("location"), { method: "PATCH", body: "d", headers: append }); // prettier-ignore
  assert.equal(await outcome(patch), "401 unauthorized");
  assert.equal(await service.count(), 1);
});

test("a permit for a digest accepts that content only, by every route", async () => {
  await using service = await start();
  const digest = Digest.parse(`sha256:${sha256("right")}`);
  const permit = service.fixity.permit({ digest, expires: HOUR_MS }).headers;
  assert.equal(await put(service, permit, "wrong"), "422 digest-mismatch");
  const announced = { "Repr-Digest": `sha-256=:${Buffer.from(sha256("wrong"), "hex").toString("base64")}:` };
  assert.equal(await put(service, permit, "wrong", announced), "422 digest-mismatch");
  assert.equal(await outcome(await post(service, permit, {}, "wrong")), "422 digest-mismatch");
  assert.equal(await outcome(await post(service, permit, { "Upload-Complete": "?1" }, "wrong")), "422 digest-mismatch");
  const form = new FormData();
  form.set("file", new File(["wrong"], "a.txt"));
  const sent = await fetch(`${service.url}/uploads`, { method: "POST", body: form, headers: permit });
  assert.equal(await outcome(sent), "422 digest-mismatch");
  const link = await fetch(`${service.url}/uploads/${sha256("wrong")}`, { method: "PUT", body: "wrong", headers: permit }); // prettier-ignore
  assert.equal(await outcome(link), "422 digest-mismatch");
  assert.equal(await service.count(), 0);
  assert.equal(await put(service, permit, "right"), "201");
});

test("a permit of an old key works until the key is removed, in the middle of an upload, too", async () => {
  await using service = await start();
  const permit = service.fixity.permit({ maxSize: 100, expires: HOUR_MS }).headers;
  const created = await post(service, permit, { "Upload-Complete": "?0" });
  const append = async (offset: number): Promise<string> => {
    const headers = { ...permit, ...PARTIAL, "Upload-Offset": String(offset) };
    return outcome(await fetch(service.url + created.headers.get("location"), { method: "PATCH", body: "d", headers }));
  };
  service.fixity.permits?.replaceKeys([NEW_KEY, KEY]);
  assert.equal(await append(3), "204");
  assert.equal(await put(service, permit, "old key"), "201");
  service.fixity.permits?.replaceKeys([NEW_KEY]);
  assert.equal(await append(4), "401 unauthorized");
  assert.equal(await put(service, permit, "removed key"), "401 unauthorized");
});
