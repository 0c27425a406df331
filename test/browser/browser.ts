import { execFileSync } from "node:child_process";
import { after } from "node:test";
import { type Browser, type BrowserContext, chromium } from "playwright-core";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Where Chromium is, or `null`. */
function chromiumPath(): string | null {
  try {
    return execFileSync("sh", ["-c", "command -v chromium"], { encoding: "utf8" }).trim();
  } catch {
    return null;
  }
}

/** Options for a browser test: skipped, with the reason, where there is no Chromium. In CI it fails instead. */
export function needingChromium(): { readonly skip: string | false } {
  return { skip: chromiumPath() !== null || process.env["CI"] === "true" ? false : "needs chromium" };
}

/** A Chromium for many pages, each with a context of its own. */
export async function startBrowser(args: readonly string[] = []): Promise<Browser> {
  return chromium.launch({ executablePath: chromiumPath() ?? "chromium", args: [...FLAGS, ...args] });
}

type ContextOptions = NonNullable<Parameters<Browser["newContext"]>[0]>;

/** The Chromium that the tests of one file share. To start one takes longer than most of these tests. */
let shared: Promise<Browser> | null = null;
after(async () => (await shared)?.close());

/** A profile of its own, empty, with its own cache and storage. `args` start another Chromium for it. */
export async function openBrowser({
  args,
  ...options
}: ContextOptions & { readonly args?: readonly string[] } = {}): Promise<
  { context: BrowserContext } & AsyncDisposable
> {
  const own = args === undefined ? null : await startBrowser(args);
  const browser = own ?? (await (shared ??= startBrowser()));
  const context = await browser.newContext(options);
  return {
    context,
    async [Symbol.asyncDispose]() {
      await context.close();
      await own?.close();
    },
  };
}
