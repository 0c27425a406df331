/** Pages that own bundlers have built from the package, in Chromium. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { build } from "esbuild";
import { needingChromium, openBrowser } from "./browser.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { installBuiltPackage } from "./built-package.ts";

let project = "";
before(async () => {
  project = await mkdtemp(join(tmpdir(), "fixity-bundled-"));
  await installBuiltPackage(project);
});
after(() => rm(project, { recursive: true, force: true }));

const APP = `
import { createClient } from "fixity/client";
import { stripMetadata } from "fixity/client/strip-metadata";
window.roundTrip = async (endpoint, worker) => {
  const client = createClient({ endpoint, prepare: stripMetadata, worker });
  const { url, digest } = await client.upload(new Blob(["bundled ".repeat(400_000)]), { declare: true });
  // without a worker it could not be verified
  await new Response((await client.download(url)).stream).text();
  client.close();
  return digest;
};`;

interface RoundTrip {
  readonly roundTrip: (endpoint: string, worker: string) => Promise<string>;
}

test("esbuild bundles the page, and the worker as an entry of its own", needingChromium(), async () => {
  await writeFile(join(project, "app.js"), APP);
  await build({
    absWorkingDir: project,
    entryPoints: [
      { in: "app.js", out: "app" },
      { in: "fixity/client/worker", out: "hash-worker" },
    ],
    bundle: true,
    minify: true,
    format: "esm",
    outdir: "assets",
    logLevel: "error",
  });
  const site = createServer((request, response) => {
    const path = new URL(request.url ?? "", "http://site").pathname;
    if (path === "/") {
      response.writeHead(200, { "Content-Type": "text/html" });
      response.end(
        '<!doctype html><link rel="icon" href="data:,"><script type="module" src="/assets/app.js"></script>',
      );
      return;
    }
    readFile(join(project, path)).then(
      (script) => response.writeHead(200, { "Content-Type": "text/javascript" }).end(script),
      () => response.writeHead(404).end(),
    );
  }).listen(0, "127.0.0.1");
  await once(site, "listening");
  const origin = `http://127.0.0.1:${(site.address() as AddressInfo).port}`;
  await using server = await ServerProcess.start({ dir: join(project, "data"), env: { UPLOAD_CORS_ORIGINS: origin } });
  try {
    await using browser = await openBrowser();
    const page = await browser.context.newPage();
    await page.goto(origin);
    const digest = await page.evaluate(
      (endpoint) => (window as unknown as RoundTrip).roundTrip(endpoint, "/assets/hash-worker.js"),
      `${server.url}/uploads`,
    );
    assert.equal(digest, `sha256:${sha256("bundled ".repeat(400_000))}`);
  } finally {
    site.close();
    site.closeAllConnections();
  }
});
