import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import type { BrowserContext, Page } from "playwright-core";
import { s3Store } from "../../src/s3.ts";
import { someOf } from "../helpers/full-run.ts";
import { Service, sha256 } from "../helpers/service.ts";
import { KEYS, ScriptedServer } from "../s3/scripted-server.ts";
import { needingChromium, openBrowser } from "./browser.ts";

const browserTest = (name: string, run: () => Promise<void>): void => void test(name, needingChromium(), run);

const PNG = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==",
  "base64",
);
const RUNS = `parent.document.title = document.title = "owned"`;
const SVG = `<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30" onload='${RUNS}'><script>${RUNS}</script>
<image href="http://127.0.0.1:9/tracker.png" width="10" height="10"/><rect width="40" height="30" fill="red"/></svg>`;
const HTML = `<!doctype html><title>page</title><h1>evil</h1><script>${RUNS}</script><img src=x onerror='${RUNS}'>`;
/** A tenth of a second of silence. */
const WAV = Buffer.concat([
  Buffer.from(
    "RIFF\x44\x03\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\x20\x03\0\0",
    "latin1",
  ),
  Buffer.alloc(800, 128),
]);

let service: Service;
before(async () => {
  service = await Service.start();
});
after(() => service[Symbol.asyncDispose]());

/** The address of the page about a file that is stored. */
async function stored(content: string | Buffer, filename: string, at: Service = service): Promise<string> {
  const { link } = await at.fixity.put(Buffer.from(content), { filename });
  return `${at.url}/uploads/${link.toString()}?view&filename=${encodeURIComponent(filename)}`;
}

/** A page, opened; `complaints` gathers whatever the browser finds wrong and every request to somewhere else. */
async function open(context: BrowserContext, url: string): Promise<{ page: Page; complaints: string[] }> {
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const complaints: string[] = [];
  page.on("console", (message) => void complaints.push(message.text()));
  page.on("pageerror", (error) => void complaints.push(String(error)));
  page.on("dialog", (dialog) => void complaints.push(dialog.message()));
  page.on("download", (download) => void complaints.push(`download of ${download.url()}`));
  page.on("request", (request) => {
    const { protocol, origin } = new URL(request.url());
    if (protocol !== "data:" && origin !== new URL(url).origin) complaints.push(request.url());
  });
  await page.goto(url);
  return { page, complaints };
}

/** Waits until the image is there, and tells how wide it is. */
function widthOfImage(page: Page): Promise<number> {
  return page.locator(".preview img").evaluate(async (element) => {
    const image = element as HTMLImageElement;
    await image.decode();
    return image.naturalWidth;
  });
}

/** A document of one empty page. */
const PDF =
  "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n" +
  "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]>>endobj\ntrailer<</Root 1 0 R>>";

browserTest("an image is shown", async () => {
  await using browser = await openBrowser();
  const { page, complaints } = await open(browser.context, await stored(PNG, "dot.png"));
  assert.equal(await widthOfImage(page), 1);
  assert.equal(await page.getByRole("img", { name: "dot.png" }).isVisible(), true);
  assert.equal(await page.title(), "dot.png");
  assert.deepEqual(complaints, []);
});

browserTest("an SVG is shown as a picture: its scripts do not run, and it loads nothing", async () => {
  await using browser = await openBrowser();
  const { page, complaints } = await open(browser.context, await stored(SVG, "drawing.svg"));
  assert.equal(await widthOfImage(page), 40);
  assert.equal(await page.title(), "drawing.svg");
  assert.equal(await page.getByRole("link", { name: "Open" }).count(), 0);
  assert.deepEqual(complaints, []);
});

browserTest("a text is shown, and so is the source of a page, of which nothing runs", async () => {
  await using browser = await openBrowser();
  for (const [content, name] of [
    ["plain words", "words.txt"],
    [HTML, "evil.html"],
    [HTML, "evil.xhtml"],
    [RUNS, "evil.js"],
  ] as const) {
    const { page, complaints } = await open(browser.context, await stored(content, name));
    const frame = page.frameLocator("iframe");
    assert.equal(await frame.locator("body").textContent(), content, name);
    assert.equal(await frame.locator("h1, script, img").count(), 0);
    assert.equal(await page.title(), name);
    assert.deepEqual(complaints, [], name);
  }
});

