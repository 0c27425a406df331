/** The client in a real browser, from pages of another origin with a strict Content-Security-Policy. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { appendFileSync } from "node:fs";
import { mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { BrowserContext, Page, Request } from "playwright-core";
import { BreakingProxy } from "../helpers/breaking-proxy.ts";
import { listen } from "../helpers/listen.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { stored } from "../helpers/stored.ts";
import { needingChromium, openBrowser } from "./browser.ts";
import type { PageDownload } from "./client-page.ts";
import { type ClientSite, openClientSite } from "./client-site.ts";
import { openWatchedPage, type WatchedPage } from "./watched-page.ts";

const MIB = 1024 ** 2;
const browserTest = (name: string, run: () => Promise<void>): void => void test(name, needingChromium(), run);

let folder = "";
let site: ClientSite;
let server: ServerProcess;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
  site = await openClientSite();
  const origins = [`http://127.0.0.1:${site.port}`, `http://plain.test:${site.port}`].join();
  server = await ServerProcess.start({ dir: join(folder, "data"), env: { UPLOAD_CORS_ORIGINS: origins } });
});
after(async () => {
  await server.stop();
  await site[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

function openPage(context: BrowserContext, host = "127.0.0.1"): Promise<WatchedPage> {
  return openWatchedPage(context, `http://${host}:${site.port}/`);
}

async function chosen(page: Page, name: string, bytes: Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  await page.setInputFiles("#file", path);
  return path;
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) {
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
}

browserTest("a file is sent in appends with its digest, and its link names its bytes", async () => {
  await using browser = await openBrowser();
  const { page, sent, complaints } = await openPage(browser.context);
  // On a line that is faster than hashing, the client does without the digest.
  const devtools = await browser.context.newCDPSession(page);
  const line = { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 16 * MIB };
  await devtools.send("Network.emulateNetworkConditions", line);
  const bytes = randomBytes(40 * MIB);
  await chosen(page, "film.mp4", bytes);
  const outcome = await page.evaluate((endpoint) => window.upload({ endpoint }), `${server.url}/uploads`);
  assert.equal(outcome.url, `${server.url}/uploads/${sha256(bytes)}.mp4`);
  assert.equal(await stored(outcome.url), sha256(bytes));
  assert.deepEqual([outcome.existed, outcome.sent, outcome.from], [false, bytes.length, 0]);
  assert.equal(outcome.phases[0], "sending");
  assert.equal(outcome.phases.at(-1), "storing");
  const last = sent.findLast((request) => request.method() === "PATCH");
  assert.ok((await last?.allHeaders())?.["repr-digest"]?.startsWith("sha-256=:"));
  assert.deepEqual(complaints, []);
  assert.equal(await page.evaluate(() => localStorage.length), 0);
});

browserTest("sending stops when the server has the content", async () => {
  const bytes = randomBytes(64 * MIB);
  const options = { method: "POST", body: bytes };
  assert.equal((await fetch(`${server.url}/uploads`, options)).status, 201);
  await using browser = await openBrowser();
  const { page } = await openPage(browser.context);
  // the connection that sends stands still: the upload can end in no other way
  await using proxy = await BreakingProxy.start(server.port, { up: 2 * MIB, holds: true, times: 1 });
  await chosen(page, "again.txt", bytes);
  const outcome = await page.evaluate((endpoint) => window.upload({ endpoint }), `${proxy.url}/uploads`);
  assert.equal(outcome.url, `${proxy.url}/uploads/${sha256(bytes)}.txt`);
  assert.equal(outcome.existed, true);
  // the first part, and nothing behind it
  assert.ok(outcome.sent <= 16 * MIB, `${outcome.sent}`);
});

browserTest("an upload resumes by itself after the server was killed and started again", async () => {
  const dir = join(folder, "killed");
  const env = { UPLOAD_CORS_ORIGINS: `http://127.0.0.1:${site.port}` };
  await using first = await ServerProcess.start({ dir, env });
  await using browser = await openBrowser();
  const { page, sent } = await openPage(browser.context);
  const bytes = randomBytes(160 * MIB);
  await chosen(page, "killed.bin", bytes);
  // the second part goes on its way when the first one, of 16 MiB, is durable
  const underWay = page.waitForRequest((request) => request.headers()["upload-offset"] === String(16 * MIB));
  const options = { endpoint: `${first.url}/uploads`, retry: { minDelay: 10, maxDelay: 100, attempts: 1000 } };
  const uploaded = page.evaluate((to) => window.upload(to, { declare: true }), options);
  await underWay;
  await first.stop("SIGKILL");
  await using second = await ServerProcess.start({ dir, env: { ...env, PORT: String(first.port) } });
  const outcome = await uploaded;
  assert.equal(outcome.url, `${second.url}/uploads/${sha256(bytes)}.bin`);
  assert.equal(await stored(outcome.url), sha256(bytes));
  const offsets = sent.map((request) => request.headers()["upload-offset"]);
  assert.equal(offsets.filter((offset) => offset === "0").length, 1, offsets.join());
  assert.ok(sent.filter((request) => request.method() === "HEAD").length > 0);
});

browserTest("a reloaded page resumes from the server's offset", async () => {
  await using browser = await openBrowser();
  const { page, sent } = await openPage(browser.context);
  await using proxy = await BreakingProxy.start(server.port, { up: 20 * MIB, holds: true, times: 1 });
  const bytes = randomBytes(48 * MIB);
  const path = await chosen(page, "reloaded.bin", bytes);
  const endpoint = `${proxy.url}/uploads`;
  await page.evaluate((to) => void window.upload({ endpoint: to }, { declare: false }).catch(() => null), endpoint);
  await until(() => proxy.broken === 1);
  await page.reload();
  sent.length = 0;
  await page.setInputFiles("#file", path);
  const outcome = await page.evaluate((to) => window.upload({ endpoint: to }), endpoint);
  assert.equal(outcome.digest, `sha256:${sha256(bytes)}`);
  assert.equal(sent[0]?.method(), "HEAD");
  assert.ok(!sent.some((request) => request.method() === "POST"));
  assert.ok(outcome.from >= 16 * MIB, `${outcome.from}`);
  assert.ok(outcome.sent <= bytes.length - outcome.from);
  assert.equal(await page.evaluate(() => localStorage.length), 0);
});

browserTest("an upload waits while the browser is offline, and resumes", async () => {
  await using browser = await openBrowser();
  const { page } = await openPage(browser.context);
  await using proxy = await BreakingProxy.start(server.port, { up: 4 * MIB, holds: true, times: 1 });
  const bytes = randomBytes(24 * MIB);
  await chosen(page, "offline.bin", bytes);
  // a client that did not wait would fail at once; Chromium repeats a broken request by itself,
  // and the server refuses the repetition
  const options = { endpoint: `${proxy.url}/uploads`, retry: { attempts: 2, minDelay: 1 } };
  const uploaded = page.evaluate((to) => window.upload(to), options);
  await until(() => proxy.broken === 1);
  await browser.context.setOffline(true);
  proxy.breakAll();
  await page.waitForFunction(() => window.waits.at(-1) === "offline until null");
  await browser.context.setOffline(false);
  const outcome = await uploaded;
  assert.equal(outcome.digest, `sha256:${sha256(bytes)}`);
  assert.equal(outcome.phases[outcome.phases.lastIndexOf("waiting") + 1], "sending");
});

browserTest("a network that returns ends the wait for a server that was unreachable", async () => {
  await using browser = await openBrowser();
  const { page } = await openPage(browser.context);
  const gone = await BreakingProxy.start(server.port, {});
  await gone[Symbol.asyncDispose]();
  const bytes = randomBytes(1000);
  await chosen(page, "returning.bin", bytes);
  // nothing but the event can end this wait in time
  const retry = { minDelay: 1e9, maxDelay: 1e9 };
  const uploaded = page.evaluate((to) => window.upload(to), { endpoint: `${gone.url}/uploads`, retry });
  await page.waitForFunction(() => window.waits.length > 0);
  assert.match((await page.evaluate(() => window.waits)).join(), /^unreachable until \d+$/);
  await using back = await BreakingProxy.start(server.port, { port: Number(new URL(gone.url).port) });
  assert.equal(back.url, gone.url);
  await browser.context.setOffline(true);
  await browser.context.setOffline(false);
  assert.equal((await uploaded).digest, `sha256:${sha256(bytes)}`);
});

browserTest("files are hashed on an origin of plain http, too", async () => {
  const args = ["--headless", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP plain.test 127.0.0.1"];
  await using browser = await openBrowser({ args });
  const { page, sent, complaints } = await openPage(browser.context, "plain.test");
  assert.equal(await page.evaluate(() => isSecureContext), false);
  const bytes = randomBytes(1000);
  await chosen(page, "plain.bin", bytes);
  const endpoint = `${server.url}/uploads`;
  const { url, digest } = await page.evaluate((to) => window.upload({ endpoint: to }), endpoint);
  assert.equal(digest, `sha256:${sha256(bytes)}`);
  assert.ok((await sent[0]?.allHeaders())?.["repr-digest"]?.startsWith("sha-256=:"));
  assert.equal(await stored(url), sha256(bytes));
  assert.deepEqual(complaints, []);
});

browserTest("downloads are verified in the page", async () => {
  await using browser = await openBrowser();
  const { page } = await openPage(browser.context);
  const endpoint = `${server.url}/uploads`;
  await fetch(endpoint, { method: "POST", body: "what is read" });
  const link = sha256("what is read");
  const download = (): Promise<PageDownload> =>
    page.evaluate(([to, link]) => window.download({ endpoint: to }, link), [endpoint, link] as const);
  assert.deepEqual(await download(), { text: "what is read", code: null });
  await page.route(`**/${link}`, (route) =>
    route.fulfill({ body: "what is wrong", headers: { "Access-Control-Allow-Origin": "*", "Content-Length": "13" } }),
  );
  assert.deepEqual(await download(), { text: "", code: "digest-mismatch" });
});

browserTest("without its worker the client uploads, but downloads nothing", async () => {
  await using browser = await openBrowser();
  site.hasWorker = false;
  try {
    const { page } = await openPage(browser.context);
    const bytes = randomBytes(3 * MIB);
    await chosen(page, "no-worker.bin", bytes);
    const endpoint = `${server.url}/uploads`;
    const { digest, url } = await page.evaluate((to) => window.upload({ endpoint: to }), endpoint);
    assert.equal(digest, `sha256:${sha256(bytes)}`);
    const { code } = await page.evaluate(([to, link]) => window.download({ endpoint: to }, link), [
      endpoint,
      url,
    ] as const);
    assert.equal(code, "cannot-verify");
  } finally {
    site.hasWorker = true;
  }
});

browserTest("a page that requires Trusted Types must pass the worker", async () => {
  const directives = "require-trusted-types-for 'script'; trusted-types fixity-worker";
  await using trusting = await openClientSite(new URL("trusted-types-page.ts", import.meta.url), directives);
  const origins = `http://127.0.0.1:${trusting.port}`;
  const env = { UPLOAD_CORS_ORIGINS: origins };
  await using allowing = await ServerProcess.start({ dir: join(folder, "trusting"), env });
  await using browser = await openBrowser();
  const { page, complaints } = await openWatchedPage(browser.context, `${origins}/`);
  const roundTrip = (withWorker: boolean): Promise<string> =>
    page.evaluate(([endpoint, withWorker]) => window.roundTrip(endpoint, withWorker), [
      `${allowing.url}/uploads`,
      withWorker,
    ] as const);
  assert.equal(await roundTrip(true), "verified");
  assert.deepEqual(complaints, []);
  assert.equal(await roundTrip(false), "cannot-verify");
});

