/** The page where it has less than usual: no site data, or an address below a path that only a proxy sees. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium, type Page } from "playwright-core";
import { someOf } from "../helpers/full-run.ts";
import { FrontServer } from "../helpers/front-server.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { browserTest, file, UploadPage } from "./upload-page.ts";

const TOKEN = "a-token-for-the-page";

let folder = "";
let server: ServerProcess;
let guarded: ServerProcess;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
  server = await ServerProcess.start({ dir: join(folder, "data") });
  guarded = await ServerProcess.start({ dir: join(folder, "guarded"), env: { UPLOAD_TOKENS: TOKEN } });
});
after(async () => {
  await Promise.all([server.stop(), guarded.stop()]);
  await rm(folder, { recursive: true, force: true });
});

/** Ways in which a browser keeps storage from a page, as a script that runs before the page's. */
const STORAGES: Readonly<Record<string, string>> = {
  blocked: `for (const name of ["sessionStorage", "localStorage", "indexedDB", "caches", "cookieStore"])
    Object.defineProperty(window, name, { get() { throw new DOMException("blocked", "SecurityError"); } });
    Object.defineProperty(document, "cookie", { get() { throw new DOMException("blocked", "SecurityError"); } });`,
  missing: `for (const name of ["sessionStorage", "localStorage", "indexedDB"])
    Object.defineProperty(window, name, { get() { return null; } });`,
  full: `Storage.prototype.setItem = () => { throw new DOMException("full", "QuotaExceededError"); };`,
  broken: `for (const name of ["getItem", "setItem", "removeItem", "key"])
    Storage.prototype[name] = () => { throw new DOMException("broken", "InvalidStateError"); };`,
};

async function assertWorks(page: Page, url: string): Promise<void> {
  const text = `stored without storage at ${url}`;
  const chosen = [file("small.txt", text), file("large.bin", Buffer.alloc(3 * 1024 ** 2, url))];
  await page.locator("input[name='files[]']").first().setInputFiles(chosen);
  await page.waitForFunction(() => document.querySelectorAll(".file").length === 2);
  const links = await page
    .locator(".link")
    .evaluateAll((links) => links.map((link) => (link as HTMLAnchorElement).href));
  assert.ok(links.includes(`${url}/uploads/${sha256(text)}.txt`), links.join());
  assert.equal(await page.locator("#failures").isHidden(), true);
}

for (const [how, script] of someOf(Object.entries(STORAGES), 2)) {
  browserTest(`the page uploads and shows links if storage is ${how}`, async () => {
    await using opened = await UploadPage.open(server.url, {}, script);
    await assertWorks(opened.page, server.url);
    assert.deepEqual(opened.complaints, []);
  });

  browserTest(`a token is used while the page is open if storage is ${how}`, async () => {
    await using opened = await UploadPage.open(guarded.url, {}, script);
    await opened.page.locator("#token").fill(TOKEN);
    await opened.page.getByRole("button", { name: "Save" }).click();
    await assertWorks(opened.page, guarded.url);
    assert.deepEqual(opened.complaints, []);
  });
}

browserTest("the page works in a browser that blocks all cookies and site data", async () => {
  const profile = join(folder, "profile");
  await mkdir(join(profile, "Default"), { recursive: true });
  const preferences = { profile: { default_content_setting_values: { cookies: 2 } } };
  await writeFile(join(profile, "Default", "Preferences"), JSON.stringify(preferences));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox"],
  });
  try {
    const page = await context.newPage();
    await page.goto(server.url);
    await page.locator("html.scripted").waitFor();
    const isBlocked = await page.evaluate(() => {
      try {
        return sessionStorage === null;
      } catch {
        return true;
      }
    });
    assert.ok(isBlocked, "the preference has its effect");
    await assertWorks(page, server.url);
  } finally {
    await context.close();
  }
});

browserTest("remembered links are shown again, except for a broken entry", async () => {
  await using opened = await UploadPage.open(server.url);
  await opened.choose(file("kept.txt", "kept"));
  await opened.stored(1);
  await opened.page.evaluate(() => {
    const kept = JSON.parse(localStorage.getItem("fixity:links:/uploads") ?? "[]") as unknown[];
    const broken = [{ url: "http://" }, { url: "javascript:alert(1)" }, null, 7, {}, { url: "http://[" }];
    localStorage.setItem("fixity:links:/uploads", JSON.stringify([...broken, ...kept]));
  });
  await opened.page.reload();
  await opened.stored(1);
  assert.deepEqual(await opened.links(), [`${server.url}/uploads/${sha256("kept")}.txt`]);
});

void test(
  "behind a proxy that strips a path, the page, its form and its command upload below that path",
  needing("nginx"),
  async () => {
    const env = { UPLOAD_PUBLIC_URL: "http://files.example.com/share/" };
    await using shared = await ServerProcess.start({ dir: join(folder, "shared"), env });
    const config =
      "server { listen 80; location /share/ { proxy_pass http://127.0.0.1:3000/; proxy_set_header Host $http_host; } }";
    await using front = await FrontServer.nginxWith(config, { "http://127.0.0.1:3000/": `${shared.url}/` });
    // the operator's own way in has to work, too
    for (const base of [`http://127.0.0.1:${front.port}/share`, shared.url]) {
      const plain = await UploadPage.open(`${base}/`, { javaScriptEnabled: false });
      assert.equal(
        await plain.page.locator("#plain").evaluate((form) => (form as HTMLFormElement).action),
        `${base}/uploads`,
      );
      const command = "curl -F upload=@FILE http://files.example.com/share/uploads";
      assert.equal(await plain.page.locator("#curl").textContent(), command);
      await plain[Symbol.asyncDispose]();
      await using opened = await UploadPage.open(`${base}/`);
      await opened.choose(file("shared.txt", `shared at ${base}`));
      await opened.stored(1);
      assert.deepEqual(await opened.links(), [
        `http://files.example.com/share/uploads/${sha256(`shared at ${base}`)}.txt`,
      ]);
      assert.equal(await opened.page.locator("#curl").textContent(), `curl -F upload=@FILE ${base}/uploads`);
    }
  },
);
