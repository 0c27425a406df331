import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import Fastify from "fastify";
import { fixityPlugin } from "../../src/fastify.ts";
import { fetchHandler } from "../../src/fetch.ts";
import { type BlobStore, createFixity } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import { nodeHandler } from "../../src/node.ts";
import { Service, type ServiceOptions, sha256 } from "../helpers/service.ts";

const BYTES = Buffer.from("<script>alert(1)</script>");
const HEX = sha256(BYTES);
const BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

async function serve(options: ServiceOptions = {}): Promise<Service> {
  const service = await Service.start(options);
  await service.fixity.put(BYTES);
  return service;
}

const get = (service: Service, tail: string, headers: Record<string, string> = {}, method = "GET"): Promise<Response> =>
  fetch(`${service.url}/uploads/${HEX}${tail}`, { headers, method });

const hashOf = (text: string | undefined): string =>
  `'sha256-${createHash("sha256")
    .update(text ?? "")
    .digest("base64")}'`;

/** The directives of a policy, by their names. */
function policyOf(response: Response): Readonly<Record<string, string>> {
  const text = response.headers.get("content-security-policy") ?? "";
  return Object.fromEntries(text.split("; ").map((part) => [part.split(" ", 1)[0] ?? "", part]));
}

test("a link has a page, with the facts of the file and nothing of what is in it", async () => {
  await using service = await serve();
  const response = await get(service, ".html?view");
  assert.equal(response.status, 200);
  const { headers } = response;
  assert.equal(headers.get("content-type"), "text/html; charset=utf-8");
  assert.equal(headers.get("cache-control"), "no-cache");
  assert.equal(headers.get("x-content-type-options"), "nosniff");
  assert.equal(headers.get("referrer-policy"), "no-referrer");
  assert.equal(headers.get("x-robots-tag"), "noindex");
  assert.equal(headers.get("cross-origin-opener-policy"), "same-origin");
  assert.equal(headers.get("x-frame-options"), "DENY");
  assert.match(headers.get("etag") ?? "", /^"[\w-]{22}"$/);
  assert.notEqual(headers.get("etag"), `"${HEX}"`);
  // these are about the file, which the page is not
  for (const name of ["repr-digest", "accept-ranges", "content-disposition", "vary"])
    assert.equal(headers.get(name), null);
  const page = await response.text();
  assert.ok(
    page.includes(HEX) && page.includes("<dd>25 bytes</dd>") && page.includes("<dd>text/html; charset=utf-8</dd>"),
  );
  assert.ok(!page.includes("alert(1)"));
});

test("the page may use its own style and script, load what it shows, and nothing else", async () => {
  await using service = await serve();
  const shown = { png: ["img-src", "data: 'self'"], mp4: ["media-src", "'self'"], txt: ["frame-src", "'self'"] };
  for (const [extension, [directive = "", sources]] of Object.entries(shown)) {
    const response = await get(service, `.${extension}?view`);
    const page = await response.text();
    assert.deepEqual(policyOf(response), {
      "default-src": "default-src 'none'",
      "style-src": `style-src ${hashOf(/<style>([^]*?)<\/style>/.exec(page)?.[1])}`,
      "script-src": `script-src ${hashOf(/<script>([^]*?)<\/script>/.exec(page)?.[1])}`,
      "img-src": "img-src data:",
      [directive]: `${directive} ${sources}`,
      "base-uri": "base-uri 'none'",
      "form-action": "form-action 'none'",
      "frame-ancestors": "frame-ancestors 'none'",
    });
  }
  const { "img-src": images, ...others } = policyOf(await get(service, ".zip?view"));
  assert.equal(images, "img-src data:");
  assert.ok(!("frame-src" in others) && !("media-src" in others));
});

test("HEAD returns the fields of GET, without the page", async () => {
  await using service = await serve();
  const [head, full] = [await get(service, ".png?view", {}, "HEAD"), await get(service, ".png?view")];
  const facts = (response: Response): unknown =>
    [...response.headers].filter(([name]) => !["date", "connection", "keep-alive"].includes(name));
  assert.deepEqual(facts(head), facts(full));
  assert.equal(head.headers.get("content-length"), String((await full.arrayBuffer()).byteLength));
  assert.equal(await head.text(), "");
});

