import type { BrowserContext, Page, Request } from "playwright-core";

/** A page, and its requests to a service. */
export interface WatchedPage {
  readonly page: Page;
  /** Requests to the service. */
  readonly sent: Request[];
  /** What the browser reports: violations of the policy, and uncaught errors. */
  readonly complaints: string[];
}

/** Opens a page of a site that uses a service of another origin. */
export async function openWatchedPage(context: BrowserContext, url: string): Promise<WatchedPage> {
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const sent: Request[] = [];
  const complaints: string[] = [];
  page.on("request", (request) => {
    if (request.url().includes("/uploads")) sent.push(request);
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (/policy|refused/i.test(message.text())) complaints.push(message.text());
  });
  await page.goto(url);
  return { page, sent, complaints };
}
