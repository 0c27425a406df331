import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { RawClient } from "../helpers/raw-client.ts";
import { Service, sha256 } from "../helpers/service.ts";

const HELLO = "hello, world";
const HEX = sha256(HELLO);
const BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

interface Sent {
  readonly status: number;
  readonly fields: ReadonlyMap<string, string>;
  readonly body: { readonly code?: string; readonly name?: string | null; readonly url?: string };
}

/** Sends a path as it is: `fetch` would change dot segments, and encode what is not ASCII. */
async function send(
  service: Service,
  method: string,
  path: string,
  { fields = [], body = HELLO }: { fields?: readonly string[]; body?: string | null } = {},
): Promise<Sent> {
  await using client = await RawClient.open(service.port);
  const length = body === null ? [] : [`Content-Length: ${Buffer.byteLength(body)}`];
  const head = [`${method} ${path} HTTP/1.1`, "Host: x", "Connection: close", ...length, ...fields].join("\r\n");
  await client.send(Buffer.concat([Buffer.from(`${head}\r\n\r\n`, "latin1"), Buffer.from(body ?? "")]));
  const { status, fields: answered, body: content } = await client.answer({ head: method === "HEAD" });
  const isJson = answered.get("content-type")?.includes("json") === true && method !== "HEAD";
  return { status, fields: answered, body: isJson ? (JSON.parse(content.toString()) as Sent["body"]) : {} };
}

test("PUT to a name stores the content under its digest, with the extension of the name", async () => {
  await using service = await Service.start();
  const first = await send(service, "PUT", "/uploads/photo.png");
  assert.deepEqual([first.status, first.fields.get("location")], [201, `/uploads/${HEX}.png`]);
  assert.deepEqual([first.body.url, first.body.name], [`/uploads/${HEX}.png`, "photo.png"]);
  const again = await send(service, "PUT", "/uploads/other.JPG");
  assert.deepEqual([again.status, again.body.url], [200, `/uploads/${HEX}.jpg`]);
  assert.equal((await send(service, "GET", "/uploads/photo.png", { body: null })).status, 404);
  assert.equal(await (await fetch(`${service.url}/uploads/${HEX}.png`)).text(), HELLO);
  assert.equal(await service.count(), 1);
});

test("a name in a path is decoded, cleaned and cut as any other", async () => {
  await using service = await Service.start();
  for (const [path, name, extension] of [
    ["%E5%86%99%E7%9C%9F.jpg", "写真.jpg", ".jpg"],
    ["a%20b+c%25d.tar.gz", "a b+c%d.tar.gz", ".gz"],
    ["C%5Cdir%5Ca.png", "a.png", ".png"],
    [".bashrc", ".bashrc", ""],
    ["in-progress.txt", "in-progress.txt", ".txt"],
    ["...", "...", ""],
    ["a;b=c&d.txt?filename=x.exe", "a;b=c&d.txt", ".txt"],
    ["x%E2%80%AEgnp.exe", "xgnp.exe", ".exe"],
    [`${"%F0%9F%98%80".repeat(200)}.png`, `${"😀".repeat(125)}.png`, ".png"],
    ["a".repeat(59), "a".repeat(59), ""],
    ["a".repeat(69), "a".repeat(69), ""],
    [`x.${"a".repeat(64)}`, `x.${"a".repeat(64)}`, ""],
  ] as const) {
    const { status, body } = await send(service, "PUT", `/uploads/${path}`);
    assert.ok(status === 200 || status === 201, path);
    assert.deepEqual([body.name, body.url], [name, `/uploads/${HEX}${extension}`], path);
  }
});

test("without an extension in the name, the type gives it", async () => {
  await using service = await Service.start();
  const fields = ["Content-Type: image/webp; x"];
  assert.equal((await send(service, "PUT", "/uploads/photo", { fields })).body.url, `/uploads/${HEX}.webp`);
});