test("a page that is known is not sent again, and the file's own tag is not the page's", async () => {
  await using service = await serve();
  const etag = (await get(service, ".png?view")).headers.get("etag") ?? "";
  const known = await get(service, ".png?view", { "if-none-match": etag });
  assert.deepEqual([known.status, known.headers.get("etag"), await known.text()], [304, etag, ""]);
  assert.equal((await get(service, ".png?view", { "if-none-match": `"${HEX}"` })).status, 200);
  assert.equal((await get(service, ".png?view&filename=a.png", { "if-none-match": etag })).status, 200);
  assert.equal((await get(service, ".png?view", { "if-match": etag })).status, 200);
  assert.equal((await get(service, ".png?view", { "if-match": `"${HEX}"` })).status, 412);
  await service.fixity.remove((await Array.fromAsync(service.fixity.list()))[0]?.digest ?? assert.fail());
  assert.equal((await get(service, ".png?view", { "if-none-match": etag })).status, 404);
});

test("ranges are of files, not of pages", async () => {
  await using service = await serve();
  const response = await get(service, ".png?view", { range: "bytes=0-3" });
  assert.equal(response.status, 200);
  assert.match(await response.text(), /^<!doctype html>/);
});

test("a link without a file has a page for people and a problem for programs, both 404", async () => {
  await using service = await Service.start();
  const page = await get(service, ".png?view", { accept: BROWSER });
  assert.deepEqual([page.status, page.headers.get("content-type")], [404, "text/html; charset=utf-8"]);
  assert.match(await page.text(), /<h1>No such file<\/h1>/);
  assert.equal(policyOf(page)["script-src"], undefined);
  const problem = await get(service, ".png?view", { accept: "*/*" });
  assert.deepEqual([problem.status, ((await problem.json()) as { code: string }).code], [404, "blob-not-found"]);
  for (const { headers } of [page, problem]) {
    assert.equal(headers.get("vary"), "Accept");
    assert.equal(headers.get("cache-control"), "no-store");
    assert.notEqual(headers.get("x-request-id"), null);
  }
  const head = await get(service, ".png?view", { accept: BROWSER }, "HEAD");
  assert.deepEqual([head.status, head.headers.get("content-length")], [404, page.headers.get("content-length")]);
});

test("the name of the address is the name on the page, cleaned, and as text", async () => {
  await using service = await serve();
  const name = encodeURIComponent('../<b>"\u202egnp.exe');
  const page = await (await get(service, `.png?view&filename=${name}`)).text();
  assert.match(page, /<h1 dir="auto">&lt;b&gt;&quot;gnp\.exe\.png<\/h1>/);
  assert.ok(!page.includes("<b>") && !page.includes("\u202e"));
});

test("?download returns the file, with ?view or without", async () => {
  await using service = await serve();
  const response = await get(service, ".png?view&download");
  assert.deepEqual(Buffer.from(await response.arrayBuffer()), BYTES);
  assert.equal(response.headers.get("content-disposition"), "attachment");
});

