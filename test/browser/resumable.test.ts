/** The clients that pages use for tus, as they are, in a real browser and from pages of another origin. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { BrowserContext, Page, Request } from "playwright-core";
import type * as tus from "tus-js-client";
import { BreakingProxy } from "../helpers/breaking-proxy.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { needingChromium, openBrowser } from "./browser.ts";
import { bundled, openSite, type OtherSite } from "./other-site.ts";

declare global {
  interface Window {
    tus: typeof tus;
  }
}

const MIB = 1024 ** 2;
const TUS = { "Tus-Resumable": "1.0.0" };
const browserTest = (name: string, run: () => Promise<void>): void => void test(name, needingChromium(), run);

let folder = "";
let tusSite: OtherSite;
let uppySite: OtherSite;
let server: ServerProcess;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
  const client = createRequire(import.meta.url).resolve("tus-js-client/dist/tus.min.js");
  tusSite = await openSite(await readFile(client, "utf8"));
  uppySite = await openSite(await bundled(fileURLToPath(new URL("uppy-page.ts", import.meta.url))));
  const env = { UPLOAD_CORS_ORIGINS: `${tusSite.origin},${uppySite.origin}` };
  server = await ServerProcess.start({ dir: join(folder, "data"), env });
});
after(async () => {
  await server.stop();
  await tusSite[Symbol.asyncDispose]();
  await uppySite[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

async function openPage(context: BrowserContext, { origin }: OtherSite): Promise<{ page: Page; sent: Request[] }> {
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const sent: Request[] = [];
  page.on("request", (request) => sent.push(request));
  await page.goto(origin);
  return { page, sent };
}

async function fileOf(name: string, bytes: Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  return path;
}

/** What is stored under a link, and how it is told. */
async function stored(url: string): Promise<{ hash: string; type: string | null }> {
  const answer = await fetch(url);
  assert.equal(answer.status, 200);
  return { hash: sha256(Buffer.from(await answer.arrayBuffer())), type: answer.headers.get("content-type") };
}

/** Uploads the chosen file to its end, and gives the address of the upload and the link. */
function uploadIn(page: Page, endpoint: string): Promise<{ url: string; link: string | null; retries: number }> {
  return page.evaluate(
    (to) =>
      new Promise((resolve, reject) => {
        const [file] = document.querySelector<HTMLInputElement>("#file")?.files ?? [];
        let retries = 0;
        const upload = new window.tus.Upload(file as File, {
          endpoint: to,
          chunkSize: 1024 ** 2,
          retryDelays: [0, 50, 100, 200, 400],
          metadata: { filename: file?.name ?? "", filetype: file?.type ?? "" },
          onShouldRetry: () => (retries += 1) > 0,
          onError: reject,
          onSuccess: ({ lastResponse }) =>
            resolve({ url: upload.url ?? "", link: lastResponse.getHeader("Content-Location") ?? null, retries }),
        });
        upload.start();
      }),
    endpoint,
  );
}

browserTest("tus-js-client: a file in chunks, whose link can be read, and the end of its upload", async () => {
  await using browser = await openBrowser();
  const { page, sent } = await openPage(browser.context, tusSite);
  const bytes = randomBytes(5 * MIB + 1);
  await page.setInputFiles("#file", await fileOf("Bericht ü.pdf", bytes));
  const { url, link } = await uploadIn(page, `${server.url}/uploads`);
  assert.equal(link, `/uploads/${sha256(bytes)}.pdf`);
  assert.deepEqual(await stored(server.url + link), { hash: sha256(bytes), type: "application/pdf" });
  assert.equal(sent.filter((request) => request.method() === "PATCH").length, 6);
  await page.evaluate((at) => window.tus.Upload.terminate(at), url);
  assert.equal((await fetch(url, { method: "HEAD", headers: TUS })).status, 404);
  await stored(server.url + link);
});

