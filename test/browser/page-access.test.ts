import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { Permits } from "../../src/access/permits.ts";
import { AccessKeys } from "../../src/access/access-keys.ts";
import { someOf } from "../helpers/full-run.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { browserTest, file, MIB, UploadPage } from "./upload-page.ts";

const TOKEN = "a-token-for-the-page";
const READER = "a-token-to-read-only";
const PERMIT_KEY = "a-key-for-permits-of-32-characters";

let folder = "";
let server: ServerProcess;
let guarded: ServerProcess;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
  const env = { UPLOAD_MAX_SIZE: "1MiB" };
  server = await ServerProcess.start({ dir: join(folder, "data"), env });
  const accessEnv = { UPLOAD_TOKENS: `${TOKEN},reader=${READER} may=read`, UPLOAD_PERMIT_KEYS: PERMIT_KEY };
  guarded = await ServerProcess.start({ dir: join(folder, "guarded"), env: accessEnv });
});
after(async () => {
  await Promise.all([server.stop(), guarded.stop()]);
  await rm(folder, { recursive: true, force: true });
});

/** What has the focus, and whether that can be seen. */
function focused({ page }: UploadPage): Promise<{ readonly text: string; readonly outline: string }> {
  return page.evaluate(() => {
    const element = document.activeElement ?? document.body;
    const { outlineStyle } = getComputedStyle(element);
    return { text: element.ariaLabel ?? element.textContent ?? "", outline: outlineStyle };
  });
}

/** Presses Tab until something has the focus. */
async function tabTo(opened: UploadPage, text: string): Promise<void> {
  for (let press = 0; press < 20; press++) {
    const { text: reached, outline } = await focused(opened);
    if (reached === text) {
      assert.equal(outline, "solid", `the focus on ${text} can be seen`);
      return;
    }
    await opened.page.keyboard.press("Tab");
  }
  assert.fail(`${text} was not reached`);
}

browserTest("the keyboard suffices from an empty page to a copied link", async () => {
  await using opened = await UploadPage.open(server.url);
  const { page } = opened;
  // asked for beforehand: the browser has to be told that somebody takes the dialog's place
  const choosing = page.waitForEvent("filechooser");
  await tabTo(opened, "browse files");
  await page.keyboard.press("Enter");
  await (await choosing).setFiles(file("keys.txt", "by keyboard"));
  await opened.stored(1);
  await tabTo(opened, "Copy link (keys.txt)");
  await page.keyboard.press("Enter");
  await page.getByText("Copied", { exact: true }).first().waitFor();
  assert.equal(await opened.clipboard(), `${server.url}/uploads/${sha256("by keyboard")}.txt`);
  await tabTo(opened, "Share (keys.txt)");
  await page.keyboard.press("Space");
  await tabTo(opened, "Copy: Markdown (keys.txt)");
});

browserTest("screen readers announce what becomes of files", async () => {
  await using opened = await UploadPage.open(server.url);
  const status = opened.page.getByRole("status").last();
  await opened.choose(file("told.txt", "told"));
  await status.filter({ hasText: "told.txt: Stored" }).waitFor();
  await opened.choose(file("told.txt", "told"));
  await status.filter({ hasText: "told.txt: Already on the server" }).waitFor();
  await opened.choose(file("large.bin", Buffer.alloc(MIB + 1)));
  await status.filter({ hasText: "large.bin" }).waitFor();
});

