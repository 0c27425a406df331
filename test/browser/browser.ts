import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
export async function startBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: chromiumPath() ?? "chromium", args: FLAGS });
}

type ContextOptions = NonNullable<Parameters<typeof chromium.launchPersistentContext>[1]>;

/** A Chromium of its own, with a new profile. `args` are added to those of all tests. */
export async function openBrowser({ args = [], ...options }: ContextOptions = {}): Promise<
  { context: BrowserContext } & AsyncDisposable
> {
  const profile = await mkdtemp(join(tmpdir(), "fixity-chromium-"));
  const executablePath = chromiumPath() ?? "chromium";
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    args: [...FLAGS, ...args],
    ...options,
  });
  return {
    context,
    async [Symbol.asyncDispose]() {
      await context.close();
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
