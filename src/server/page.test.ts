import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import Fastify, { type FastifyInstance } from "fastify";
import { fillPage, isPagePath, type PageFacts, PageFiles, servePage } from "./page.ts";

const FACTS: PageFacts = {
  uploads: "/uploads",
  address: null,
  maxSize: 1024,
  needsToken: false,
  revealsExisting: true,
  reads: "public",
  view: true,
};

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
});
after(() => rm(folder, { recursive: true, force: true }));

async function app(facts: PageFacts = FACTS): Promise<FastifyInstance> {
  const app = Fastify();
  servePage(app, await PageFiles.load(), facts);
  return app;
}

/** The paths of the files that the page names. */
async function named(server: FastifyInstance): Promise<readonly string[]> {
  const { body } = await server.inject("/");
  return [...body.matchAll(/(?:src|href)="\.(\/page\/[^"]+)"/g)].map(([, path = ""]) => path);
}

test("the page contains the path, the limit, and whether a token is required", async () => {
  const { body, headers } = await (await app({ ...FACTS, needsToken: true })).inject("/");
  assert.match(headers["content-type"] ?? "", /^text\/html/);
  for (const part of [
    'action="./uploads"',
    'data-max-size="1024"',
    "up to 1 KiB",
    'data-needs-token="true"',
    'data-view="true"',
  ])
    assert.ok(body.includes(part), part);
  assert.ok(!body.includes("{{"));
});

test("filled-in facts are escaped as text", () => {
  const address = `"><script>alert('x')</script>&amp;`;
  const filled = fillPage('<form action="{{address}}">{{unknown}}</form>', { ...FACTS, address });
  assert.equal(filled, '<form action="&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;amp;"></form>');
});

test("every file that the page names is served with its type and may be cached for a year", async () => {
  const server = await app();
  const types: Record<string, string> = { svg: "image/svg+xml", css: "text/css", js: "text/javascript" };
  const paths = await named(server);
  assert.deepEqual(new Set(paths.map((path) => path.split(".").at(-1))), new Set(Object.keys(types)));
  for (const path of paths) {
    const { statusCode, headers } = await server.inject(path);
    assert.equal(statusCode, 200, path);
    assert.equal(headers["content-type"]?.split(";")[0], types[path.split(".").at(-1) ?? ""], path);
    assert.equal(headers["cache-control"], "public, max-age=31536000, immutable");
  }
});

test("a file is sent in the smallest coding that the client accepts", async () => {
  const server = await app();
  const script = (await named(server)).find((path) => /\/index-[^/]*\.js$/.test(path)) ?? "";
  const plain = await server.inject(script);
  assert.equal(plain.headers["content-encoding"], undefined);
  for (const [accepted, coding, decode] of [
    ["gzip, deflate, br", "br", brotliDecompressSync],
    ["gzip", "gzip", gunzipSync],
  ] as const) {
    const { headers, rawPayload } = await server.inject({ url: script, headers: { "accept-encoding": accepted } });
    assert.deepEqual([headers["content-encoding"], headers.vary], [coding, "Accept-Encoding"]);
    assert.deepEqual(decode(rawPayload), plain.rawPayload, coding);
    assert.ok(rawPayload.length < plain.rawPayload.length / 2);
  }
});

test("no path leads out of the page's folder", async () => {
  const server = await app();
  const script = (await named(server)).find((path) => /\/index-[^/]*\.js$/.test(path)) ?? "";
  for (const path of [
    "/page/",
    "/page/nothing.js",
    "/page/..%2findex.html",
    "/page/..%2f..%2f..%2fpackage.json",
    "/page/%2e%2e%2findex.html",
    `${script}.br`,
    `${script}%00`,
    "/page/__proto__",
  ]) {
    const { statusCode } = await server.inject(path);
    assert.ok(statusCode >= 400 && statusCode < 600 && statusCode !== 200, `${path}: ${statusCode}`);
  }
});

