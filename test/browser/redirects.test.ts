/** A page's own header fields, where the service refers the browser to another origin. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { RequestListener } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { listen } from "../helpers/listen.ts";
import { sha256 } from "../helpers/service.ts";
import { needingChromium, openBrowser } from "./browser.ts";
import { type ClientSite, openClientSite } from "./client-site.ts";
import { openWatchedPage } from "./watched-page.ts";

const TEXT = "the bytes of the file";
const HEX = sha256(TEXT);
const KEYS = { Authorization: "Bearer secret", "X-Api-Key": "secret" };
const retry = { attempts: 0 };

let folder = "";
let site: ClientSite;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
  site = await openClientSite();
});
after(async () => {
  await site[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** A server that allows every page everything, as a bucket with a careless policy does. */
function allowing(seen: string[], listener: RequestListener): RequestListener {
  return (request, response) => {
    response.setHeader("Access-Control-Allow-Origin", "*");
    response.setHeader("Access-Control-Allow-Headers", "*, Authorization");
    response.setHeader("Access-Control-Allow-Methods", "*");
    response.setHeader("Access-Control-Expose-Headers", "*");
    request.resume();
    if (request.method === "OPTIONS") {
      response.writeHead(204).end();
      return;
    }
    const secrets = ["authorization", "x-api-key"].filter((name) => name in request.headers);
    seen.push([request.method, ...secrets].join(" "));
    listener(request, response);
  };
}

void test("in a browser, other origins see none of the client's header fields", needingChromium(), async () => {
  await using browser = await openBrowser();
  const there: string[] = [];
  const here: string[] = [];
  await using target = await listen(
    allowing(there, (_, response) => {
      const fields = { ETag: `"${HEX}"`, "Content-Type": "text/plain", "Content-Length": TEXT.length };
      response.writeHead(200, fields).end(TEXT);
    }),
  );
  await using service = await listen(
    allowing(here, ({ url }, response) => {
      response.writeHead(307, { Location: `${target.url}${url}` }).end();
    }),
  );
  const endpoint = `${service.url}/uploads`;
  const { page } = await openWatchedPage(browser.context, `http://127.0.0.1:${site.port}/`);
  for (const headers of [KEYS, { Authorization: KEYS.Authorization }]) {
    const options = { endpoint, headers, retry };
    const got = await page.evaluate(([options, hex]) => window.download(options, hex), [options, HEX] as const);
    assert.deepEqual(got, { text: TEXT, code: null });
  }
  // once with the key, which shows that it is a redirect, and once without
  assert.deepEqual(here, ["GET authorization x-api-key", "GET authorization", "GET authorization"]);
  assert.deepEqual(there, ["GET", "GET"]);
  there.length = 0;
  for (const size of [3, 3 * 1024 ** 2]) {
    const path = join(folder, `${size}`);
    await writeFile(path, Buffer.alloc(size));
    await page.setInputFiles("#file", path);
    const failing = page.evaluate((options) => window.upload(options), { endpoint, headers: KEYS, retry });
    await assert.rejects(failing, /redirects uploads to another address/);
  }
  assert.deepEqual(there, []);
});