test("the bytes of the file are not read for its page, unless it is an image", async () => {
  const inner = memoryStore();
  const store: BlobStore = new Proxy(inner, {
    get(target, name) {
      if (name === "open") return () => assert.fail("opened");
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
  // A small file is otherwise verified before its page is shown.
  await using service = await serve({ store, verifyReads: "never" });
  for (const extension of [".txt", ".html", ".mp4", ".svg", ".zip", ""]) {
    assert.equal((await get(service, `${extension}?view`)).status, 200, extension);
  }
});

test("an image of more than 50 megapixels is not loaded, by whatever extension it goes", async () => {
  await using service = await Service.start();
  const sizeOf = (width: number, height: number): Buffer => {
    const head = Buffer.from("\x89PNG\r\n\x1a\n\0\0\0\rIHDR________\x01\0\0\0\0", "latin1");
    head.writeUInt32BE(width, 16);
    head.writeUInt32BE(height, 20);
    return head;
  };
  const viewed = async (content: Buffer, extension: string): Promise<string> => {
    const { url } = await service.fixity.put(content, { extension });
    return (await fetch(`${service.url}${url}?view`)).text();
  };
  for (const extension of ["png", "jpg", "webp", "ico"]) {
    assert.match(await viewed(sizeOf(10_000, 5000), extension), /<figure class="preview"><img /);
    const large = await viewed(sizeOf(10_000, 5001), extension);
    assert.match(large, /<p class="reason">The image is too large to be shown here\.<\/p>/);
    assert.doesNotMatch(large, /<img|og:image/);
  }
  // its size stands behind more than is read
  const segment = Buffer.concat([Buffer.from([0xff, 0xe1, 0xff, 0xff]), Buffer.alloc(0xfffd)]);
  const late = Buffer.concat([Buffer.from([0xff, 0xd8]), ...Array.from({ length: 20 }, () => segment)]);
  assert.match(await viewed(late, "jpg"), /The image is too large to be shown here/);
  assert.match(await viewed(Buffer.concat([late.subarray(0, 900_000), sizeOf(1, 1)]), "jpg"), /<img /);
});

test("a name from the address keeps the extension of the link, as heading and as download", async () => {
  await using service = await serve();
  const page = await (await get(service, ".png?view&filename=setup.exe")).text();
  assert.match(page, /<h1 dir="auto">setup\.exe\.png<\/h1>/);
  assert.match(page, /download="setup\.exe\.png"/);
  const download = await get(service, ".png?download&filename=setup.exe");
  assert.equal(download.headers.get("content-disposition"), "attachment; filename=setup.exe.png");
});

test("a client that may not read a file gets no page about it", async () => {
  const asked: string[] = [];
  await using service = await serve({ authorize: ({ action }) => void asked.push(action) });
  await get(service, ".png?view");
  assert.deepEqual(asked, ["view"]);
});

test("absolute addresses come from the public URL, never from the request", async () => {
  const told = { "x-forwarded-host": "evil.example" };
  await using relative = await serve();
  const plain = await (await get(relative, ".png?view", told)).text();
  assert.ok(plain.includes(`>/uploads/${HEX}.png</code>`));
  assert.ok(!plain.includes("evil.example") && !plain.includes(relative.url));
  await using absolute = await serve({ publicUrl: "https://files.example.com" });
  const page = await (await get(absolute, ".png?view", told)).text();
  assert.ok(page.includes(`>https://files.example.com/uploads/${HEX}.png</code>`));
});

test("a link of an embedded service has no page unless the app wants one", async () => {
  const fixity = createFixity({ store: memoryStore() });
  const { url } = await fixity.put(BYTES, { filename: "dot.png" });
  for (const [view, type] of [
    [undefined, "image/png"],
    [false, "image/png"],
    [true, "text/html; charset=utf-8"],
  ] as const) {
    const options = view === undefined ? {} : { view };
    const app = Fastify();
    await app.register(fixityPlugin, { fixity, ...options });
    const { headers } = await app.inject(`${url}?view`);
    assert.equal(headers["content-type"], type, `Fastify, ${view}`);
    const request = new Request(`http://localhost${url}?view`);
    const answer = await fetchHandler(fixity, options)(request);
    assert.equal(answer.headers.get("content-type"), type, `Fetch, ${view}`);
    const server = createServer(nodeHandler(fixity, options)).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const response = await fetch(`http://127.0.0.1:${port}${url}?view`);
    assert.equal(response.headers.get("content-type"), type, `Node, ${view}`);
    await response.arrayBuffer();
    server.close();
  }
});

test("PUT and DELETE of a link know nothing of ?view", async () => {
  await using service = await Service.start({ authorize: () => {} });
  const url = `${service.url}/uploads/${HEX}.png?view`;
  assert.equal((await fetch(url, { method: "PUT", body: BYTES })).status, 201);
  assert.equal((await fetch(url, { method: "DELETE" })).status, 204);
});
