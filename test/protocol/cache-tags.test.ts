/** The fields by which caches in front drop everything about a file at once. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { memoryStore } from "../../src/memory.ts";
import { Service, type ServiceOptions, sha256 } from "../helpers/service.ts";
import { request } from "../verification/wire.ts";

const BYTES = Buffer.from("a file that caches keep");
const HEX = sha256(BYTES);
const OTHER = sha256("not stored");

async function taggedService(options: ServiceOptions = {}): Promise<Service> {
  const service = await Service.start({ authorize: () => {}, cacheTags: true, ...options });
  await service.fixity.put(BYTES);
  return service;
}

describe("with cacheTags", () => {
  test("every answer about a file has its digest, whatever the extension, query and status", async () => {
    await using service = await taggedService();
    const cases: readonly [number, string, string?, Record<string, string>?][] = [
      [200, HEX],
      [200, `${HEX}.png?filename=b.png&download`],
      [200, HEX, "HEAD"],
      [206, HEX, "GET", { Range: "bytes=0-1" }],
      [206, HEX, "GET", { Range: "bytes=0-1,5-6" }],
      [416, HEX, "GET", { Range: "bytes=99-" }],
      [304, HEX, "GET", { "If-None-Match": `"${HEX}"` }],
      [412, HEX, "GET", { "If-Match": '"x"' }],
      [200, `${HEX}?view`],
      [403, HEX, "GET", { "Service-Worker": "script" }],
      [405, HEX, "PATCH"],
      [404, `${OTHER}.jpg`],
      [204, `${OTHER}?stored`, "HEAD"],
    ];
    for (const [status, path, method, fields = {}] of cases) {
      const answer = await request(service.port, { target: `/uploads/${path}`, method: method ?? "GET", fields });
      const hex = path.slice(0, 64);
      const name = `${method} ${path}`;
      assert.equal(answer.status, status, name);
      assert.equal(answer.fields.get("cache-tag"), hex, name);
      // a structured field: a list of strings (RFC 9875)
      assert.equal(answer.fields.get("cache-groups"), `"${hex}"`, name);
      assert.equal(answer.fields.has("cache-group-invalidation"), false, name);
    }
    await service.fixity.block((await service.fixity.put(BYTES)).digest, { reason: "x" });
    const blocked = await request(service.port, { target: `/uploads/${HEX}` });
    assert.deepEqual([blocked.status, blocked.fields.get("cache-tag")], [451, HEX]);
  });

  test("so has what other servers send", async () => {
    const store = Object.assign(memoryStore(), {
      presign: async () => ({ url: "https://bucket.example.com/x", expires: new Date(Date.now() + 60_000) }),
      filePath: () => "blobs/x",
    });
    await using redirecting = await taggedService({ store, downloads: { mode: "redirect" } });
    await using accelerated = await taggedService({ store, downloads: { mode: "accelerated" } });
    for (const [{ port }, status] of [
      [redirecting, 307],
      [accelerated, 200],
    ] as const) {
      const fields = { "X-Sendfile-Type": "X-Accel-Redirect" };
      const answer = await request(port, { target: `/uploads/${HEX}`, fields });
      assert.deepEqual([answer.status, answer.fields.get("cache-tag")], [status, HEX]);
    }
  });

  test("a removal invalidates the group in the caches that its answer passes, and an upload does not", async () => {
    await using service = await taggedService();
    const target = `${service.url}/uploads/${HEX}.png`;
    const invalidated = async (method: string, body?: Buffer): Promise<[number, string | null]> => {
      const { status, headers } = await fetch(target, { method, ...(body !== undefined && { body }) });
      return [status, headers.get("cache-group-invalidation")];
    };
    assert.deepEqual(await invalidated("PUT", BYTES), [200, null]);
    assert.deepEqual(await invalidated("DELETE"), [204, `"${HEX}"`]);
    assert.deepEqual(await invalidated("DELETE"), [404, null]);
    assert.deepEqual(await invalidated("PUT", BYTES), [201, null]);
  });

  test("answers that are about no file have no tag", async () => {
    await using service = await taggedService();
    for (const [method, path] of [
      ["POST", ""],
      ["PUT", "/a.png"],
      ["GET", "/in-progress/x"],
      ["OPTIONS", `/${HEX}`],
    ] as const) {
      const { headers } = await fetch(`${service.url}/uploads${path}`, { method });
      assert.deepEqual([headers.get("cache-tag"), headers.get("cache-groups")], [null, null], `${method} ${path}`);
    }
  });
});

test("without cacheTags there are no such fields", async () => {
  await using service = await taggedService({ cacheTags: false });
  const { headers } = await fetch(`${service.url}/uploads/${HEX}`);
  assert.deepEqual([headers.get("cache-tag"), headers.get("cache-groups")], [null, null]);
});