browserTest("the worker stops hashing a dropped file, however much of it is read ahead", async () => {
  await using browser = await openBrowser();
  const { page } = await openPage(browser.context);
  const told = await page.evaluate(async () => {
    const worker = new Worker("/client/hash-worker.js", { type: "module" });
    const block = new Blob([new Uint8Array(16 * 1024 ** 2)]);
    let toldOfFirst = 0;
    let isDropped = false;
    const done = new Promise<number>((resolve) => {
      worker.addEventListener("message", ({ data }: MessageEvent<{ id: number; hex?: string }>) => {
        if (data.id === 2 && data.hex !== undefined) resolve(toldOfFirst);
        if (data.id !== 1) return;
        if (isDropped) toldOfFirst += 1;
        else worker.postMessage({ id: 1, type: "drop" });
        isDropped = true;
      });
    });
    worker.postMessage({ id: 1, type: "hash", blob: new Blob(Array.from({ length: 32 }, () => block)) });
    // by the time that this is hashed, the first would have been, too
    worker.postMessage({ id: 2, type: "hash", blob: new Blob(Array.from({ length: 16 }, () => block)) });
    return await done;
  });
  assert.ok(told < 10, `${told} times more`);
});

browserTest("a chosen file that has disappeared fails at once, without a retry", async () => {
  await using browser = await openBrowser();
  const { page, sent } = await openPage(browser.context);
  for (const size of [1000, 5 * MIB]) {
    for (const declare of [undefined, false] as const) {
      await rm(await chosen(page, "gone", randomBytes(size)));
      const before = sent.length;
      const code = await page.evaluate(([endpoint, declare]) => window.failure({ endpoint }, { declare }), [
        `${server.url}/uploads`,
        declare,
      ] as const);
      assert.equal(code, "source-changed", `${size}, ${declare}`);
      const methods = sent.slice(before).map((request) => request.method());
      assert.ok(methods.filter((method) => method === "PATCH").length <= 1, methods.join());
      assert.ok(methods.filter((method) => method === "POST").length <= 1, methods.join());
    }
  }
});