test("a name that is most likely a digest, and one that cannot be read, is refused", async () => {
  await using service = await Service.start();
  for (const name of [
    HEX.toUpperCase(),
    `${HEX.toUpperCase()}.png`,
    HEX.slice(4),
    `${HEX}0000`,
    `${HEX}.`,
    `${HEX}.tar.gz`,
    `${HEX}.${"a".repeat(17)}`,
    `%${HEX.charCodeAt(0).toString(16)}${HEX.slice(1)}`,
    `%EF%BB%BF${HEX}.png`,
    `%5C${HEX}`,
    `sha256:${HEX}`,
    `sha256%3A${HEX}`,
    "C:photo.png",
    "a:b",
    "%zz",
    "%",
    "a%2",
    "%ff.png",
    "%c3%28",
    "%ed%a0%80",
    "%00",
    "a%0D%0Ab.png",
    "a%7Fb",
    "a%C2%80b",
    "%20",
    "%E2%80%8B",
  ]) {
    const { status, body } = await send(service, "PUT", `/uploads/${name}`);
    assert.deepEqual([status, body.code], [400, "invalid-link"], name);
  }
  assert.equal(await service.count(), 0);
});

/** Addresses that are no name of a file. */
const NOWHERE = [
  "",
  "in-progress",
  "in%2Dprogress",
  ".",
  "..",
  "%2e%2E",
  "a/b.png",
  "a.png/",
  "/a.png",
  "a%2Fb.png",
  "%2f",
  "a%2F",
];

for (const adapter of ["node", "fastify"] as const) {
  test(`${adapter}: there is nothing under any other address, whatever the method and protocol`, async () => {
    await using service = await Service.start({ adapter });
    for (const segment of [...NOWHERE, "nothing-here", HEX.toUpperCase(), `${HEX}.a.b`, "%zz"]) {
      // Fastify's own router refuses what cannot be decoded
      if (adapter === "fastify" && segment === "%zz") continue;
      for (const method of ["GET", "HEAD", "POST", "PATCH", "DELETE", ...(NOWHERE.includes(segment) ? ["PUT"] : [])]) {
        if (segment === "" && method === "POST") continue;
        const path = `/uploads/${segment}`;
        const body = /POST|PATCH|PUT/.test(method) ? HELLO : null;
        const plain = await send(service, method, path, { body });
        assert.equal(plain.status, 404, `${method} ${path}`);
        if (method !== "HEAD") assert.equal(plain.body.code, "not-found", `${method} ${path}`);
        const tus = await send(service, method, path, { body, fields: ["Tus-Resumable: 1.0.0"] });
        assert.deepEqual([tus.status, tus.fields.get("tus-resumable")], [404, "1.0.0"], `${method} ${path}`);
        const page = await send(service, method, path, { body, fields: [`Accept: ${BROWSER}`] });
        const type = /GET|HEAD/.test(method) ? "text/html; charset=utf-8" : "application/problem+json";
        assert.deepEqual([page.status, page.fields.get("content-type")], [404, type], `${method} ${path}`);
      }
    }
    assert.equal(await service.count(), 0);
  });
}

test("conditions hold for an address under which nothing is stored", async () => {
  await using service = await Service.start();
  const put = async (...fields: string[]): Promise<unknown> =>
    (await send(service, "PUT", "/uploads/a.txt", { fields })).status;
  for (const field of ["If-Match: *", `If-Match: "${HEX}"`]) assert.equal(await put(field), 412, field);
  assert.equal(await put("If-Match: nonsense"), 400);
  assert.equal(await service.count(), 0);
  assert.equal(await put("If-None-Match: *"), 201);
  assert.equal(await put("If-None-Match: *"), 200);
  assert.equal(await put(`If-None-Match: "${HEX}"`, "If-Unmodified-Since: Wed, 12 Feb 1997 16:29:51 GMT"), 200);
});