browserTest("a sound can be played", async () => {
  await using browser = await openBrowser();
  const { page, complaints } = await open(browser.context, await stored(WAV, "silence.wav"));
  await page.waitForFunction(() => document.querySelector("audio")?.readyState === 4);
  assert.equal(await page.getByText("This browser cannot show the file").isVisible(), false);
  assert.deepEqual(complaints, []);
});

browserTest("what only claims to be an image, a video or a sound is told to be something else", async () => {
  await using browser = await openBrowser();
  for (const name of ["false.png", "false.svg", "false.mp4", "false.mp3"]) {
    const { page } = await open(browser.context, await stored("neither nor", name));
    await page.getByText("This browser cannot show the file. Download it to open it.").waitFor();
    assert.equal(await page.locator("img, video, audio").isVisible(), false, name);
  }
});

browserTest("a PDF and an archive are not loaded, and told not to be shown", async () => {
  await using browser = await openBrowser();
  for (const name of ["paper.pdf", "archive.zip"]) {
    const { page, complaints } = await open(browser.context, await stored("%PDF-1.7 or not", name));
    await page.getByText("No preview available for this file type.").waitFor();
    assert.deepEqual(complaints, []);
  }
});

browserTest("a PDF opens in the browser's own viewer, sandboxed, and its link remains a download", async () => {
  await using browser = await openBrowser({ isWhole: true });
  const { page } = await open(browser.context, await stored(PDF, "paper.pdf"));
  await page.getByRole("link", { name: "Open" }).click();
  await page.waitForURL(/inline$/);
  // the viewer is an extension of the browser, in a frame of its own
  const hasViewer = (): boolean => page.frames().some((frame) => frame.url().startsWith("chrome-extension://"));
  while (!hasViewer()) await Promise.race([page.waitForEvent("framenavigated"), page.waitForTimeout(100)]);
  const url = page.url();
  const shown = await fetch(url);
  assert.match(shown.headers.get("content-disposition") ?? "", /^inline/);
  assert.match(shown.headers.get("content-security-policy") ?? "", /default-src 'none'.*; sandbox$/);
  const plain = await fetch(url.replace(/[?&]inline$/, ""));
  assert.match(plain.headers.get("content-disposition") ?? "", /^attachment/);
  await Promise.all([shown.body?.cancel(), plain.body?.cancel()]);
});

browserTest("a hostile name is only text, and a narrow screen holds it", async () => {
  await using browser = await openBrowser({ viewport: { width: 360, height: 700 } });
  const name = `"><img src=x onerror=alert(1)><script>${"long-".repeat(30)}alert(2)<!--&lt;'$&.zip`;
  for (const extension of ["zip", "txt", "png"]) {
    const { page, complaints } = await open(browser.context, await stored(PNG, `${name}.${extension}`));
    assert.equal(await page.locator("h1").textContent(), `${name}.${extension}`);
    assert.equal(await page.locator("script").count(), 1);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
    assert.deepEqual(complaints, []);
  }
});

browserTest("a download has the file's name", async () => {
  await using browser = await openBrowser();
  for (const name of ["Bericht für Ä.pdf", "dot.png", `a "quoted" name.html`]) {
    const { page } = await open(browser.context, await stored(PNG, name));
    const downloading = page.waitForEvent("download");
    await page.getByRole("link", { name: "Download" }).click();
    const download = await downloading;
    // what no file may be called the browser replaces by itself
    assert.equal(download.suggestedFilename(), name.replaceAll('"', "_"));
    assert.deepEqual(await readFile(await download.path()), PNG);
  }
});

browserTest("what is there to copy is copied, with the address that the browser knows", async () => {
  await using browser = await openBrowser();
  await using scripting = await Service.start({ scripts: true });
  await browser.context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: scripting.url });
  const { page, complaints } = await open(browser.context, await stored("body {}", "a b.css", scripting));
  const copied = async (name: string): Promise<string> => {
    await page.getByRole("button", { name: `Copy ${name}` }).click();
    await page.getByRole("status").getByText("Copied", { exact: true }).waitFor();
    return page.evaluate(() => navigator.clipboard.readText());
  };
  const link = `${scripting.url}/uploads/${sha256("body {}")}.css`;
  const { integrity } = (await scripting.fixity.put(Buffer.from("body {}"))).digest;
  assert.equal(await copied("SHA-256"), sha256("body {}"));
  assert.equal(await copied("Link"), `${link}?filename=a%20b.css`);
  assert.equal(await copied("Markdown"), `[a b.css](${link}?filename=a%20b.css)`);
  assert.equal(
    await copied("HTML"),
    `<link rel="stylesheet" href="${link}" integrity="${integrity}" crossorigin="anonymous" />`,
  );
  assert.deepEqual(complaints, []);
});

