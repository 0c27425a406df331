import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryStore } from "../../src/memory.ts";
import type { BlobStore } from "../../src/index.ts";
import { Service, sha256 } from "../helpers/service.ts";

const BYTES = Buffer.from(Array.from({ length: 1000 }, (_, index) => index % 251));
const HEX = sha256(BYTES);
const ETAG = `"${HEX}"`;

async function serve(options: { readonly store?: BlobStore } = {}): Promise<Service> {
  const service = await Service.start(options);
  await service.fixity.put(BYTES);
  return service;
}

function get(service: Service, headers: Record<string, string> = {}, suffix = ".bin"): Promise<Response> {
  return fetch(`${service.url}/uploads/${HEX}${suffix}`, { headers });
}

test("a whole file comes with all fields that describe it", async () => {
  await using service = await serve();
  const response = await get(service, {}, ".png");
  assert.equal(response.status, 200);
  assert.deepEqual(Buffer.from(await response.arrayBuffer()), BYTES);
  const { headers } = response;
  assert.equal(headers.get("content-length"), "1000");
  assert.equal(headers.get("content-type"), "image/png");
  assert.equal(headers.get("etag"), ETAG);
  assert.equal(headers.get("cache-control"), "public, max-age=31536000, immutable");
  assert.equal(headers.get("accept-ranges"), "bytes");
  assert.match(headers.get("repr-digest") ?? "", /^sha-256=:[A-Za-z0-9+/]{43}=:$/);
  assert.equal(headers.get("x-content-type-options"), "nosniff");
  assert.match(headers.get("content-security-policy") ?? "", /\bsandbox\b/);
  assert.equal(headers.get("content-disposition"), null);
});

test("HEAD returns the fields of GET without the bytes, and ignores ranges", async () => {
  await using service = await serve();
  const url = `${service.url}/uploads/${HEX}.png`;
  const [head, full] = [await fetch(url, { method: "HEAD", headers: { range: "bytes=0-1" } }), await fetch(url)];
  assert.equal(head.status, 200);
  assert.equal((await head.arrayBuffer()).byteLength, 0);
  const facts = (response: Response): unknown =>
    [...response.headers].filter(([name]) => !["date", "connection", "keep-alive"].includes(name));
  assert.deepEqual(facts(head), facts(full));
});

test("HEAD with ?stored is 200 for a stored file, and otherwise 204 instead of 404", async () => {
  await using service = await serve();
  const ask = (link: string): Promise<Response> => fetch(`${service.url}/uploads/${link}?stored`, { method: "HEAD" });
  const head = await fetch(`${service.url}/uploads/${HEX}`, { method: "HEAD" });
  const stored = await ask(HEX);
  assert.deepEqual([stored.status, stored.headers.get("etag")], [200, ETAG]);
  assert.equal(stored.headers.get("content-length"), head.headers.get("content-length"));
  for (const link of [sha256("another"), `${sha256("another")}.png`]) {
    const missing = await ask(link);
    assert.equal(missing.status, 204);
    assert.equal(missing.headers.get("cache-control"), "no-store");
    assert.equal(missing.headers.get("etag"), null);
  }
  // a GET wants the file
  assert.equal((await fetch(`${service.url}/uploads/${sha256("another")}?stored`)).status, 404);
  assert.equal((await ask("no-digest")).status, 404);
});

// what nginx 1.22 answers for the same file
const SINGLE: readonly (readonly [range: string, status: number, from: number, to: number])[] = [
  ["bytes=0-0", 206, 0, 1],
  ["bytes=0-999", 206, 0, 1000],
  ["bytes=10-", 206, 10, 1000],
  ["bytes=-5", 206, 995, 1000],
  ["bytes=-5000", 206, 0, 1000],
  ["bytes=990-5000", 206, 990, 1000],
  ["bytes=0-99,50-149", 206, 0, 150],
  ["bytes=-0", 416, 0, 0],
  ["bytes=1000-", 416, 0, 0],
  ["bytes=5-2", 416, 0, 0],
  ["bytes=99999999999999999999-", 416, 0, 0],
  ["lines=0-1", 200, 0, 1000],
  ["bytes=a-b", 200, 0, 1000],
  ["bytes 0-1", 200, 0, 1000],
];