for (const colorScheme of someOf(["light", "dark"] as const, 1)) {
  browserTest(`axe finds no violation in the ${colorScheme} theme`, async () => {
    await using opened = await UploadPage.open(server.url, { colorScheme, bypassCSP: true });
    assert.deepEqual(await opened.violations(), [], "empty");
    await opened.throttle(100 * 1024);
    await opened.choose(file("under way.bin", Buffer.alloc(MIB)));
    await opened.page.getByText(/^Uploading: /).waitFor();
    assert.deepEqual(await opened.violations(), [], "uploading");
    await opened.page.locator(".uppy-StatusBar-actions").getByRole("button", { name: "Pause" }).click();
    await opened.page.getByRole("button", { name: "Resume", exact: true }).waitFor();
    assert.deepEqual(await opened.violations(), [], "paused");
    await opened.page.locator(".uppy-StatusBar-actions").getByRole("button", { name: "Cancel" }).click();
    await opened.choose(file("a.txt", "for axe"), file("b.txt", "for axe"), file("large.bin", Buffer.alloc(MIB + 1)));
    await opened.stored(2);
    await opened.page.locator("summary").first().click();
    await opened.page.getByRole("img", { name: "QR code" }).waitFor();
    assert.deepEqual(await opened.violations(), [], "complete, and one too large");
    const body = '{"code":"store-full","detail":"No room is left in the store."}';
    await opened.page.route("**/uploads*", (route) =>
      route.fulfill({ status: 422, contentType: "application/problem+json", body }),
    );
    await opened.choose(file("unlucky.txt", "unlucky"));
    await opened.page.locator("#failures", { hasText: "No room" }).waitFor();
    assert.deepEqual(await opened.violations(), [], "failed");
    await opened.page.unroute("**/uploads*");
    await opened.page.goto(guarded.url);
    await opened.page.getByLabel("Access token").waitFor();
    assert.deepEqual(await opened.violations(), [], "a token to enter");
  });
}

/** Windows with each width and theme. */
const WINDOWS = [360, 768, 1920].flatMap((width) =>
  (["light", "dark"] as const).map((colorScheme) => ({ width, colorScheme })),
);

/** Asserts that the page, as it is, has no violation and fits its window; in a short run in some of the windows. */
async function assertAccessible(opened: UploadPage, what: string): Promise<void> {
  const { page } = opened;
  for (const { width, colorScheme } of someOf(WINDOWS, 2)) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 900 });
    const where = `${what}, ${colorScheme}, ${width} px`;
    assert.deepEqual(await opened.violations(), [], where);
    const overhang = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    assert.ok(overhang <= 0, `${where}: ${overhang} px too wide`);
  }
}

browserTest("the keyboard reaches the page's controls in their order", async () => {
  await using opened = await UploadPage.open(server.url);
  const { page } = opened;
  // one after the other: the list has the order in which uploads end
  await opened.choose(file("a.txt", "for the keyboard"));
  await opened.stored(1);
  await opened.choose(file("b.txt", "for the keyboard, too"));
  await opened.stored(2);
  await page.locator("body").focus();
  const reached: string[] = [];
  for (let presses = 0; presses < 40 && reached.at(-1) !== "clear"; presses += 1) {
    await page.keyboard.press("Tab");
    reached.push(await page.evaluate(() => document.activeElement?.id || document.activeElement?.ariaLabel || ""));
  }
  const named = reached.filter((name) => /^(?:strip|keep|named|clear)$|^Copy (?:link|all)|^Share/.test(name));
  const row = (name: string): string[] => [`Copy link (${name})`, `Share (${name})`];
  const all = ["Links", "Markdown", "HTML"].map((format) => `Copy all: ${format}`);
  assert.deepEqual(named, ["strip", ...all, ...row("b.txt"), ...row("a.txt"), "keep", "named", "clear"]);
});

for (const locale of someOf(["en-GB", "ar-EG"], 1)) {
  browserTest(`from 360 to 1,920 px and in both themes, axe finds no violation in ${locale}`, async () => {
    await using opened = await UploadPage.open(server.url, { locale, bypassCSP: true, reducedMotion: "reduce" });
    const name = `a long name ${"of a file ".repeat(10)}.txt`;
    await opened.choose(file(name, `for axe in ${locale}`), file("b.pdf", `for axe, too, in ${locale}`));
    await opened.stored(2);
    await opened.page.locator("summary").first().click();
    await assertAccessible(opened, "links");
    await opened.context.setOffline(true);
    await opened.choose(file("away.bin", `without a connection in ${locale}`));
    await opened.page.locator(".pace.waiting").waitFor();
    await assertAccessible(opened, "without a connection");
  });
}

