import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { AccessKeys } from "../../src/access/access-keys.ts";
import { Permits, type PermitTerms } from "../../src/access/permits.ts";
import { Command } from "../helpers/command.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { openBrowser } from "./browser.ts";
import { openClientSite } from "./client-site.ts";
import { endpointOf, only, PluginPlace, upload } from "./plugin-place.ts";
import { openWatchedPage } from "./watched-page.ts";
import { browserTest, file, MIB, PNG, UploadPage } from "./upload-page.ts";

const PERMIT_KEY = "a key that signs permits in these tests";
const TOKEN = "a-token-for-these-tests";
const HOUR_MS = 3_600_000;

const permits = new Permits(AccessKeys.parse([PERMIT_KEY], "permit"));

let folder = "";
let server: ServerProcess;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
  const env = { UPLOAD_TOKENS: `tests=${TOKEN}`, UPLOAD_PERMIT_KEYS: PERMIT_KEY };
  server = await ServerProcess.start({ dir: join(folder, "data"), env });
});
after(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

/** @param now when it is minted */
function mint(terms: Partial<PermitTerms> = {}, now: number = Date.now()): string {
  return permits.mint({ maxSize: MIB, expires: HOUR_MS, ...terms }, now).permit;
}

function openWith(permit: string): Promise<UploadPage> {
  return UploadPage.open(`${server.url}/#permit=${permit}`);
}

async function noteSays({ page }: UploadPage, text: string | RegExp): Promise<void> {
  await page.locator("#permit", { hasText: text }).waitFor();
}

browserTest("a permit in the page's address uploads, and is neither left there nor sent as a part of it", async () => {
  const permit = mint({ types: ["image/*", ".docx"] });
  await using opened = await openWith(permit);
  const { page } = opened;
  assert.equal(page.url(), `${server.url}/`);
  await noteSays(
    opened,
    /^With this permit you can upload files of up to 1 MiB until .*\. Accepted: images and \.docx\.$/,
  );
  assert.equal(await page.locator("#token-form").isVisible(), false);
  await opened.choose(file("picture.png", PNG));
  await opened.stored(1);
  assert.deepEqual(await opened.links(), [`${server.url}/uploads/${sha256(PNG)}.png`]);
  assert.ok(!server.output.includes(permit.slice(0, 20)));
  await page.reload();
  await noteSays(opened, "With this permit");
  await opened.choose(file("letter.docx", "after a reload"));
  await opened.stored(2);
  assert.deepEqual(opened.complaints, []);
});

browserTest("what a permit does not allow is refused before anything is sent", async () => {
  await using opened = await openWith(mint({ types: ["image/*"] }));
  const { page } = opened;
  const sent: string[] = [];
  page.on("request", (request) => request.method() === "POST" && sent.push(request.url()));
  await opened.choose(file("notes.txt", "no picture", "text/plain"));
  await page
    .locator("#failures", { hasText: "notes.txt cannot be uploaded with this permit. Accepted: images." })
    .waitFor();
  await opened.choose(file("large.png", Buffer.alloc(MIB + 1), "image/png"));
  await page.locator("#failures", { hasText: "large.png" }).waitFor();
  assert.deepEqual(sent, []);
  await opened.choose(file("picture.png", PNG, "image/png"));
  await opened.stored(1);
});

browserTest("the server refuses what a permit does not allow, whatever the page believes", async () => {
  // browsers have no type for files without an extension: the server decides
  await using opened = await openWith(mint({ types: ["image/*"] }));
  await opened.choose(file("unknown", "neither name nor type say what it is"));
  await opened.page.locator("#failures", { hasText: "unknown" }).waitFor();
  assert.deepEqual(await opened.links(), []);
});

browserTest("an expired permit is named as such, and another one in the same tab sends the waiting file", async () => {
  await using opened = await openWith(mint({}, Date.now() - 2 * HOUR_MS));
  const { page } = opened;
  await opened.choose(file("late.txt", "late"));
  await noteSays(opened, /^This permit has expired\. Ask for a new one\.$/);
  assert.equal(await page.locator("#failures").isVisible(), false, "said once");
  assert.equal(await page.locator("#token-form").isVisible(), false);
  await page.evaluate((hash) => location.assign(hash), `#permit=${mint()}`);
  await opened.stored(1);
  assert.equal(page.url(), `${server.url}/`);
  await noteSays(opened, "With this permit");
});

browserTest("a permit for one upload is used up by it, also in another tab", async () => {
  const permit = mint({ once: true });
  await using opened = await openWith(permit);
  await using another = await openWith(permit);
  await noteSays(opened, "With this permit you can upload one file");
  await opened.choose(file("first.txt", "the first"));
  await opened.stored(1);
  await noteSays(opened, "Your file is stored. This permit has now been used.");
  assert.equal(await opened.page.locator("#permit.wrong").count(), 0, "success is no failure");
  await another.choose(file("second.txt", "the second"));
  await noteSays(another, "This permit has been used");
  assert.deepEqual(await another.links(), []);
});

browserTest("a permit that is cut off, changed or hostile leads to an explanation, not to a token", async () => {
  for (const text of [
    mint().slice(0, 40),
    mint().replace(/..$/, (last) => (last === "AA" ? "QQ" : "AA")),
    "%0d%0aX: <img src=x onerror=alert(1)>",
  ]) {
    await using opened = await openWith(text);
    await opened.choose(file("never.txt", "never"));
    await noteSays(opened, "Invalid permit.");
    assert.equal(await opened.page.locator("#token-form").isVisible(), false);
    assert.deepEqual(await opened.links(), []);
    assert.deepEqual(opened.complaints, []);
  }
});

browserTest("the Uppy plugin uploads with a permit, and reports what it does not allow by its code", async () => {
  await using place = await PluginPlace.start();
  await using guarded = await place.anotherServer({ UPLOAD_PERMIT_KEYS: PERMIT_KEY });
  await using browser = await openBrowser();
  for (const [terms, name, code, status] of [
    [{}, "allowed.txt", undefined, null],
    [{ types: ["image/*"] }, "refused.txt", "type-not-allowed", 415],
    [{ maxSize: 10 }, "large.txt", "size-limit-exceeded", 413],
  ] as const) {
    const headers = { Authorization: `Bearer ${mint(terms)}` };
    const { page } = await place.openPage(browser.context, { endpoint: endpointOf(guarded), headers });
    await place.add(page, { [name]: Buffer.from(`the content of ${name}`) });
    const { url, error } = only(await upload(page));
    assert.deepEqual([error?.code, error?.status ?? null], [code, status], name);
    assert.equal(url !== null, code === undefined, name);
  }
});

browserTest("the client in a page of another origin and `fixity put` upload with a permit", async () => {
  await using site = await openClientSite();
  const env = { UPLOAD_PERMIT_KEYS: PERMIT_KEY, UPLOAD_CORS_ORIGINS: `http://127.0.0.1:${site.port}` };
  await using guarded = await ServerProcess.start({ dir: join(folder, "guarded"), env });
  await using browser = await openBrowser();
  const { page } = await openWatchedPage(browser.context, `http://127.0.0.1:${site.port}/`);
  const path = join(folder, "letter.txt");
  await writeFile(path, "a letter");
  await page.setInputFiles("#file", path);
  const permit = mint();
  const options = { endpoint: endpointOf(guarded), headers: { Authorization: `Bearer ${permit}` } };
  const { url } = await page.evaluate((options) => window.upload(options), options);
  assert.equal(url, `${guarded.url}/uploads/${sha256("a letter")}.txt`);
  await writeFile(path, "another letter");
  await using put = new Command(["put", path], { env: { FIXITY_URL: endpointOf(guarded), FIXITY_TOKEN: permit } });
  const { code, out, err } = await put.ended;
  assert.equal(code, 0, err);
  assert.ok(out.includes(`${guarded.url}/uploads/${sha256("another letter")}.txt`), out);
});
