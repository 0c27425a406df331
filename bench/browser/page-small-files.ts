/**
 * 100 small files through the upload page, and as bare POSTs from the same page, in turns: `node
 * bench/browser/page-small-files.ts`. The page may take 1.5 times as long.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { startBrowser } from "../../test/browser/browser.ts";
import { ServerProcess } from "../../test/helpers/server-process.ts";

const FILES = 100;
const FILE_BYTES = 2000;
const ROUNDS = 5;

/** Milliseconds until the page has stored new files and removed them from the Dashboard. */
async function throughPage(page: Page): Promise<number> {
  const chosen = Array.from({ length: FILES }, (_, index) => ({
    name: `${index}.txt`,
    mimeType: "text/plain",
    buffer: randomBytes(FILE_BYTES),
  }));
  await page.evaluate(() => document.querySelector<HTMLElement>("#clear")?.click());
  await page.evaluate(() =>
    document.addEventListener("change", () => performance.mark("chosen"), { capture: true, once: true }),
  );
  await page.locator("input[name='files[]']").first().setInputFiles(chosen);
  await page.locator("#tally", { hasText: `${FILES} stored` }).waitFor();
  return page.evaluate(() => performance.now() - (performance.getEntriesByName("chosen").at(-1)?.startTime ?? 0));
}

/** Milliseconds of bare POSTs of new files, one after the other. */
async function bare(page: Page): Promise<number> {
  return page.evaluate(
    async ({ files, bytes }) => {
      const contents = Array.from({ length: files }, () => crypto.getRandomValues(new Uint8Array(bytes)));
      const start = performance.now();
      for (const body of contents) await (await fetch("/uploads", { method: "POST", body })).json();
      return performance.now() - start;
    },
    { files: FILES, bytes: FILE_BYTES },
  );
}

const dir = await mkdtemp(join(tmpdir(), "fixity-bench-"));
const server = await ServerProcess.start({ dir });
const browser = await startBrowser();
const page = await browser.newPage();
await page.goto(server.url);
await page.locator("html.scripted").waitFor();
await bare(page);
await throughPage(page);
for (let round = 0; round < ROUNDS; round++) {
  const [own, posts] = [await throughPage(page), await bare(page)];
  console.log(
    `page ${(own / FILES).toFixed(1)} ms a file, bare ${(posts / FILES).toFixed(1)}, ratio ${(own / posts).toFixed(2)}`,
  );
}
await browser.close();
await server.stop();
await rm(dir, { recursive: true, force: true });