test("what would store other bytes than the file's is refused", async () => {
  await using service = await Service.start();
  const refused = async (...fields: string[]): Promise<unknown> => {
    const { status, body } = await send(service, "PUT", "/uploads/a.txt", { fields });
    return [status, body.code];
  };
  assert.deepEqual(await refused("Content-Type: application/x-www-form-urlencoded"), [415, "unsupported-media-type"]);
  assert.deepEqual(await refused("Content-Type: multipart/form-data; boundary=x"), [415, "unsupported-media-type"]);
  assert.deepEqual(await refused("Content-Range: bytes 0-3/12"), [400, "invalid-field"]);
  assert.deepEqual(await refused("Content-Encoding: gzip"), [415, "unsupported-content-encoding"]);
  const wrong = createHash("sha256").update("other").digest("base64");
  assert.deepEqual(await refused(`Repr-Digest: sha-256=:${wrong}:`), [422, "digest-mismatch"]);
  const chunk = await send(service, "PUT", "/uploads/a.txt?resumableTotalChunks=3");
  assert.deepEqual([chunk.status, chunk.body.code], [400, "malformed-form"]);
  const nothing = await send(service, "PUT", "/uploads/a.txt", { body: null });
  assert.deepEqual([nothing.status, nothing.body.code], [400, "missing-file"]);
  assert.equal(await service.count(), 0);
  assert.equal((await send(service, "PUT", "/uploads/empty.txt", { body: "" })).status, 201);
});

test("with Upload-Complete, PUT to a name creates an upload with this name", async () => {
  await using service = await Service.start();
  const whole = await send(service, "PUT", "/uploads/a.txt", { fields: ["Upload-Complete: ?1"] });
  assert.deepEqual(
    [whole.status, whole.body.url, whole.fields.get("upload-complete")],
    [201, `/uploads/${HEX}.txt`, "?1"],
  );
  const half = await send(service, "PUT", "/uploads/b.png", { fields: ["Upload-Complete: ?0"], body: "hello, " });
  assert.deepEqual([half.status, half.fields.get("upload-offset")], [201, "7"]);
  const fields = ["Upload-Complete: ?1", "Upload-Offset: 7", "Content-Type: application/partial-upload"];
  const rest = await send(service, "PATCH", half.fields.get("location") ?? "", { fields, body: "world" });
  assert.deepEqual([rest.status, rest.body.url, rest.body.name], [200, `/uploads/${HEX}.png`, "b.png"]);
  for (const [path, more, status] of [
    ["/uploads/a.txt", "If-Match: *", 412],
    [`/uploads/${HEX}0`, "X: y", 400],
  ] as const) {
    const refused = await send(service, "PUT", path, { fields: ["Upload-Complete: ?0", more] });
    assert.deepEqual([refused.status, refused.fields.get("upload-complete")], [status, "?1"]);
  }
});

test("PUT to a name needs a token where uploads do, and the browser learns what is allowed", async () => {
  await using service = await Service.start({
    tokens: ["ci=0123456789abcdef"],
    cors: { origins: ["https://a.example"] },
  });
  assert.equal((await send(service, "PUT", "/uploads/a.txt")).status, 401);
  const fields = ["Authorization: Bearer 0123456789abcdef"];
  assert.equal((await send(service, "PUT", "/uploads/a.txt", { fields })).status, 201);
  const preflight = await send(service, "OPTIONS", "/uploads/a.txt", {
    body: null,
    fields: [
      "Origin: https://a.example",
      "Access-Control-Request-Method: PUT",
      "Access-Control-Request-Headers: authorization",
    ],
  });
  assert.deepEqual([preflight.status, preflight.fields.get("allow")], [204, "OPTIONS, PUT"]);
  assert.equal(preflight.fields.get("access-control-allow-origin"), "https://a.example");
  assert.match(preflight.fields.get("access-control-allow-methods") ?? "", /\bPUT\b/);
  for (const segment of NOWHERE.filter((segment) => segment !== "")) {
    assert.equal((await send(service, "OPTIONS", `/uploads/${segment}`, { body: null })).status, 404, segment);
  }
});