browserTest(
  "the page asks for a token, reports a wrong one, uses a right one for waiting files, and keeps it for the tab",
  async () => {
    await using opened = await UploadPage.open(guarded.url);
    const { page } = opened;
    await opened.choose(file("secret.txt", "with a token"));
    await page.getByText("Enter your access token first.", { exact: true }).first().waitFor();
    assert.equal(await page.evaluate(() => document.activeElement?.id), "token");
    await page.keyboard.type("wrong");
    await page.keyboard.press("Enter");
    await page.locator("#token-note", { hasText: "Invalid token." }).waitFor();
    assert.equal(await page.locator("#token-form.wrong").count(), 1);
    assert.equal(await page.locator("#failures").isVisible(), false, "said once");
    await page.locator("#token").fill(TOKEN);
    await page.keyboard.press("Enter");
    await opened.stored(1);
    assert.equal(page.url(), `${guarded.url}/`);
    await page.reload();
    assert.equal(await page.locator("#token").inputValue(), TOKEN);
    await opened.choose(file("another.txt", "with the kept token"));
    await opened.stored(2);
  },
);

browserTest("a token is checked when it is entered, before anything is uploaded", async () => {
  await using opened = await UploadPage.open(guarded.url);
  const { page } = opened;
  const methods = new Set<string>();
  page.on("request", (request) => methods.add(request.method()));
  const note = page.locator("#token-note");
  await note.filter({ hasText: "requires an access token. Ask its administrator" }).waitFor();
  for (const [entered, said] of [
    ["not a token that anybody has", "Invalid token."],
    ["schlüssel", "Invalid token."],
    [READER, "This token does not allow uploads."],
    [TOKEN, "The token is valid. The token is kept until you close this tab."],
  ] as const) {
    await page.locator("#token").fill(entered);
    await page.keyboard.press("Enter");
    await note.filter({ hasText: said }).waitFor();
  }
  assert.deepEqual([...methods], ["OPTIONS"]);
  assert.equal(await page.locator("#token-form.wrong").count(), 0);
  await opened.context.setOffline(true);
  await page.keyboard.press("Enter");
  await note.filter({ hasText: "The server did not respond, so the token has not been checked." }).waitFor();
  await opened.context.setOffline(false);
  await page.getByLabel("Remember on this device").check();
  const other = await opened.context.newPage();
  await other.goto(guarded.url);
  await other.locator("#token-note", { hasText: "kept on this device" }).waitFor();
  assert.equal(await other.locator("#token").inputValue(), TOKEN);
});

browserTest("a colleague's link brings the token, which leaves the address bar at once", async () => {
  await using opened = await UploadPage.open(`${guarded.url}/#token=${TOKEN}`);
  await opened.page.locator("#token-note", { hasText: "The token is valid." }).waitFor();
  assert.equal(opened.page.url(), `${guarded.url}/`);
  await opened.choose(file("colleague.txt", "by a colleague's link"));
  await opened.stored(1);
});

browserTest("a permit, or the link with it, can be entered instead of a token", async () => {
  const { permit } = new Permits(AccessKeys.parse([PERMIT_KEY], "permit")).mint(
    { maxSize: 1024, expires: 600_000 },
    Date.now(),
  );
  for (const entered of [permit, `${guarded.url}/#permit=${permit}`]) {
    await using opened = await UploadPage.open(guarded.url);
    await opened.page.locator("#token").fill(entered);
    await opened.page.keyboard.press("Enter");
    await opened.page.locator("#permit", { hasText: "With this permit you can upload" }).waitFor();
    await opened.choose(file("permitted.txt", `permitted: ${entered}`));
    await opened.stored(1);
  }
});

const LOCALES = [
  ["de-AT", "de", "Dateien hochladen", "Dateien hier ablegen, Dateien auswählen", "Bis 1 MiB pro Datei"],
  ["fr-FR", "fr", "liens permanents", "Déposez des fichiers ici", "1 Mio"],
  ["ja-JP", "ja", "固定リンク", "ここにファイルをドロップ", "1 MiB まで"],
  ["ar-SA", "ar", "روابط دائمة", "أفلت الملفات هنا", "1 MiB"],
  ["zh-TW", "en", "permanent links", "Drop files here", "Up to 1 MiB per file"],
  ["it", "en", "permanent links", "Drop files here", "Up to 1 MiB per file"],
] as const;