for (const [range, status, from, to] of SINGLE) {
  test(`Range: ${range} is answered with ${status}`, async () => {
    await using service = await serve();
    const response = await get(service, { range });
    assert.equal(response.status, status);
    if (status === 416) {
      assert.equal(response.headers.get("content-range"), "bytes */1000");
      assert.equal(((await response.json()) as { code: string }).code, "range-not-satisfiable");
      return;
    }
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), BYTES.subarray(from, to));
    assert.equal(response.headers.get("content-range"), status === 206 ? `bytes ${from}-${to - 1}/1000` : null);
  });
}

test("several ranges come as parts, each with its place", async () => {
  await using service = await serve();
  const response = await get(service, { range: "bytes=0-1, 10-14 ,-3" });
  assert.equal(response.status, 206);
  const boundary = /^multipart\/byteranges; boundary=(\S+)$/.exec(response.headers.get("content-type") ?? "")?.[1];
  const body = Buffer.from(await response.arrayBuffer());
  assert.equal(String(body.length), response.headers.get("content-length"));
  const parts = body.toString("latin1").split(`--${boundary}`).slice(1, -1);
  const read = parts.map((part) => {
    const [head = "", content = ""] = part.split("\r\n\r\n");
    assert.match(head, /Content-Type: application\/octet-stream/);
    return [/Content-Range: (.*)/.exec(head)?.[1], Buffer.from(content.slice(0, -2), "latin1")];
  });
  assert.deepEqual(read, [
    ["bytes 0-1/1000", BYTES.subarray(0, 2)],
    ["bytes 10-14/1000", BYTES.subarray(10, 15)],
    ["bytes 997-999/1000", BYTES.subarray(997)],
  ]);
});

test("too many ranges are answered with the whole file", async () => {
  await using service = await serve();
  const ranges = (count: number): string =>
    `bytes=${Array.from({ length: count }, (_, n) => `${n * 2}-${n * 2}`).join(",")}`;
  assert.equal((await get(service, { range: ranges(16) })).status, 206);
  assert.equal((await get(service, { range: ranges(17) })).status, 200);
  assert.equal((await get(service, { range: ranges(1300) })).status, 200);
});

test("If-Range keeps the range for the file's own tag and drops it for any other", async () => {
  await using service = await serve();
  const range = "bytes=0-1";
  assert.equal((await get(service, { range, "if-range": ETAG })).status, 206);
  for (const other of [`"${sha256("x")}"`, `W/${ETAG}`, "Wed, 21 Oct 2015 07:28:00 GMT", "nonsense"]) {
    assert.equal((await get(service, { range, "if-range": other })).status, 200, other);
  }
});

test("If-None-Match and If-Match", async () => {
  await using service = await serve();
  for (const same of [ETAG, `W/${ETAG}`, `"x", ${ETAG}`, "*"]) {
    const response = await get(service, { "if-none-match": same });
    assert.equal(response.status, 304, same);
    assert.equal(response.headers.get("etag"), ETAG);
    assert.equal(response.headers.get("cache-control"), "public, max-age=31536000, immutable");
  }
  assert.equal((await get(service, { "if-none-match": '"x"' })).status, 200);
  assert.equal((await get(service, { "if-match": ETAG })).status, 200);
  for (const other of ['"x"', `W/${ETAG}`]) {
    const response = await get(service, { "if-match": other });
    assert.equal(response.status, 412);
    assert.equal(((await response.json()) as { code: string }).code, "precondition-failed");
  }
});

test("a revalidation does not touch the store", async () => {
  const store = memoryStore();
  await using service = await serve({ store });
  const touched: string[] = [];
  for (const name of ["stat", "open", "confirm"] as const) store[name] = async () => (touched.push(name), null);
  assert.equal((await get(service, { "if-none-match": ETAG })).status, 304);
  assert.deepEqual(touched, []);
  assert.equal((await get(service)).status, 404);
  assert.deepEqual(touched, ["open"]);
});

test("what a browser would run is a download; what it only shows is shown", async () => {
  await using service = await serve();
  const disposition = async (extension: string): Promise<string | null> =>
    (await get(service, {}, extension)).headers.get("content-disposition");
  for (const extension of [
    ".html",
    ".htm",
    ".xhtml",
    ".svg",
    ".xml",
    ".pdf",
    ".js",
    ".mjs",
    ".css",
    ".zip",
    ".mht",
    "",
  ]) {
    assert.equal(await disposition(extension), "attachment", extension);
  }
  for (const extension of [".png", ".jpg", ".webp", ".avif", ".mp3", ".mp4", ".txt"]) {
    assert.equal(await disposition(extension), null, extension);
  }
});

