/** Downloads in a page behind what compresses text: browsers ask for that by themselves, and a page cannot prevent it. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { FrontServer } from "../helpers/front-server.ts";
import { listen } from "../helpers/listen.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { needingChromium, openBrowser } from "./browser.ts";
import { openClientSite } from "./client-site.ts";
import { openWatchedPage } from "./watched-page.ts";

const TEXT = "a line of text that compresses well\n".repeat(10_000);
const HEX = sha256(TEXT);
const skip = needing("nginx").skip || needingChromium().skip;

void test("a page downloads compressed text, with or without a length, and the digest decides", { skip }, async () => {
  const folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
  await using site = await openClientSite();
  const origin = `http://127.0.0.1:${site.port}`;
  await using server = await ServerProcess.start({ dir: join(folder, "data"), env: { UPLOAD_CORS_ORIGINS: origin } });
  const body = new Blob([TEXT]);
  assert.equal((await fetch(`${server.url}/uploads?filename=a.txt`, { method: "POST", body })).status, 201);
  const config =
    "server { listen 80; gzip on; gzip_types *; gzip_proxied any; location / { proxy_pass http://127.0.0.1:3000; } }";
  await using front = await FrontServer.nginxWith(config, { "http://127.0.0.1:3000": server.url });
  const zipped = gzipSync(TEXT);
  // of a CDN that keeps compressed files; the page sees the length, and not that it is one of compressed bytes
  await using cdn = await listen((_, response) => {
    const fields = { "Access-Control-Allow-Origin": "*", "Content-Encoding": "gzip", "Content-Length": zipped.length };
    response.writeHead(200, fields).end(zipped);
  });
  await using browser = await openBrowser();
  const { page } = await openWatchedPage(browser.context, `${origin}/`);
  for (const base of [`http://127.0.0.1:${front.port}`, cdn.url]) {
    const options = { endpoint: `${base}/uploads`, retry: { attempts: 0 } };
    const got = await page.evaluate(([options, link]) => window.download(options, link), [
      options,
      `${HEX}.txt`,
    ] as const);
    assert.deepEqual([got.code, got.text === TEXT], [null, true], base);
  }
  const options = { endpoint: `${cdn.url}/uploads`, retry: { attempts: 0 } };
  const wrong = await page.evaluate(([options, link]) => window.download(options, link), [
    options,
    sha256("b"),
  ] as const);
  assert.equal(wrong.code, "digest-mismatch");
  await rm(folder, { recursive: true, force: true });
});