browserTest("without https, where scripts have no clipboard, it is copied all the same", async () => {
  await using browser = await openBrowser();
  await browser.context.grantPermissions(["clipboard-read"], { origin: service.url });
  await browser.context.addInitScript(() => {
    Object.defineProperty(navigator.clipboard, "writeText", { value: undefined });
  });
  const { page } = await open(browser.context, await stored("old", "old.txt"));
  await page.getByRole("button", { name: "Copy SHA-256" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("status").getByText("Copied", { exact: true }).waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), sha256("old"));
});

browserTest("without JavaScript everything is there but the buttons", async () => {
  await using browser = await openBrowser({ javaScriptEnabled: false });
  const { page, complaints } = await open(browser.context, await stored(PNG, "dot.png"));
  assert.equal(await page.getByRole("img", { name: "dot.png" }).isVisible(), true);
  assert.equal(await page.getByRole("button").count(), 0);
  assert.equal(await page.locator("#link").textContent(), `/uploads/${sha256(PNG)}.png?filename=dot.png`);
  assert.equal(await page.locator("#link").evaluate((code) => code.scrollWidth > code.clientWidth), false);
  await page.getByRole("link", { name: "Open" }).click();
  await page.waitForURL(`${service.url}/uploads/${sha256(PNG)}.png?filename=dot.png`);
  assert.deepEqual(complaints, []);
});

browserTest("what the bucket sends is shown as well, and no other origin is let in", async () => {
  await using bucket = await ScriptedServer.start();
  bucket.always("GetObject", ({ key, query, headers }) => {
    const bytes = bucket.bucket.objects.get(key)?.bytes ?? Buffer.alloc(0);
    const common = { "content-type": query.get("response-content-type") ?? "", etag: '"scripted"' };
    const [, last] = /^bytes=0-(\d+)$/.exec(String(headers.range)) ?? [];
    if (last === undefined) return { status: 200, headers: common, body: bytes };
    // the service itself reads the beginning of an image
    const body = bytes.subarray(0, Number(last) + 1);
    const range = { "content-range": `bytes 0-${body.length - 1}/${bytes.length}` };
    return { status: 206, headers: { ...common, ...range, "last-modified": new Date(0).toUTCString() }, body };
  });
  await using store = s3Store({ bucket: "scripted", endpoint: bucket.endpoint, ...KEYS, log: () => null });
  await using redirecting = await Service.start({ store, downloads: { mode: "redirect" } });
  await using browser = await openBrowser();
  const image = await open(browser.context, await stored(PNG, "dot.png", redirecting));
  assert.equal(await widthOfImage(image.page), 1);
  const text = await open(browser.context, await stored(HTML, "evil.html", redirecting));
  assert.equal(await text.page.frameLocator("iframe").locator("body").textContent(), HTML);
  for (const { complaints } of [image, text]) {
    assert.deepEqual(
      complaints.map((complaint) => complaint.slice(0, bucket.endpoint.length)),
      [bucket.endpoint],
    );
  }
});

browserTest("axe finds nothing to complain of, in both themes", async () => {
  const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  const urls = [
    await stored(PNG, "dot.png"),
    await stored(WAV, "silence.wav"),
    await stored("words", "words.txt"),
    await stored("PK", "archive.zip"),
    `${service.url}/uploads/${sha256("absent")}.png?view`,
  ];
  for (const colorScheme of someOf(["light", "dark"] as const, 1)) {
    await using browser = await openBrowser({ colorScheme, bypassCSP: true });
    for (const url of urls) {
      const { page } = await open(browser.context, url);
      await page.addScriptTag({ content: axe });
      const violations = await page.evaluate(async () => {
        const { axe } = globalThis as unknown as { axe: { run: () => Promise<{ violations: { id: string }[] }> } };
        return (await axe.run()).violations.map(({ id }) => id);
      });
      assert.deepEqual(violations, [], `${colorScheme}, ${url}`);
    }
  }
});
