import { execFileSync } from "node:child_process";
import { after } from "node:test";
import { type Browser, type BrowserContext, chromium } from "playwright-core";
import { isFullRun } from "../helpers/full-run.ts";

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

/**
 * Chromium's engine without the rest of the browser, where it is installed: a page takes a third of the CPU time. A full
 * run takes the whole browser, and so do tests of what only that has.
 */
const SHELL = "chromium-headless-shell";
const WHOLE = "chromium";

/** Where Chromium is, or `null`. */
function chromiumPath(isWhole = false): string | null {
  const programs = isWhole || isFullRun ? [WHOLE] : [SHELL, WHOLE];
  try {
    return execFileSync("sh", ["-c", `command -v ${programs.join(" || command -v ")}`], { encoding: "utf8" }).trim();
  } catch {
    return null;
  }
}

/** Options for a browser test: skipped, with the reason, where there is no Chromium. In CI it fails instead. */
export function needingChromium(): { readonly skip: string | false } {
  return { skip: chromiumPath() !== null || process.env["CI"] === "true" ? false : "needs chromium" };
}

/** A Chromium for many pages, each with a context of its own. */
export async function startBrowser(args: readonly string[] = [], isWhole = false): Promise<Browser> {
  return chromium.launch({ executablePath: chromiumPath(isWhole) ?? WHOLE, args: [...FLAGS, ...args] });
}

type ContextOptions = NonNullable<Parameters<Browser["newContext"]>[0]>;

/** The Chromium that the tests of one file share. To start one takes longer than most of these tests. */
let shared: Promise<Browser> | null = null;
after(async () => (await shared)?.close());

interface BrowserOptions extends ContextOptions {
  readonly args?: readonly string[];
  /** Whether the test needs more than the engine, such as the viewer of PDF files. */
  readonly isWhole?: boolean;
}

/** A profile of its own, empty, with its own cache and storage. `args` and `isWhole` start another Chromium for it. */
export async function openBrowser({ args, isWhole = false, ...options }: BrowserOptions = {}): Promise<
  { context: BrowserContext } & AsyncDisposable
> {
  const own = args === undefined && !isWhole ? null : await startBrowser(args, isWhole);
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
