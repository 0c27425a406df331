/**
 * Takes the pictures of `docs/images` from a server of its own: `npm run docs:screenshots [NAME…]`.
 * The README, the documentation and its site show them. Run it after a change of the pages, and look
 * at the result. It needs Chromium, and Debian's `pngquant` and `fonts-inter`.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { formatSize } from "../src/base/format-size.ts";
import { ServerProcess } from "../test/helpers/server-process.ts";

const IMAGES = fileURLToPath(new URL("../docs/images/", import.meta.url));
const MIB = 1024 ** 2;

/** The links in the pictures begin with it. Chromium is made to find the server there, whatever its port. */
const SHOWN_URL = "http://localhost:3000";

const DESKTOP: BrowserContextOptions = { viewport: { width: 880, height: 620 }, deviceScaleFactor: 1.5 };
const PHONE: BrowserContextOptions = {
  viewport: { width: 390, height: 780 },
  deviceScaleFactor: 1.5,
  isMobile: true,
  hasTouch: true,
};

/** The pages use the font of the system. Inter resembles those of phones and desktops. */
const FONT = 'html, body, button, .uppy-Root { font-family: "Inter", system-ui, sans-serif !important; }';

interface ChosenFile {
  readonly name: string;
  readonly mimeType: string;
  readonly buffer: Buffer;
}

interface Picture {
  /** Whether the picture shows the whole page, instead of what fits. */
  readonly isWhole?: boolean;
  readonly context: BrowserContextOptions;
  /** Brings the page into the state of the picture. */
  readonly prepare: (page: Page, files: readonly ChosenFile[]) => Promise<void>;
}

const PICTURES: Readonly<Record<string, Picture>> = {
  "upload-page": { context: DESKTOP, isWhole: true, prepare: storeAll },
  "upload-page-dark": { context: { ...DESKTOP, colorScheme: "dark" }, isWhole: true, prepare: storeAll },
  "upload-page-phone": { context: PHONE, isWhole: true, prepare: storeAll },
  "upload-page-empty": { context: DESKTOP, prepare: open },
  "upload-page-uploading": { context: DESKTOP, prepare: uploadSlowly },
  "link-page": { context: DESKTOP, isWhole: true, prepare: openLinkPage },
  "error-page": { context: { ...DESKTOP, viewport: { width: 880, height: 360 } }, prepare: openMissingFile },
};

async function open(page: Page): Promise<void> {
  await page.goto(SHOWN_URL);
  await page.locator("html.scripted").waitFor();
}

async function storeAll(page: Page, files: readonly ChosenFile[]): Promise<void> {
  await open(page);
  await choose(page, files);
  await page
    .locator(".file")
    .nth(files.length - 1)
    .waitFor();
  // the Dashboard is empty again
  await page.getByText("Drop files here").waitFor();
}

/** One file is on its way, slow enough that its progress, rate and time can be seen. */
async function uploadSlowly(page: Page, files: readonly ChosenFile[]): Promise<void> {
  await storeAll(page, files);
  const devtools = await page.context().newCDPSession(page);
  const conditions = { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 3 * MIB };
  await devtools.send("Network.emulateNetworkConditions", conditions);
  await choose(page, [{ name: "interview.mp4", mimeType: "video/mp4", buffer: Buffer.alloc(40 * MIB, "fixity") }]);
  await page.getByText(/^Uploading: [4-6]\d%$/).waitFor();
}

async function openLinkPage(page: Page, files: readonly ChosenFile[]): Promise<void> {
  await storeAll(page, files);
  const link = await page.getByRole("link", { name: /\.jpg/ }).first().getAttribute("href");
  await page.goto(`${link}?view&filename=sunset.jpg`);
  await page.evaluate('document.querySelector(".preview img").decode()');
}

async function openMissingFile(page: Page): Promise<void> {
  await page.goto(`${SHOWN_URL}/uploads/${"0".repeat(64)}.pdf?view`);
}

async function choose(page: Page, files: readonly ChosenFile[]): Promise<void> {
  await page
    .locator("input[name='files[]']")
    .first()
    .setInputFiles(files.map((file) => ({ ...file })));
}

/** A photo, painted by the browser, so that the repository needs none. */
const LANDSCAPE = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 640" width="960" height="640">
  <defs><linearGradient id="sky" x2="0" y2="1"><stop stop-color="#27427a"/><stop offset=".55" stop-color="#e58f6a"/>
  <stop offset="1" stop-color="#f9d99a"/></linearGradient></defs>
  <rect width="960" height="640" fill="url(#sky)"/><circle cx="690" cy="330" r="58" fill="#fff3cf"/>
  <path d="M0 430 170 250 300 380 430 210 620 430 760 300 960 460V640H0Z" fill="#4a4a78"/>
  <path d="M0 500 140 400 330 510 520 390 730 520 960 420V640H0Z" fill="#33345c"/>
  <path d="M0 560 Q240 500 480 560 T960 540V640H0Z" fill="#1f2140"/></svg>`;

async function sampleFiles(browser: Browser): Promise<ChosenFile[]> {
  const page = await browser.newPage({ viewport: { width: 960, height: 640 } });
  await page.setContent(`<body style="margin:0">${LANDSCAPE}`);
  const buffer = await page.screenshot({ type: "jpeg", quality: 90 });
  await page.close();
  return [
    { name: "sunset.jpg", mimeType: "image/jpeg", buffer },
    { name: "measurements.csv", mimeType: "text/csv", buffer: Buffer.from("time,value\n".padEnd(18_000, "1,2\n")) },
    { name: "report-2026.pdf", mimeType: "application/pdf", buffer: Buffer.alloc(2.4 * MIB, "%PDF-1.7\n") },
  ];
}

/** The same picture in 256 colours, which takes a third of the bytes. */
function withPalette(png: Buffer): Buffer {
  return execFileSync("pngquant", ["--speed=1", "--strip", "-"], { input: png, maxBuffer: 16 * MIB });
}

async function take(name: string, { context, isWhole = false, prepare }: Picture): Promise<void> {
  // each picture has an empty store, so that every file is new
  const folder = mkdtempSync(path.join(tmpdir(), "fixity-screenshots-"));
  const server = await ServerProcess.start({ dir: path.join(folder, "data") });
  const browser = await chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--hide-scrollbars", `--host-resolver-rules=MAP localhost 127.0.0.1:${server.port}`],
  });
  try {
    const files = await sampleFiles(browser);
    const opened = await browser.newContext({ locale: "en", reducedMotion: "reduce", bypassCSP: true, ...context });
    const page = await opened.newPage();
    await prepare(page, files);
    await page.addStyleTag({ content: FONT });
    const file = path.join(IMAGES, `${name}.png`);
    const picture = withPalette(await page.screenshot({ fullPage: isWhole }));
    await writeFile(file, picture);
    console.log(`${path.relative(process.cwd(), file)}: ${formatSize(picture.length)}`);
  } finally {
    await browser.close();
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

const wanted = process.argv.slice(2);
await mkdir(IMAGES, { recursive: true });
for (const [name, picture] of Object.entries(PICTURES)) {
  if (wanted.length === 0 || wanted.includes(name)) await take(name, picture);
}
