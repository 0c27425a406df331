import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { launch } from "puppeteer-core";
import { freePort } from "../helpers/free-port.ts";
import { startBrowser } from "./browser.ts";

/** The browser engines that tests can drive. */
export const ENGINES = ["chromium", "firefox", "webkit"] as const;
export type EngineName = (typeof ENGINES)[number];

/** A browser of one engine with a profile of its own, and one page in it. */
export interface Engine extends AsyncDisposable {
  /** The language that it prefers. WebKitGTK takes that of the system, where none but English may be installed. */
  readonly language: "de" | "en";
  /** Opens a URL in the page and resolves when it has loaded. */
  goto(url: string): Promise<void>;
  /**
   * Calls a function in the page. It must use nothing from around it; argument and result must fit in JSON. The page's own
   * policy does not apply to the call itself.
   */
  evaluate<Argument, Result>(call: (argument: Argument) => Result, argument: Argument): Promise<Awaited<Result>>;
}

const PROGRAMS: Readonly<Record<EngineName, string>> = {
  chromium: "chromium",
  firefox: "firefox-esr",
  webkit: "WebKitWebDriver",
};

/** Options for a test that drives an engine: skipped, with the reason, where it is missing. In CI the test fails instead. */
export function needingEngine(name: EngineName): { readonly skip: string | false } {
  const programs = name === "webkit" ? [PROGRAMS[name], "Xvfb"] : [PROGRAMS[name]];
  const missing = programs.filter((program) => spawnSync("which", [program]).status !== 0);
  return { skip: missing.length === 0 || process.env["CI"] === "true" ? false : `needs ${missing.join(" and ")}` };
}

export function startEngine(name: EngineName): Promise<Engine> {
  return { chromium: startChromium, firefox: startFirefox, webkit: startWebKit }[name]();
}

async function startChromium(): Promise<Engine> {
  const browser = await startBrowser();
  const page = await browser.newPage({ locale: "de-DE" });
  return {
    language: "de",
    goto: async (url) => void (await page.goto(url)),
    // its type of functions knows about handles of the page, which are not used here
    evaluate: (call, argument) => page.evaluate(call as never, argument as never),
    [Symbol.asyncDispose]: () => browser.close(),
  };
}

/** By WebDriver BiDi. */
async function startFirefox(): Promise<Engine> {
  const executablePath = spawnSync("which", [PROGRAMS.firefox], { encoding: "utf8" }).stdout.trim();
  const browser = await launch({
    browser: "firefox",
    executablePath,
    headless: true,
    extraPrefsFirefox: { "intl.accept_languages": "de-DE,en-US" },
  });
  const page = await browser.newPage();
  return {
    language: "de",
    goto: async (url) => void (await page.goto(url)),
    evaluate: (call, argument) => page.evaluate(call as never, argument as never),
    [Symbol.asyncDispose]: () => browser.close(),
  };
}

/** Where WebKitGTK's browser for tests is: Debian puts it below the folder of its architecture. */
function miniBrowser(): string {
  const { stdout } = spawnSync("sh", ["-c", "ls /usr/lib/*/webkit2gtk-4.*/MiniBrowser"], { encoding: "utf8" });
  return stdout.split("\n")[0] ?? "";
}

/** By WebDriver. WebKitGTK has no mode without a screen, so it gets one of its own. */
async function startWebKit(): Promise<Engine> {
  const folder = await mkdtemp(join(tmpdir(), "fixity-webkit-"));
  const display = await startScreen();
  const port = await freePort();
  const driver = spawn(PROGRAMS.webkit, [`--port=${port}`], {
    env: {
      ...process.env,
      DISPLAY: display.name,
      HOME: folder,
      XDG_CACHE_HOME: join(folder, "cache"),
      XDG_DATA_HOME: join(folder, "data"),
      XDG_CONFIG_HOME: join(folder, "config"),
      LC_ALL: "C.UTF-8",
      // its sandbox cannot be set up by root in a container, and there is no graphics card
      WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: "1",
      LIBGL_ALWAYS_SOFTWARE: "1",
      WEBKIT_DISABLE_COMPOSITING_MODE: "1",
    },
    stdio: "ignore",
  });
  const end = async (): Promise<void> => {
    if (driver.exitCode === null && driver.signalCode === null) {
      driver.kill();
      await once(driver, "exit");
    }
    await display.close();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const base = `http://127.0.0.1:${port}`;
    await answering(`${base}/status`);
    const { sessionId } = await command<{ sessionId: string }>(`${base}/session`, {
      capabilities: {
        alwaysMatch: {
          timeouts: { script: 60_000, pageLoad: 60_000 },
          "webkitgtk:browserOptions": { binary: miniBrowser(), args: ["--automation"] },
        },
      },
    });
    const session = `${base}/session/${sessionId}`;
    return {
      language: "en",
      goto: async (url) => void (await command(`${session}/url`, { url })),
      async evaluate(call, argument) {
        const script = `const [argument, done] = arguments;
          Promise.resolve(argument).then(${call.toString()}).then((value) => done({ value }), (error) => done({ error: String(error) }));`;
        const ended = await command<{ value: never; error?: string }>(`${session}/execute/async`, {
          script,
          args: [argument],
        });
        if (ended.error !== undefined) throw new Error(ended.error);
        return ended.value;
      },
      async [Symbol.asyncDispose]() {
        await fetch(session, { method: "DELETE" }).catch(() => null);
        await end();
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
}

interface Screen {
  /** For `DISPLAY`. */
  readonly name: string;
  close(): Promise<void>;
}

/** Xvfb picks a free number itself and reports it on a descriptor. */
async function startScreen(): Promise<Screen> {
  const screen = spawn("Xvfb", ["-displayfd", "3", "-screen", "0", "1280x900x24", "-nolisten", "tcp"], {
    stdio: ["ignore", "ignore", "ignore", "pipe"],
  });
  const [number] = (await once(screen.stdio[3] as NodeJS.ReadableStream, "data")) as [Buffer];
  return {
    name: `:${number.toString().trim()}`,
    async close() {
      if (screen.exitCode !== null || screen.signalCode !== null) return;
      screen.kill();
      await once(screen, "exit");
    },
  };
}

async function command<Value>(url: string, body: unknown): Promise<Value> {
  const response = await fetch(url, { method: "POST", body: JSON.stringify(body) });
  const { value } = (await response.json()) as { value: Value & { error?: string; message?: string } };
  if (!response.ok) throw new Error(`${value.error ?? response.status}: ${value.message ?? ""}`);
  return value;
}

/** Resolves when something listens there. */
async function answering(url: string): Promise<void> {
  for (let left = 200; left > 0; left -= 1) {
    if (
      await fetch(url).then(
        () => true,
        () => false,
      )
    )
      return;
    await delay(50);
  }
  throw new Error(`nothing answers at ${url}`);
}
