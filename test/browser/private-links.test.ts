/** Signed links in a browser: opened, downloaded, sought, and their pages. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before } from "node:test";
import type { Page } from "playwright-core";
import type { SignOptions } from "../../src/index.ts";
import { Service } from "../helpers/service.ts";
import { openBrowser } from "./browser.ts";
import { browserTest, PNG } from "./upload-page.ts";

const MIB = 1024 ** 2;
const HOUR_MS = 3_600_000;

let service: Service;
before(async () => {
  service = await Service.start({ reads: "signed", linkKeys: ["a key for links in these tests, only"] });
});
after(() => service[Symbol.asyncDispose]());

/** Stores a file, and returns a signed link to it. */
async function signed(content: Buffer, filename: string, options: Partial<SignOptions> = {}): Promise<string> {
  const { link } = await service.fixity.put(content, { filename });
  return service.url + service.fixity.sign(link, { expires: HOUR_MS, filename, ...options });
}

/** Sound for eight minutes, of which a browser fetches only what it plays. */
function longSound(): Buffer {
  const samples = 8 * MIB;
  const head = Buffer.from("RIFF....WAVEfmt \x10\0\0\0\x01\0\x01\0........\x02\0\x10\0data....", "latin1");
  head.writeUInt32LE(36 + samples, 4);
  head.writeUInt32LE(8000, 24);
  head.writeUInt32LE(16_000, 28);
  head.writeUInt32LE(samples, 40);
  return Buffer.concat([head, Buffer.alloc(samples)]);
}

/** The statuses of responses about files, in their order. */
function statusesIn(page: Page): number[] {
  const statuses: number[] = [];
  page.on("response", (response) => response.url().includes("/uploads/") && statuses.push(response.status()));
  return statuses;
}

browserTest("a signed link is opened, and an expired or changed one leads to a page that says so", async (t) => {
  await using browser = await openBrowser();
  const page = await browser.context.newPage();
  const url = await signed(Buffer.from("a private text"), "note.txt");
  assert.equal((await page.goto(url))?.status(), 200);
  await page.getByText("a private text").waitFor();
  assert.equal((await page.goto(url.replace(/expires=\d/, "expires=9")))?.status(), 404);
  assert.equal((await page.goto(url.replace(/\?.*/, "")))?.status(), 404);
  const short = await signed(Buffer.from("a private text"), "note.txt", { expires: 1000 });
  const clock = Date.now();
  t.mock.method(Date, "now", () => clock + 5000);
  assert.equal((await page.goto(short))?.status(), 403);
  await page.getByText("This link has expired").first().waitFor();
});

browserTest("a link that is signed for a download is saved under its name", async () => {
  await using browser = await openBrowser();
  const page = await browser.context.newPage();
  const url = await signed(PNG, "Übersicht (1).png", { download: true });
  const saving = page.waitForEvent("download");
  // a navigation that becomes a download is aborted
  await page.goto(url).catch(() => null);
  const download = await saving;
  assert.equal(download.suggestedFilename(), "Übersicht (1).png");
  assert.deepEqual(await readFile(await download.path()), PNG);
});

browserTest("the page of a signed link loads its image, its text and its download", async () => {
  await using browser = await openBrowser();
  const page = await browser.context.newPage();
  const statuses = statusesIn(page);
  await page.goto(await signed(PNG, "dot.png", { view: true }));
  const width = await page.locator(".preview img").evaluate(async (image: HTMLImageElement) => {
    await image.decode();
    return image.naturalWidth;
  });
  assert.equal(width, 1);
  const saving = page.waitForEvent("download");
  await page
    .getByRole("link", { name: /download/i })
    .first()
    .click();
  assert.deepEqual(await readFile(await (await saving).path()), PNG);
  await page.goto(await signed(Buffer.from("a private text"), "note.txt", { view: true }));
  await page.frameLocator("iframe").getByText("a private text").waitFor();
  assert.ok(
    statuses.every((status) => status === 200),
    statuses.join(" "),
  );
});

browserTest("a sound behind a signed link is sought by ranges", async () => {
  await using browser = await openBrowser();
  const page = await browser.context.newPage();
  const statuses = statusesIn(page);
  await page.goto(await signed(longSound(), "long.wav", { view: true }));
  const reached = await page.locator("audio").evaluate(async (audio: HTMLAudioElement) => {
    if (audio.readyState === 0) await new Promise((resolve) => audio.addEventListener("loadedmetadata", resolve));
    audio.currentTime = 400;
    await new Promise((resolve) => audio.addEventListener("seeked", resolve));
    return [audio.currentTime, audio.error];
  });
  assert.deepEqual(reached, [400, null]);
  assert.ok(statuses.includes(206), statuses.join(" "));
  assert.ok(
    statuses.every((status) => status < 300),
    statuses.join(" "),
  );
});