for (const [locale, lang, own, dashboards, limit] of someOf(LOCALES, 2)) {
  browserTest(`a browser that prefers ${locale} gets the whole page in one language: ${lang}`, async () => {
    await using opened = await UploadPage.open(server.url, { locale });
    const { page } = opened;
    assert.match(await page.title(), new RegExp(own, "i"));
    await page.locator(".uppy-Dashboard-AddFiles-title", { hasText: dashboards }).waitFor();
    await page.locator(".uppy-Dashboard-note", { hasText: limit }).waitFor();
    const { documents, dir } = await page.evaluate(() => {
      const { lang: documents, dir } = document.documentElement;
      return { documents, dir };
    });
    assert.deepEqual([documents, dir], [lang, lang === "ar" ? "rtl" : "ltr"]);
    assert.equal(await page.locator(".uppy-Root").getAttribute("dir"), dir);
    assert.deepEqual(opened.complaints, []);
  });
}

browserTest("sizes have one system of units: on the tile, in the bar, in the list", async () => {
  await using opened = await UploadPage.open(server.url, { locale: "fr" });
  const { page } = opened;
  await opened.throttle(100 * 1024);
  await opened.choose(file("half.bin", Buffer.alloc(MIB / 2)));
  await page.locator(".uppy-Dashboard-Item-statusSize", { hasText: /^512 Kio$/ }).waitFor();
  await page.locator(".pace", { hasText: "sur 512 Kio" }).waitFor();
  await opened.throttle(-1);
  await opened.choose(file("six.txt", "123456"), file("large.bin", Buffer.alloc(MIB + 1)));
  await page.locator("#failures", { hasText: "large.bin dépasse la limite de 1 Mio" }).waitFor();
  await opened.stored(2);
  assert.deepEqual((await page.locator(".outcome > :first-child").allTextContents()).toSorted(), [
    "512 Kio",
    "6\u00A0octets",
  ]);
});

browserTest("nothing overflows a narrow screen, however long the names", async () => {
  const viewport = { width: 360, height: 700 };
  await using opened = await UploadPage.open(server.url, { viewport, hasTouch: true, isMobile: true });
  await opened.page.getByRole("tab", { name: "Take Picture" }).waitFor();
  const width = (): Promise<number> => opened.page.evaluate(() => document.documentElement.scrollWidth);
  assert.equal(await width(), 360);
  await opened.choose(file(`${"long-name-".repeat(20)}.txt`, "a"), file(`${"long name ".repeat(20)}.txt`, "b"));
  await opened.stored(2);
  await opened.page.locator("summary").first().click();
  await opened.page.locator(".panel").waitFor();
  assert.equal(await width(), 360);
});

browserTest("the page uploads to the configured path", async () => {
  await using other = await ServerProcess.start({ dir: join(folder, "other"), env: { UPLOAD_PREFIX: "/a/b" } });
  await using opened = await UploadPage.open(other.url);
  await opened.choose(file("elsewhere.txt", "elsewhere"));
  await opened.stored(1);
  assert.deepEqual(await opened.links(), [`${other.url}/a/b/${sha256("elsewhere")}.txt`]);
});

browserTest("without JavaScript the form leads to the file", async () => {
  await using opened = await UploadPage.open(server.url, { javaScriptEnabled: false });
  const { y = NaN } = (await opened.page.locator("#plain").boundingBox()) ?? {};
  assert.ok(y < 250, `nothing is kept free for what does not come: ${y}`);
  await opened.page.setInputFiles("#file", file("plain.txt", "no script"));
  await opened.page.getByRole("button", { name: "Upload" }).click();
  await opened.page.waitForURL(`${server.url}/uploads/${sha256("no script")}.txt`);
});

browserTest("if a token is needed, a browser without JavaScript is told that it cannot send one", async () => {
  await using opened = await UploadPage.open(guarded.url, { javaScriptEnabled: false });
  await opened.page.getByText("which this page can send only with JavaScript").waitFor();
  assert.equal(await opened.page.getByRole("button").count(), 0, "what cannot work is not offered");
});

browserTest("the form appears if the script does not load", async () => {
  await using opened = await UploadPage.open(server.url);
  await opened.page.route("**/page/*.js", (route) => route.abort());
  await opened.page.reload();
  await opened.page.getByRole("button", { name: "Upload", exact: true }).waitFor();
  const { y = NaN } = (await opened.page.locator("#plain").boundingBox()) ?? {};
  assert.ok(y < 250, `where the Dashboard would be: ${y}`);
});
