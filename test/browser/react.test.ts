/** `fixity/react` in the example that Vite builds from the package, in Chromium. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, request as send } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { Service, sha256 } from "../helpers/service.ts";
import { needingChromium, openBrowser } from "./browser.ts";
import { installBuiltPackage } from "./built-package.ts";

const EXAMPLE = fileURLToPath(new URL("../../examples/react-vite/", import.meta.url));
const TYPES: Readonly<Record<string, string>> = { ".html": "text/html", ".js": "text/javascript" };
const MIB = 1024 ** 2;

/** What the site does with the content of uploads. */
type Gate = "open" | "held" | "failing";

test("the example with React uploads, pauses, resumes, retries and cancels", needingChromium(), async () => {
  const folder = await mkdtemp(join(tmpdir(), "fixity-react-"));
  await installBuiltPackage(folder);
  await cp(EXAMPLE, join(folder, "app"), { recursive: true });
  await build({ root: join(folder, "app"), logLevel: "error", configFile: false });

  await using service = await Service.start();
  let gate: Gate = "open";
  const release: (() => void)[] = [];
  const open = (): void => {
    gate = "open";
    for (const go of release.splice(0)) go();
  };
  const site = createServer((request, response) => {
    const { url = "/", method, headers } = request;
    if (!url.startsWith("/uploads")) {
      const file = join(folder, "app/dist", url === "/" ? "index.html" : url);
      readFile(file).then(
        (bytes) => response.writeHead(200, { "Content-Type": TYPES[extname(file)] ?? "text/plain" }).end(bytes),
        () => response.writeHead(404).end(),
      );
      return;
    }
    const isContent = method === "PATCH";
    if (isContent && gate === "failing") {
      request.resume().on("end", () => response.writeHead(400).end());
      return;
    }
    const pass = (): void => {
      const onward = send({ port: service.port, path: url, method, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(response);
      });
      onward.on("error", () => response.destroy());
      response.on("close", () => onward.destroy());
      request.pipe(onward);
    };
    if (isContent && gate === "held") release.push(pass);
    else pass();
  }).listen(0, "127.0.0.1");
  await once(site, "listening");
  try {
    await using browser = await openBrowser();
    const page = await browser.context.newPage();
    page.setDefaultTimeout(20_000);
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    await page.goto(`http://127.0.0.1:${(site.address() as AddressInfo).port}/`);
    const choose = async (name: string, bytes: Uint8Array): Promise<void> => {
      await writeFile(join(folder, name), bytes);
      await page.getByLabel("Files").setInputFiles(join(folder, name));
    };
    const row = (name: string) => page.getByRole("listitem").filter({ hasText: name });
    const click = (name: string, button: string) => row(name).getByRole("button", { name: button }).click();
    const stored = async (name: string, bytes: Uint8Array): Promise<void> => {
      const link = row(name).getByRole("link");
      assert.equal((await link.getAttribute("href"))?.includes(sha256(bytes)), true);
    };

    const small = randomBytes(1000);
    await choose("small.bin", small);
    await stored("small.bin", small);

    gate = "held";
    const film = randomBytes(4 * MIB);
    await choose("film.bin", film);
    await row("film.bin").getByRole("progressbar").waitFor();
    await click("film.bin", "Pause");
    await row("film.bin").getByText("paused").waitFor();
    open();
    await click("film.bin", "Resume");
    await stored("film.bin", film);

    gate = "failing";
    const failing = randomBytes(4 * MIB);
    await choose("failing.bin", failing);
    await row("failing.bin").getByText("The server responded with status 400.").waitFor();
    open();
    await click("failing.bin", "Retry");
    await stored("failing.bin", failing);

    gate = "held";
    await choose("unwanted.bin", randomBytes(4 * MIB));
    await row("unwanted.bin").getByRole("progressbar").waitFor();
    await click("unwanted.bin", "Cancel");
    await row("unwanted.bin").getByText("cancelled").waitFor();
    await click("unwanted.bin", "Remove");
    await row("unwanted.bin").waitFor({ state: "detached" });
    assert.equal(await page.getByRole("listitem").count(), 3);
    assert.equal(await service.count(), 3);
    assert.deepEqual(errors, []);
  } finally {
    open();
    site.close();
    site.closeAllConnections();
    await rm(folder, { recursive: true, force: true });
  }
});
