/**
 * Front ends of docs/senders.md as npm has them, with their defaults, in Chromium: fixity stores what they send, from its own
 * origin and from an allowed one, and they report a success. Programs: test/protocol/senders.full.test.ts.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { listen } from "../helpers/listen.ts";
import { sha256 } from "../helpers/service.ts";
import { install, type Receipt, SendersPlace } from "../protocol/senders/place.ts";
import { linkFrom, ODD_NAME } from "../protocol/senders/recordings.ts";
import { needingChromium, startBrowser } from "./browser.ts";
import { servePages } from "./senders/pages.ts";

const PAGES = [
  "axios-browser",
  "browser-fetch",
  "browser-plain-form",
  "ckeditor",
  "dropzone",
  "filepond",
  "multer-readme-1",
  "multer-readme-2",
  "tinymce",
  "uppy-xhr",
];

void describe("front ends in Chromium", needingChromium(), () => {
  let browser: Awaited<ReturnType<typeof startBrowser>>;
  let place: SendersPlace;
  let site: Awaited<ReturnType<typeof listen>>;
  before(async () => {
    const folder = await install(new URL("senders/", import.meta.url), []);
    const { labels, pages } = await servePages(folder);
    assert.deepEqual([...labels].sort(), PAGES);
    site = await listen(pages);
    place = await SendersPlace.start(folder, { corsOrigins: site.url, pages });
    browser = await startBrowser();
  });
  after(async () => {
    await browser.close();
    await place[Symbol.asyncDispose]();
    await site[Symbol.asyncDispose]();
  });

  for (const label of PAGES) {
    for (const where of ["the service's origin", "an allowed origin"]) {
      test(`${label} on ${where}`, async () => {
        const sending = await place.newSending();
        const page = await browser.newPage();
        page.setDefaultTimeout(60_000);
        const origin = where === "an allowed origin" ? site.url : place.origin;
        await page.goto(`${origin}/pages/${label}?endpoint=${encodeURIComponent(place.endpoint)}`);
        await page.setInputFiles("#file", { name: ODD_NAME, mimeType: "image/png", buffer: sending.photo });
        if ((await page.locator("#form").count()) > 0) {
          await page.evaluate(() => document.querySelector<HTMLFormElement>("#form")?.submit());
          await page.waitForURL(place.origin + linkFrom(label, sha256(sending.photo)));
          await place.assertStored(label, sending);
        } else {
          const answer = await page.evaluate(async () => {
            const { send } = window as unknown as { send: (file: unknown) => Promise<string> };
            return send(document.querySelector<HTMLInputElement>("#file")?.files?.[0]);
          });
          await place.assertSent(label, sending, JSON.parse(answer) as Receipt);
        }
        await page.close();
      });
    }
  }
});