browserTest("a chosen file that grows while it is uploaded fails", async () => {
  await using browser = await openBrowser();
  const { page } = await openPage(browser.context);
  for (const declare of [undefined, false] as const) {
    const path = await chosen(page, "growing", randomBytes(5 * MIB));
    const time = new Date(2026, 1, 1);
    await utimes(path, time, time);
    await page.setInputFiles("#file", path);
    const grow = (request: Request): void => {
      if (request.method() === "PATCH") appendFileSync(path, "x");
    };
    page.on("request", grow);
    const code = await page.evaluate(([endpoint, declare]) => window.failure({ endpoint }, { declare }), [
      `${server.url}/uploads`,
      declare,
    ] as const);
    page.off("request", grow);
    assert.equal(code, "source-changed", String(declare));
  }
});

browserTest("an endless response is aborted, and its connection closed", async () => {
  let poured = 0;
  const closed = Promise.withResolvers<void>();
  await using endless = await listen((request, response) => {
    request.resume();
    response.writeHead(201, { "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*" });
    if (request.method === "OPTIONS") {
      response.end();
      return;
    }
    const chunk = Buffer.alloc(65_536, " ");
    const more = (): void => {
      while (!response.destroyed && response.write(chunk)) poured += chunk.length;
    };
    response.on("drain", more).on("close", closed.resolve);
    more();
  });
  await using browser = await openBrowser();
  const { page } = await openPage(browser.context);
  await chosen(page, "small", randomBytes(1000));
  const options = { endpoint: `${endless.url}/uploads`, retry: { attempts: 0 } };
  const code = await page.evaluate((options) => window.failure(options, { declare: false }), options);
  assert.equal(code, "unexpected-answer");
  await closed.promise;
  assert.ok(poured < 64 * MIB, `${poured}`);
});