browserTest("tus-js-client: an abandoned upload resumes after the page was reloaded", async () => {
  await using browser = await openBrowser();
  const { page, sent } = await openPage(browser.context, tusSite);
  const bytes = randomBytes(6 * MIB);
  const path = await fileOf("film.mp4", bytes);
  const endpoint = `${server.url}/uploads`;
  await page.setInputFiles("#file", path);
  const first = await page.evaluate(
    (to) =>
      new Promise<string>((resolve, reject) => {
        const [file] = document.querySelector<HTMLInputElement>("#file")?.files ?? [];
        const upload = new window.tus.Upload(file as File, {
          endpoint: to,
          chunkSize: 1024 ** 2,
          onError: reject,
          onChunkComplete: (_size, accepted) => {
            if (accepted === 3 * 1024 ** 2) void upload.abort().then(() => resolve(upload.url ?? ""));
          },
        });
        upload.start();
      }),
    endpoint,
  );
  await page.reload();
  sent.length = 0;
  await page.setInputFiles("#file", path);
  const again = await page.evaluate(
    (to) =>
      new Promise<{ url: string; link: string | undefined }>((resolve, reject) => {
        const [file] = document.querySelector<HTMLInputElement>("#file")?.files ?? [];
        const upload = new window.tus.Upload(file as File, {
          endpoint: to,
          onError: reject,
          onSuccess: ({ lastResponse }) =>
            resolve({ url: upload.url ?? "", link: lastResponse.getHeader("Content-Location") }),
        });
        void upload.findPreviousUploads().then(([previous]) => {
          if (previous === undefined) return reject(new Error("nothing was remembered"));
          upload.resumeFromPreviousUpload(previous);
          upload.start();
        });
      }),
    endpoint,
  );
  assert.equal(again.url, first);
  const requests = sent.filter((request) => request.url() === first && request.method() !== "OPTIONS");
  assert.deepEqual(
    requests.map((request) => request.method()),
    ["HEAD", "PATCH"],
  );
  const offset = Number(requests[1]?.headers()["upload-offset"]);
  assert.ok(offset >= 3 * MIB, `${offset}`);
  assert.deepEqual(await stored(server.url + again.link), { hash: sha256(bytes), type: "application/octet-stream" });
});

browserTest("tus-js-client: connections that are cut in the middle of a chunk", async () => {
  await using browser = await openBrowser();
  await using breaking = await BreakingProxy.start(server.port, 1.6 * MIB);
  const { page } = await openPage(browser.context, tusSite);
  const bytes = randomBytes(5 * MIB);
  await page.setInputFiles("#file", await fileOf("a.png", bytes));
  const { link, retries } = await uploadIn(page, `${breaking.url}/uploads`);
  assert.ok(breaking.broken > 0 && retries > 0, `${breaking.broken} cuts, ${retries} retries`);
  assert.deepEqual(await stored(server.url + link), { hash: sha256(bytes), type: "image/png" });
});

browserTest("tus-js-client: a page of an unlisted origin is refused", async () => {
  await using browser = await openBrowser();
  await using site = await openSite("");
  const { page } = await openPage(browser.context, site);
  const attempt = page.evaluate(
    (to) => fetch(to, { method: "POST", headers: { "Tus-Resumable": "1.0.0", "Upload-Length": "5" } }),
    `${server.url}/uploads`,
  );
  await assert.rejects(attempt, /Failed to fetch/);
});

browserTest("Uppy: several files, with their names and types", async () => {
  await using browser = await openBrowser();
  const { page } = await openPage(browser.context, uppySite);
  const contents = new Map([
    ["one ü.txt", [randomBytes(700_000), "text/plain; charset=utf-8"]],
    ["two.png", [randomBytes(10), "image/png"]],
    ["three.bin", [Buffer.alloc(0), "application/octet-stream"]],
  ] as const);
  const paths = await Promise.all([...contents].map(([name, [bytes]]) => fileOf(name, bytes)));
  await page.setInputFiles("#file", paths);
  const outcome = await page.evaluate(
    (to) => window.uppyUpload({ endpoint: to, pauses: false }),
    `${server.url}/uploads`,
  );
  assert.deepEqual([outcome.failed, outcome.uploads.map(({ name }) => name).sort()], [0, [...contents.keys()].sort()]);
  for (const { name, url } of outcome.uploads) {
    const [bytes, type] = contents.get(name as "two.png") ?? assert.fail(name);
    const receipt = (await (await fetch(url, { headers: { accept: "application/json" } })).json()) as { name: string };
    assert.equal(receipt.name, name);
    assert.deepEqual(await stored(url), { hash: sha256(bytes), type });
  }
});

browserTest("Uppy: an upload is paused and resumed", async () => {
  await using browser = await openBrowser();
  const { page, sent } = await openPage(browser.context, uppySite);
  const bytes = randomBytes(8 * MIB);
  await page.setInputFiles("#file", await fileOf("large.iso", bytes));
  const outcome = await page.evaluate(
    (to) => window.uppyUpload({ endpoint: to, pauses: true }),
    `${server.url}/uploads`,
  );
  assert.equal(outcome.failed, 0);
  const [before = 0, later] = outcome.paused ?? [];
  assert.ok(before < bytes.length && before === later, `${before} of ${bytes.length}, then ${later}`);
  assert.equal(sent.filter((request) => request.method() === "POST").length, 1);
  assert.equal((await stored(outcome.uploads[0]?.url ?? "")).hash, sha256(bytes));
});
