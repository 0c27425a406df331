import type { Page } from "playwright-core";
import { startBrowser } from "../../test/browser/browser.ts";
import { type ClientSite, openClientSite } from "../../test/browser/client-site.ts";
import type { LargeFile } from "./large-file.ts";

/** What a page is to send its file by, and where. */
export interface PageRun {
  readonly endpoint: string;
  readonly sender: "fixity" | "uppy";
}

/** How that went. */
export interface PageSpeed {
  readonly seconds: number;
  /** Milliseconds of the longest task of the page, of those of more than 50; 0 where there was none. */
  readonly longest: number;
  /** Bytes of content. */
  readonly sent: number;
}

/** A page of another origin that uploads files, in a real browser. */
export class UploadPage implements AsyncDisposable {
  readonly #page: Page;
  readonly #site: ClientSite;
  readonly #opened: AsyncDisposableStack;

  private constructor(page: Page, site: ClientSite, opened: AsyncDisposableStack) {
    this.#page = page;
    this.#site = site;
    this.#opened = opened;
  }

  static async open(): Promise<UploadPage> {
    await using stack = new AsyncDisposableStack();
    const site = stack.use(await openClientSite(new URL("speed-page.ts", import.meta.url)));
    const browser = await startBrowser();
    stack.defer(() => browser.close());
    return new UploadPage(await browser.newPage(), site, stack.move());
  }

  /** Uploads a file by a page that has done nothing before. */
  async upload(file: LargeFile, run: PageRun): Promise<PageSpeed> {
    await this.#page.goto(`http://127.0.0.1:${this.#site.port}/`);
    await this.#page.setInputFiles("#file", file.path);
    return await this.#page.evaluate<PageSpeed>(`speedOf(${JSON.stringify(run)})`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync();
  }
}