test("the paths of the page are recognized, so that the uploads cannot use them", () => {
  for (const path of ["/", "/page", "/page/uploads"]) assert.ok(isPagePath(path), path);
  for (const path of ["/uploads", "/pages", "/a/page"]) assert.ok(!isPagePath(path), path);
});

test("an unchanged page is not sent again", async () => {
  const server = await app();
  const etag = (await server.inject("/")).headers.etag ?? "";
  for (const field of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
    const { statusCode, body, headers } = await server.inject({ url: "/", headers: { "if-none-match": field } });
    assert.deepEqual([statusCode, body, headers.etag], [304, "", etag], field);
  }
  const { statusCode } = await server.inject({ url: "/", headers: { "if-none-match": '"other"' } });
  assert.equal(statusCode, 200);
});

test("the page may load its own files and nothing else, and only its worker may compile", async () => {
  const server = await app();
  const { headers } = await server.inject("/");
  const policy = String(headers["content-security-policy"]);
  assert.match(policy, /^default-src 'none'; script-src 'sha256-[^ ]+' 'strict-dynamic'; style-src 'self'; /);
  assert.match(policy, /; require-trusted-types-for 'script'; trusted-types fixity-worker$/);
  assert.doesNotMatch(policy, /unsafe|data:|https?:/);
  const asset = await server.inject((await named(server))[0] ?? "");
  assert.equal(asset.headers["content-security-policy"], "default-src 'none'; script-src 'wasm-unsafe-eval'");
});

test("the policy allows the inline script by its digest, and that script loads another by its digest", async () => {
  const server = await app();
  const { body, headers } = await server.inject("/");
  const script = (await named(server)).find((path) => /\/index-[^/]*\.js$/.test(path)) ?? "";
  const digest = `sha256-${createHash("sha256")
    .update((await server.inject(script)).rawPayload)
    .digest("base64")}`;
  assert.ok(body.includes(` src=".${script}" integrity="${digest}"></script></template>`));
  const scripts = [...body.matchAll(/<script>([^]*?)<\/script>/g)].map(([, text]) => text ?? "");
  assert.equal(scripts.length, 1);
  const starter = createHash("sha256")
    .update(scripts[0] ?? "")
    .digest("base64");
  assert.ok(String(headers["content-security-policy"]).includes(`script-src 'sha256-${starter}' 'strict-dynamic'`));
});

test("no other page can access the page's window or frame it", async () => {
  const server = await app();
  const etag = (await server.inject("/")).headers.etag ?? "";
  for (const sent of [{}, { "if-none-match": etag }]) {
    const { headers } = await server.inject({ url: "/", headers: sent });
    assert.equal(headers["cross-origin-opener-policy"], "same-origin");
    assert.equal(headers["x-frame-options"], "DENY");
  }
});

test("without a built page a plain form is served", async () => {
  await mkdir(join(folder, "empty"));
  const files = await PageFiles.load(pathToFileURL(join(folder, "empty/")));
  assert.equal(files, null);
  const server = Fastify();
  servePage(server, files, FACTS);
  const { statusCode, body } = await server.inject("/");
  assert.equal(statusCode, 200);
  assert.match(body, /<form method="post" action="\.\/uploads" enctype="multipart\/form-data">/);
  assert.doesNotMatch(body, /<script|\{\{/);
  assert.doesNotMatch(String((await server.inject("/")).headers["content-security-policy"]), /script-src/);
});

test("an unreadable page is an error, not a missing build", async () => {
  await mkdir(join(folder, "broken/index.html"), { recursive: true });
  await writeFile(join(folder, "broken/page"), "");
  await assert.rejects(PageFiles.load(pathToFileURL(join(folder, "broken/"))));
});

// Uppy's core and Dashboard, the client, and all that the page does itself: 93 kB when this was
// written
test("a browser loads at most 105 kB first", async () => {
  const server = await app();
  let sum = 0;
  for (const path of await named(server)) {
    const { rawPayload } = await server.inject({ url: path, headers: { "accept-encoding": "br" } });
    sum += rawPayload.length;
  }
  assert.ok(sum <= 105_000, `${sum} bytes`);
});