test("a download has the requested name, in any script, and the name cannot add header fields", async () => {
  await using service = await serve();
  const disposition = async (query: string): Promise<string | null> =>
    (await get(service, {}, `.png?${query}`)).headers.get("content-disposition");
  assert.match((await disposition("filename=a%20b.png")) ?? "", /^inline; filename="a b\.png"$/);
  assert.match((await disposition("download&filename=a.png")) ?? "", /^attachment; filename="?a\.png"?$/);
  assert.equal(await disposition("download"), "attachment");
  assert.match(
    (await disposition(`filename=${encodeURIComponent("写真.png")}`)) ?? "",
    /filename\*=UTF-8''%E5%86%99%E7%9C%9F\.png/,
  );
  const injected = await get(service, {}, `.png?filename=${encodeURIComponent('a"\r\nX-Evil: 1\r\n\r\n<script>.png')}`);
  assert.equal(injected.headers.get("x-evil"), null);
  assert.equal((await injected.arrayBuffer()).byteLength, 1000);
});

test("a missing file and an invalid link have errors of their own", async () => {
  await using service = await serve();
  const code = async (path: string): Promise<unknown> => {
    const response = await fetch(`${service.url}/uploads/${path}`);
    return [response.status, ((await response.json()) as { code: string }).code];
  };
  assert.deepEqual(await code(sha256("absent")), [404, "blob-not-found"]);
  // an address that somebody opens in a browser
  for (const path of [sha256("absent"), `${sha256("absent")}.png`, "nothing-here", ""]) {
    const accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    const response = await fetch(`${service.url}/uploads/${path}`, { headers: { accept } });
    assert.deepEqual([response.status, response.headers.get("content-type")], [404, "text/html; charset=utf-8"], path);
    assert.deepEqual(
      [response.headers.get("vary"), response.headers.get("cache-control")],
      ["Accept", "no-store"],
      path,
    );
    assert.match(await response.text(), /<h1>/);
  }
  for (const path of [
    HEX.toUpperCase(),
    HEX.slice(1),
    `${HEX}0`,
    `x/${HEX}`,
    `${HEX}%2Epng`,
    `%2e%2e%2f${HEX}`,
    `${HEX}.p%00g`,
  ]) {
    assert.deepEqual(await code(path), [404, "not-found"], path);
  }
});

test("removal needs permission, and invalidates every link to the file", async () => {
  await using closed = await serve();
  const refused = await fetch(`${closed.url}/uploads/${HEX}`, { method: "DELETE" });
  assert.equal(refused.status, 403);
  await using open = await Service.start({ authorize: () => {} });
  await open.fixity.put(BYTES);
  assert.equal((await fetch(`${open.url}/uploads/${HEX}.png`, { method: "DELETE" })).status, 204);
  assert.equal((await get(open, {}, ".jpg")).status, 404);
  assert.equal((await fetch(`${open.url}/uploads/${HEX}`, { method: "DELETE" })).status, 404);
});

test("no Want-Repr-Digest changes an answer that shared caches keep for everybody", async () => {
  await using service = await serve();
  const expected = (await get(service)).headers.get("repr-digest");
  assert.match(expected ?? "", /^sha-256=:.+:$/);
  for (const wanted of ["sha-256=0", "sha-512=3", "sha-512=3, sha-256=0", "sha-512=3, sha-256=10", "(((", ""]) {
    const { headers } = await get(service, { "want-repr-digest": wanted });
    assert.equal(headers.get("repr-digest"), expected, wanted);
  }
});

const EMPTY_HEX = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

for (const range of ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0", "bytes=5-", "bytes=0-1,3-4", "bytes=5-2"]) {
  for (const ifRange of [undefined, `"sha256:${EMPTY_HEX}"`, '"other"']) {
    test(`an empty file is served whole for Range: ${range}${ifRange === undefined ? "" : ` with If-Range: ${ifRange}`}`, async () => {
      await using service = await serve();
      const stored = await fetch(`${service.url}/uploads`, {
        method: "POST",
        body: "",
        headers: { "content-type": "text/plain" },
      });
      assert.equal(stored.status, 201);
      const headers = { range, ...(ifRange !== undefined && { "if-range": ifRange }) };
      const response = await fetch(`${service.url}/uploads/${EMPTY_HEX}.txt`, { headers });
      assert.equal(response.status, 200);
      assert.equal(response.headers.get("content-length"), "0");
      assert.equal(response.headers.get("content-range"), null);
      assert.equal(await response.text(), "");
    });
  }
}
