import type { Page } from "playwright-core";
import { startBrowser } from "../../test/browser/browser.ts";
import { type ClientSite, openClientSite } from "../../test/browser/client-site.ts";
import type { LargeFile } from "./large-file.ts";

/** How a page sends its file, and where. */
export interface PageRun {
  readonly endpoint: string;
  readonly sender: "fixity" | "uppy";
}

/** The result of a run. */
export interface PageSpeed {
  readonly seconds: number;
  /** Milliseconds of the page's longest task; 0 if no task took more than 50. */
  readonly longest: number;
  /** Bytes of content that were sent. */
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

  /** Uploads a file from a freshly loaded page. */
  async upload(file: LargeFile, run: PageRun): Promise<PageSpeed> {
    await this.#page.goto(`http://127.0.0.1:${this.#site.port}/`);
    await this.#page.setInputFiles("#file", file.path);
    return await this.#page.evaluate<PageSpeed>(`speedOf(${JSON.stringify(run)})`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync();
  }
}
