/** A file that was damaged in the store, and is uploaded again in a browser. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import type { Page } from "playwright-core";
import { openBrowser } from "./browser.ts";
import { endpointOf, only, PluginPlace, upload } from "./plugin-place.ts";
import { browserTest, file, MIB, UploadPage } from "./upload-page.ts";
import { Random } from "../helpers/random.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { uploadBy } from "../helpers/upload-routes.ts";
import { flip, isWhole } from "../verification/damaging.ts";

/** One that the page sends in one request, and one that it sends by a resumable upload. */
const SIZES = [10 * 1024, 9 * MIB];

const random = new Random();
let folder = "";
let server: ServerProcess;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
  server = await ServerProcess.start({ dir: join(folder, "data") });
});
after(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Stores bytes, damages what is stored, and has the server mark it. @returns the path of the stored file */
async function damage({ url, port }: ServerProcess, dir: string, bytes: Buffer): Promise<string> {
  const { link } = await uploadBy("raw", port, bytes);
  const path = join(dir, "blobs", sha256(bytes).slice(0, 2), sha256(bytes));
  await flip(path, bytes.length - 1);
  const read = (): Promise<ArrayBuffer> => fetch(url + (link ?? "")).then((answer) => answer.arrayBuffer());
  // A large file is broken off at first.
  await read().catch(() => null);
  assert.match(Buffer.from(await read()).toString(), /"blob-damaged"/);
  return path;
}

/** The digest in hex of what the browser reads through a link. */
function downloaded(page: Page, link: string): Promise<string> {
  return page.evaluate(async (link) => {
    const answer = await fetch(link);
    if (!answer.ok) return `status ${answer.status}`;
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await answer.arrayBuffer()));
    return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }, link);
}

for (const size of SIZES) {
  browserTest(`the page repairs a damaged file of ${size} bytes and shows a link that works`, async () => {
    const bytes = random.bytes(size);
    const path = await damage(server, join(folder, "data"), bytes);
    await using opened = await UploadPage.open(server.url);
    await opened.choose(file("again.bin", bytes));
    await opened.stored(1);
    const [link = ""] = await opened.links();
    assert.equal(link, `${server.url}/uploads/${sha256(bytes)}.bin`);
    assert.equal(await downloaded(opened.page, link), sha256(bytes));
    assert.equal(await opened.page.locator("#failures").isHidden(), true);
    assert.ok(await isWhole(path, sha256(bytes)));
    assert.deepEqual(opened.complaints, []);
  });
}

browserTest("the Uppy plugin repairs damaged files, small and large, and its links work", async () => {
  await using place = await PluginPlace.start();
  for (const size of SIZES) {
    const bytes = random.bytes(size);
    const path = await damage(place.server, place.pathOf("data"), bytes);
    await using browser = await openBrowser();
    const { page } = await place.openPage(browser.context, { endpoint: endpointOf(place.server) });
    await place.add(page, { "again.bin": bytes });
    const story = only(await upload(page));
    assert.equal(story.error, null);
    assert.equal(story.body?.existed, false);
    assert.equal(await downloaded(page, story.url ?? ""), sha256(bytes));
    assert.ok(await isWhole(path, sha256(bytes)));
  }
});
