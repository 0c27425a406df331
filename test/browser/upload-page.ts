import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { after, test, type TestContext } from "node:test";
import type { Browser, BrowserContext, BrowserContextOptions, CDPSession, Locator, Page } from "playwright-core";
import { needingChromium, startBrowser } from "./browser.ts";

export const MIB: number = 1024 ** 2;

/** The bytes of a picture of one pixel. */
export const PNG: Buffer = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);

/** One browser for all tests of a file, because starting it takes longer than most of them. */
let browser: Promise<Browser> | null = null;
after(async () => {
  await (await browser)?.close();
});

/** A file as a chooser gives it. */
export interface ChosenFile {
  readonly name: string;
  readonly mimeType: string;
  readonly buffer: Buffer;
}

export function file(name: string, content: string | Buffer, mimeType = ""): ChosenFile {
  return { name, mimeType, buffer: Buffer.from(content) };
}

/** The upload page, opened in a new browser context. */
export class UploadPage implements AsyncDisposable {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Everything that the browser reports, including violations of the policy, and every request to another origin. */
  readonly complaints: string[] = [];

  private constructor(page: Page, context: BrowserContext) {
    this.page = page;
    this.context = context;
  }

  /** @param script runs in the page before its own */
  static async open(url: string, options: BrowserContextOptions = {}, script = ""): Promise<UploadPage> {
    browser ??= startBrowser();
    const context = await (await browser).newContext(options);
    await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: new URL(url).origin });
    const page = await context.newPage();
    page.setDefaultTimeout(15_000);
    if (script !== "") await page.addInitScript(script);
    const opened = new UploadPage(page, context);
    opened.#watch(new URL(url).origin);
    await page.goto(url);
    if (options.javaScriptEnabled !== false) await page.locator("html.scripted").waitFor();
    return opened;
  }

  #watch(origin: string): void {
    const { page, complaints } = this;
    page.on("console", (message) => {
      // except refusals of the server, and requests for what it does not have
      if (message.type() === "error" && !/Failed to load resource/.test(message.text()))
        complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(`${origin}/`) && !url.startsWith("blob:")) complaints.push(url);
    });
  }

  /** Chooses files in the Dashboard. */
  async choose(...files: readonly (ChosenFile | string)[]): Promise<void> {
    const input = this.page.locator("input[name='files[]']").first();
    // paths and contents cannot be mixed, and are not
    await input.setInputFiles(files as ChosenFile[]);
  }

  /** Resolves when the list has `count` links. */
  async stored(count: number): Promise<void> {
    await this.page.waitForFunction((count) => document.querySelectorAll(".file").length === count, count);
  }

  /** The links in the list, from the newest. */
  async links(): Promise<readonly string[]> {
    return this.page.locator(".link").evaluateAll((links) => links.map((link) => (link as HTMLAnchorElement).href));
  }

  row(name: string): Locator {
    return this.page.locator(".file", { hasText: name });
  }

  async clipboard(): Promise<string> {
    return this.page.evaluate(() => navigator.clipboard.readText());
  }

  /** Limits what the page sends, in bytes per second. */
  async throttle(uploadThroughput: number): Promise<CDPSession> {
    const devtools = await this.context.newCDPSession(this.page);
    const conditions = { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput };
    await devtools.send("Network.emulateNetworkConditions", conditions);
    return devtools;
  }

  /** The violations that axe finds, by the names of its rules. */
  async violations(): Promise<readonly string[]> {
    const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
    await this.page.addScriptTag({ content: axe });
    return this.page.evaluate(async () => {
      interface Found {
        readonly id: string;
        readonly nodes: readonly { readonly html: string }[];
      }
      const { axe } = globalThis as unknown as {
        axe: { run: (options: object) => Promise<{ violations: readonly Found[] }> };
      };
      // new in WCAG 2.2, and the only rule of it that is off by default
      const rules = { "target-size": { enabled: true } };
      return (await axe.run({ rules })).violations.map(
        ({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`,
      );
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.context.close();
  }
}

/** A test that needs Chromium. */
export function browserTest(name: string, run: (t: TestContext) => Promise<void>): void {
  void test(name, needingChromium(), run);
}
