/** A page's own header fields, where the service redirects the browser to another origin. In all engines: origins.full.test.ts. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { needingChromium, openBrowser } from "./browser.ts";
import { type ClientSite, openClientSite } from "./client-site.ts";
import { KEYS, retry, startRedirecting, TEXT } from "./redirecting.ts";
import { openWatchedPage } from "./watched-page.ts";

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

void test("in a browser, other origins see none of the client's header fields", needingChromium(), async () => {
  await using browser = await openBrowser();
  await using redirecting = await startRedirecting();
  const { endpoint, hex, here, there } = redirecting;
  const { page } = await openWatchedPage(browser.context, `http://127.0.0.1:${site.port}/`);
  for (const headers of [KEYS, { Authorization: KEYS.Authorization }]) {
    const options = { endpoint, headers, retry };
    const got = await page.evaluate(([options, hex]) => window.download(options, hex), [options, hex] as const);
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
