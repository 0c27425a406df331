/** What a browser shows of an image is the same after its metadata was removed. */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { needingChromium, openBrowser } from "./browser.ts";
import { openClientSite } from "./client-site.ts";
import { openWatchedPage } from "./watched-page.ts";

const FOLDER = fileURLToPath(new URL("../fixtures/metadata/", import.meta.url));

test("pixels, orientation and animations are the same without metadata", needingChromium(), async () => {
  const names = (await readdir(FOLDER)).filter((name) => /\.(?:jpg|png|webp)$/.test(name));
  await using site = await openClientSite(new URL("strip-metadata-page.ts", import.meta.url));
  await using browser = await openBrowser();
  const { page } = await openWatchedPage(browser.context, `http://127.0.0.1:${site.port}/`);
  await page.setInputFiles(
    "#file",
    names.map((name) => `${FOLDER}${name}`),
  );
  const compared = await page.evaluate(() => window.compare());
  assert.equal(compared.length, names.length);
  for (const { name, before, after } of compared) assert.deepEqual(after, before, name);
  const frames = (name: string): number | undefined => compared.find((image) => image.name === name)?.after.frames;
  assert.deepEqual(["animated.png", "animated.webp", "alpha.png"].map(frames), [3, 3, 1]);
  const turned = compared.filter(({ after }) => after.width < after.height).map(({ name }) => name);
  // the orientations from 5 on turn an image by 90 degrees; Chromium ignores that of WebP
  assert.deepEqual(
    turned,
    names.filter((name) => /^orientation-[5-8]\.(?:jpg|png)|^progressive|^everything/.test(name)),
  );
});
