/** The plugin where things go together that seldom do: in an Uppy of its own, in a real browser. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { BreakingProxy } from "../helpers/breaking-proxy.ts";
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

browserTest("existing content is not sent at all if hashing is far faster than the network", async () => {
  const bytes = randomBytes(96 * MIB);
  assert.equal((await fetch(endpointOf(place.server), { method: "POST", body: bytes })).status, 201);
  await using browser = await openBrowser();
  const { page } = await place.openPage(browser.context, { endpoint: endpointOf(place.server) });
  const network = await browser.context.newCDPSession(page);
  // so slow that even a busy machine hashes more than eight times as fast
  const slow = { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: MIB / 8 };
  await network.send("Network.emulateNetworkConditions", slow);
  await place.add(page, { "new.bin": randomBytes(0.75 * MIB) }); // so that both rates are known
  await upload(page);
  await place.add(page, { "there.bin": bytes });
  const story = (await upload(page)).find(({ name }) => name === "there.bin");
  assert.deepEqual([story?.error, story?.body?.existed, story?.body?.sent], [null, true, 0]);
  assert.ok(Number(story?.hashed.length) > 0, "the hashing is shown");
  assert.ok(story?.hashed.every((share) => share > 0 && share <= 1));
  const progress = await page.evaluate(() => window.uppy.getFiles().at(-1)?.progress);
  assert.deepEqual([progress?.preprocess, progress?.percentage], [undefined, 100]);
});

for (const isTooEarly of [false, true]) {
  const when = isTooEarly ? "after an upload without it" : "and the upload is taken up";
  browserTest(`a file too large for Golden Retriever resumes when it is chosen again, ${when}`, async () => {
    await using browser = await openBrowser();
    await using proxy = await BreakingProxy.start(place.server.port, { up: 12 * MIB, holds: true, times: 1 });
    const options = { endpoint: endpointOf(proxy), restores: true, keeps: MIB };
    const { page, sent } = await place.openPage(browser.context, options);
    const bytes = randomBytes(24 * MIB);
    await place.add(page, { "large.bin": bytes });
    const chosen = await page.evaluate(() => window.uppy.getFiles()[0]?.id);
    await page.evaluate(() => void window.plugin.upload());
    await until(async () => proxy.broken === 1);
    await page.waitForTimeout(1000); // Golden Retriever writes down twice a second
    await page.reload();
    sent.length = 0;
    await page.evaluate((given) => window.plugin.open(given), options);
    assert.equal(await page.evaluate(() => window.uppy.getFiles()[0]?.isGhost), true);
    if (isTooEarly) {
      await page.evaluate(() => window.uppy.emit("restore-confirmed"));
      await until(async () => (await page.evaluate(() => window.plugin.stories().length)) === 1);
      const { error } = only(await page.evaluate(() => window.plugin.stories()));
      assert.equal(error?.message, "Choose this file again: its content is no longer available");
    }
    await page.setInputFiles("#file", place.pathOf("large.bin"));
    await page.evaluate(() => window.plugin.add());
    assert.equal(await page.evaluate(() => window.uppy.getFiles()[0]?.id), chosen);
    if (isTooEarly) await page.evaluate(() => window.uppy.retryAll());
    else await page.evaluate(() => window.uppy.emit("restore-confirmed"));
    await until(async () => (await page.evaluate(() => window.plugin.stories()[0]?.url ?? null)) !== null);
    const { url, body } = only(await page.evaluate(() => window.plugin.stories()));
    assert.equal(await stored(url ?? ""), sha256(bytes));
    assert.ok(!sent.some((request) => request.method() === "POST"), "it did not begin anew");
    assert.ok(Number(body?.sent) < bytes.length);
  });
}

browserTest(
  "a file that is removed and added again is uploaded, and receives no events of its first upload",
  async () => {
    await using browser = await openBrowser();
    await using proxy = await BreakingProxy.start(place.server.port, { up: 4 * MIB, holds: true, times: 1 });
    const { page } = await place.openPage(browser.context, { endpoint: endpointOf(proxy) });
    const bytes = randomBytes(24 * MIB);
    await place.add(page, { "again.bin": bytes });
    const others = await place.unfinished();
    const first = upload(page);
    await until(async () => proxy.broken === 1);
    const begun = (await place.unfinished()).find((id) => !others.includes(id));
    assert.ok(begun !== undefined);
    const stories = await page.evaluate(() => {
      window.uppy.removeFile(window.uppy.getFiles()[0]?.id ?? "");
      window.plugin.add();
      return window.plugin.upload();
    });
    const { url, error } = only(stories);
    assert.equal(error, null);
    assert.equal(await stored(url ?? ""), sha256(bytes));
    assert.equal(only(await first).error, null);
    await until(async () => !(await place.unfinished()).includes(begun));
  },
);

browserTest("running uploads fail when the plugin is removed, and resume with another one", async () => {
  await using browser = await openBrowser();
  await using proxy = await BreakingProxy.start(place.server.port, { up: 4 * MIB, holds: true, times: 1 });
  const options = { endpoint: endpointOf(proxy) };
  const { page, sent } = await place.openPage(browser.context, options);
  const bytes = randomBytes(24 * MIB);
  await place.add(page, { "left.bin": bytes });
  const uploaded = upload(page);
  await until(async () => proxy.broken === 1);
  await page.evaluate(() => window.plugin.takeAway());
  assert.match(only(await uploaded).error?.message ?? "", /closed/);
  assert.equal(await page.evaluate(() => window.uppy.getState().capabilities.resumableUploads), false);
  sent.length = 0;
  await page.evaluate((given) => window.plugin.useAgain(given), options);
  await page.evaluate(() => window.uppy.retryAll());
  const { url } = only(await page.evaluate(() => window.plugin.stories()));
  assert.equal(await stored(url ?? ""), sha256(bytes));
  assert.ok(!sent.some((request) => request.method() === "POST"), "it did not begin anew");
});

browserTest("a token that is set later is used by the next attempt", async () => {
  await using server = await place.anotherServer({ UPLOAD_TOKENS: "the-right-token-of-the-test" });
  await using browser = await openBrowser();
  const headers = { authorization: "Bearer a-wrong-token-of-the-test" };
  const { page } = await place.openPage(browser.context, { endpoint: endpointOf(server), headers });
  await place.add(page, { "secret.txt": Buffer.from("secret") });
  const { error } = only(await upload(page));
  assert.deepEqual([error?.status, error?.code, error?.isNetworkError], [401, "unauthorized", false]);
  await page.evaluate(() => {
    const headers = { authorization: "Bearer the-right-token-of-the-test" };
    window.uppy.getPlugin("Fixity")?.setOptions({ headers });
    return window.uppy.retryAll();
  });
  assert.equal(only(await page.evaluate(() => window.plugin.stories())).body?.digest, `sha256:${sha256("secret")}`);
});

browserTest("an unreachable service is a network error", async () => {
  await using browser = await openBrowser();
  const gone = await place.anotherServer();
  await gone.stop();
  const { page } = await place.openPage(browser.context, { endpoint: endpointOf(gone), retry: { attempts: 0 } });
  await place.add(page, { "nowhere.txt": Buffer.from("nowhere") });
  const { error } = only(await upload(page));
  assert.deepEqual([error?.isNetworkError, error?.status], [true, null]);
});

browserTest("files are prepared before they are hashed and sent", async () => {
  await using browser = await openBrowser();
  const options = { endpoint: endpointOf(place.server), prepares: true };
  const { page } = await place.openPage(browser.context, options);
  const files = [Buffer.from("small"), randomBytes(3 * MIB)] as const;
  await place.add(page, { "small.txt": files[0], "large.bin": files[1] });
  const bodies = (await upload(page)).map(({ body }) => body);
  assert.deepEqual(
    bodies.map((body) => [body?.digest, body?.name, body?.type]),
    files.map((bytes) => [`sha256:${sha256(bytes.subarray(1))}`, "prepared.png", "image/png"]),
  );
});

browserTest("remote files are refused with a message, and the others are uploaded", async () => {
  await using browser = await openBrowser();
  const { page } = await place.openPage(browser.context, { endpoint: endpointOf(place.server) });
  await place.add(page, { "local.txt": Buffer.from("local") });
  await page.evaluate(() => {
    // Uppy's declarations leave out what its plugins for other services give
    const remote = { companionUrl: "http://127.0.0.1:9", requestClientId: "drive", url: "http://127.0.0.1:9/1" };
    const file = { name: "remote.txt", type: "text/plain", data: { size: 5 }, isRemote: true, remote } as const;
    window.uppy.addFile(file as object as Parameters<typeof window.uppy.addFile>[0]);
  });
  const stories = await upload(page);
  const errors = Object.fromEntries(stories.map(({ name, error }) => [name, error?.message]));
  assert.deepEqual(errors, {
    "local.txt": undefined,
    "remote.txt": "Files from other services cannot be uploaded here",
  });
});
