/** The plugin in an Uppy of its own, in a real browser, from pages of another origin with a strict policy. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { BreakingProxy } from "../helpers/breaking-proxy.ts";
import { someOf } from "../helpers/full-run.ts";
import { sha256 } from "../helpers/service.ts";
import { until } from "../helpers/settled.ts";
import { needingChromium, openBrowser } from "./browser.ts";
import { endpointOf, only, PluginPlace, stored, upload } from "./plugin-place.ts";

const MIB = 1024 ** 2;
const browserTest = (name: string, run: () => Promise<void>): void => void test(name, needingChromium(), run);

let place: PluginPlace;

before(async () => {
  place = await PluginPlace.start();
});
after(() => place[Symbol.asyncDispose]());

browserTest("several files are uploaded, each with its progress, its link and its receipt", async () => {
  await using browser = await openBrowser();
  const { page, complaints } = await place.openPage(browser.context, { endpoint: endpointOf(place.server) });
  const files = { "a.txt": Buffer.from("a"), "b.png": randomBytes(300_000), "c.bin": randomBytes(20 * MIB) };
  await place.add(page, files);
  const stories = await upload(page);
  assert.deepEqual(new Set(stories.map(({ name }) => name)), new Set(Object.keys(files)));
  for (const { name, url, body, bytes, error } of stories) {
    const content = files[name as keyof typeof files];
    assert.equal(error, null);
    assert.ok(url?.startsWith(`${endpointOf(place.server)}/${sha256(content)}.`));
    assert.equal(await stored(url ?? ""), sha256(content));
    assert.equal(body?.digest, `sha256:${sha256(content)}`);
    assert.deepEqual([body?.existed, body?.size, body?.name], [false, content.length, name]);
    assert.deepEqual(
      bytes,
      [...bytes].sort((a, b) => a - b),
      "progress does not go back",
    );
    assert.equal(bytes.at(-1), content.length);
  }
  await until(() => page.evaluate(() => window.uppy.getState().totalProgress === 100));
  assert.deepEqual(complaints, []);
});

browserTest("existing content is reported as such, and not sent to its end", async () => {
  const bytes = randomBytes(32 * MIB);
  assert.equal((await fetch(endpointOf(place.server), { method: "POST", body: bytes })).status, 201);
  await using browser = await openBrowser();
  // the connection that sends stands still: the upload can end in no other way
  await using proxy = await BreakingProxy.start(place.server.port, { up: 2 * MIB, holds: true, times: 1 });
  const { page } = await place.openPage(browser.context, { endpoint: endpointOf(proxy) });
  await place.add(page, { "again.txt": bytes });
  const { body, error } = only(await upload(page));
  assert.equal(error, null);
  assert.equal(body?.existed, true);
  assert.ok(body.sent < bytes.length, `${body.sent}`);
});

for (const whole of someOf([false, true], 1)) {
  browserTest(`${whole ? "all files are" : "one file is"} paused, and resumed from the server's offset`, async () => {
    await using browser = await openBrowser();
    await using proxy = await BreakingProxy.start(place.server.port, { up: 6 * MIB, holds: true, times: 1 });
    const { page } = await place.openPage(browser.context, { endpoint: endpointOf(proxy) });
    const bytes = randomBytes(24 * MIB);
    await place.add(page, { "paused.bin": bytes });
    const uploaded = upload(page);
    uploaded.catch(() => null);
    await until(async () => proxy.broken === 1);
    const pause = (all: boolean): void => {
      const { uppy } = window;
      if (all) uppy.pauseAll();
      else uppy.pauseResume(uppy.getFiles()[0]?.id ?? "");
    };
    await page.evaluate(pause, whole);
    const sum = (): Promise<number> => page.evaluate(() => Number(window.plugin.stories()[0]?.bytes.at(-1)));
    const before = await sum();
    await page.waitForTimeout(500);
    assert.equal(await sum(), before, "nothing is sent meanwhile");
    await page.evaluate((all) => {
      const { uppy } = window;
      if (all) uppy.resumeAll();
      else uppy.pauseResume(uppy.getFiles()[0]?.id ?? "");
    }, whole);
    const { url, body } = only(await uploaded);
    assert.equal(await stored(url ?? ""), sha256(bytes));
    assert.ok(Number(body?.sent) < 2 * bytes.length - 4 * MIB, "it did not begin anew");
  });
}

browserTest("an upload waits while the browser is offline, and resumes", async () => {
  await using browser = await openBrowser();
  await using proxy = await BreakingProxy.start(place.server.port, { up: 4 * MIB, holds: true, times: 1 });
  // a client that did not wait would fail at once; Chromium repeats a broken request by itself,
  // and the server refuses the repetition
  const options = { endpoint: endpointOf(proxy), retry: { attempts: 2, minDelay: 1 } };
  const { page } = await place.openPage(browser.context, options);
  const bytes = randomBytes(24 * MIB);
  await place.add(page, { "offline.bin": bytes });
  const uploaded = upload(page);
  await until(async () => proxy.broken === 1);
  await browser.context.setOffline(true);
  proxy.breakAll();
  await page.waitForFunction(() => window.plugin.stories()[0]?.waits.at(-1) === "offline");
  await browser.context.setOffline(false);
  const { url, error, waits } = only(await uploaded);
  assert.equal(error, null);
  assert.equal(waits.at(-1), null);
  assert.equal(await stored(url ?? ""), sha256(bytes));
});

for (const way of someOf(["removed", "cancelled", "destroyed"] as const, 1)) {
  browserTest(`a file that is ${way} while it is sent is cancelled here and at the server`, async () => {
    await using browser = await openBrowser();
    await using proxy = await BreakingProxy.start(place.server.port, { up: 4 * MIB, holds: true, times: 1 });
    const { page, sent, complaints } = await place.openPage(browser.context, { endpoint: endpointOf(proxy) });
    const others = await place.unfinished();
    await place.add(page, { "unwanted.bin": randomBytes(24 * MIB) });
    const uploaded = upload(page);
    await until(async () => proxy.broken === 1);
    assert.equal((await place.unfinished()).length, others.length + 1);
    await page.evaluate((how) => {
      const { uppy } = window;
      if (how === "removed") uppy.removeFile(uppy.getFiles()[0]?.id ?? "");
      else if (how === "cancelled") uppy.cancelAll();
      else uppy.destroy();
    }, way);
    const { error, url } = only(await uploaded);
    assert.deepEqual([error, url], [null, null]);
    await until(async () => (await place.unfinished()).length === others.length);
    const before = sent.length;
    await page.waitForTimeout(500);
    assert.equal(sent.length, before, "nothing goes on");
    assert.deepEqual(complaints, []);
  });
}

browserTest("a file above the limit fails with the server's text and code", async () => {
  await using small = await place.anotherServer({ UPLOAD_MAX_SIZE: "1MiB" });
  await using browser = await openBrowser();
  const { page } = await place.openPage(browser.context, { endpoint: endpointOf(small) });
  await place.add(page, { "large.bin": randomBytes(2 * MIB), "small.bin": randomBytes(1000) });
  const stories = await upload(page);
  const large = stories.find(({ name }) => name === "large.bin");
  assert.deepEqual([large?.error?.code, large?.error?.status], ["size-limit-exceeded", 413]);
  assert.match(large?.error?.message ?? "", /limit of 1 MiB/);
  assert.ok(stories.find(({ name }) => name === "small.bin")?.url);
  assert.equal(await page.evaluate(() => window.uppy.getFiles().filter(({ error }) => error).length), 1);
});

browserTest("a retry after a failure resumes from the server's offset", async () => {
  await using browser = await openBrowser();
  const proxy = await BreakingProxy.start(place.server.port, 6 * MIB);
  const { port } = new URL(proxy.url);
  const options = { endpoint: endpointOf(proxy), retry: { attempts: 0 } };
  const { page, sent } = await place.openPage(browser.context, options);
  const bytes = randomBytes(24 * MIB);
  await place.add(page, { "again.bin": bytes });
  assert.ok(only(await upload(page)).error);
  await proxy[Symbol.asyncDispose]();
  await using whole = await BreakingProxy.start(place.server.port, { port: Number(port) });
  assert.equal(whole.broken, 0);
  sent.length = 0;
  await page.evaluate(() => window.uppy.retryAll());
  const { url } = only(await page.evaluate(() => window.plugin.stories()));
  assert.equal(await stored(url ?? ""), sha256(bytes));
  assert.ok(!sent.some((request) => request.method() === "POST"), "it did not begin anew");
});

browserTest("an upload survives a server that is killed and started again", async () => {
  let killed = await place.anotherServer();
  const { port } = killed;
  await using browser = await openBrowser();
  const { page } = await place.openPage(browser.context, { endpoint: endpointOf(killed), retry: { minDelay: 50 } });
  const bytes = randomBytes(64 * MIB);
  await place.add(page, { "restart.bin": bytes });
  const uploaded = upload(page);
  await until(() => page.evaluate(() => (window.plugin.stories()[0]?.bytes.at(-1) ?? 0) > 8 * 1024 ** 2));
  await killed.stop("SIGKILL");
  killed = await place.anotherServer({ PORT: String(port) });
  await using _ = killed;
  const { url, error } = only(await uploaded);
  assert.equal(error, null);
  assert.equal(await stored(url ?? ""), sha256(bytes));
});

browserTest("a file that Golden Retriever restores after a reload resumes from the server's offset", async () => {
  await using browser = await openBrowser();
  await using proxy = await BreakingProxy.start(place.server.port, { up: 12 * MIB, holds: true, times: 1 });
  const options = { endpoint: endpointOf(proxy), restores: true };
  const { page, sent } = await place.openPage(browser.context, options);
  const bytes = randomBytes(24 * MIB);
  await place.add(page, { "restored.bin": bytes });
  // it must have been kept before the page goes
  await page.waitForTimeout(1000);
  await page.evaluate(() => void window.plugin.upload());
  await until(async () => proxy.broken === 1);
  await page.waitForTimeout(500);
  await page.reload();
  sent.length = 0;
  await page.evaluate((given) => window.plugin.open(given), options);
  assert.deepEqual(await page.evaluate(() => window.uppy.getFiles().map(({ name, isGhost }) => [name, isGhost])), [
    ["restored.bin", false],
  ]);
  await page.evaluate(() => window.uppy.emit("restore-confirmed"));
  await until(async () => (await page.evaluate(() => window.plugin.stories()[0]?.url ?? null)) !== null);
  const { url, body } = only(await page.evaluate(() => window.plugin.stories()));
  assert.equal(await stored(url ?? ""), sha256(bytes));
  assert.equal(sent[0]?.method(), "HEAD");
  assert.ok(!sent.some((request) => request.method() === "POST"), "it did not begin anew");
  assert.ok(Number(body?.sent) < bytes.length);
});
