import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { BrowserContext, Page } from "playwright-core";
import { needingChromium, openBrowser } from "./browser.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";

const TOKEN = "a-token-for-the-page";
const MIB = 1024 ** 2;
const browserTest = (name: string, run: () => Promise<void>): void => void test(name, needingChromium(), run);

let folder = "";
let server: ServerProcess;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
  server = await ServerProcess.start({ dir: join(folder, "data"), env: { UPLOAD_MAX_SIZE: "1MiB" } });
});
after(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

/** The page, opened; `complaints` gathers whatever the browser finds wrong and every request to somewhere else. */
async function openPage(
  context: BrowserContext,
  url: string = server.url,
): Promise<{ page: Page; complaints: string[] }> {
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" && !/status of 4\d\d/.test(message.text())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin && !request.url().startsWith("blob:"))
      complaints.push(request.url());
  });
  await page.goto(url);
  return { page, complaints };
}

const file = (name: string, content: string | Buffer): { name: string; mimeType: string; buffer: Buffer } => ({
  name,
  mimeType: "",
  buffer: Buffer.from(content),
});

function outlineOf(page: Page, selector: string): Promise<string> {
  return page.locator(selector).evaluate((element) => getComputedStyle(element).outlineStyle);
}

browserTest("chosen files are stored, and their links show them", async () => {
  await using browser = await openBrowser();
  const { page, complaints } = await openPage(browser.context);
  await page.setInputFiles("#file", [file("one.txt", "first"), file("two.txt", "second"), file("three.txt", "third")]);
  await page.waitForFunction(() => document.querySelectorAll(".link:not([hidden])").length === 3);
  const links = await page
    .locator(".link")
    .evaluateAll((anchors) => anchors.map((anchor) => (anchor as HTMLAnchorElement).href));
  assert.deepEqual(
    links.sort(),
    ["first", "second", "third"].map((text) => `${server.url}/uploads/${sha256(text)}.txt`).sort(),
  );
  assert.deepEqual(await page.locator(".state").allTextContents(), ["Stored", "Stored", "Stored"]);
  await page.goto(`${server.url}/uploads/${sha256("first")}.txt`);
  assert.equal(await page.locator("body").textContent(), "first");
  assert.deepEqual(complaints, []);
});

browserTest("a dropped file is stored, and told as stored already the second time", async () => {
  await using browser = await openBrowser();
  const { page, complaints } = await openPage(browser.context);
  const drop = async (): Promise<void> => {
    const transfer = await page.evaluateHandle(() => {
      const data = new DataTransfer();
      data.items.add(new File(["dropped"], "dropped.txt"));
      return data;
    });
    await page.dispatchEvent("#drop", "drop", { dataTransfer: transfer });
  };
  await drop();
  await page.getByText("Stored", { exact: true }).waitFor();
  await drop();
  await page.getByText("Already stored", { exact: true }).waitFor();
  assert.deepEqual(complaints, []);
});

browserTest("links are copied, one and all", async () => {
  await using browser = await openBrowser();
  await browser.context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: server.url });
  const { page } = await openPage(browser.context);
  await page.setInputFiles("#file", [file("a.txt", "copy a"), file("b.txt", "copy b")]);
  await page.getByRole("button", { name: "Copy all links" }).click();
  await page.getByText("Copied", { exact: true }).first().waitFor();
  const all = await page.evaluate(() => navigator.clipboard.readText());
  assert.deepEqual(
    all.split("\n").sort(),
    ["copy a", "copy b"].map((text) => `${server.url}/uploads/${sha256(text)}.txt`).sort(),
  );
  await page.getByRole("button", { name: "Copy link (a.txt)" }).click();
  await page.waitForFunction(async () => !(await navigator.clipboard.readText()).includes("\n"));
  assert.equal(
    await page.evaluate(() => navigator.clipboard.readText()),
    `${server.url}/uploads/${sha256("copy a")}.txt`,
  );
});

browserTest("a file over the limit is refused before it is sent", async () => {
  await using browser = await openBrowser();
  const { page } = await openPage(browser.context);
  let posts = 0;
  page.on("request", (request) => (posts += request.method() === "POST" ? 1 : 0));
  await page.setInputFiles("#file", file("large.bin", Buffer.alloc(MIB + 1)));
  await page.getByText("Larger than the limit of 1 MiB.", { exact: true }).waitFor();
  assert.equal(posts, 0);
});

browserTest("a 413 can be read in a browser, however much is still being sent", async () => {
  await using browser = await openBrowser();
  const { page } = await openPage(browser.context);
  for (const size of [2, 20]) {
    const answer = await page.evaluate(async (bytes) => {
      const body = new Uint8Array(bytes);
      const response = await fetch("/uploads", { method: "POST", body });
      return [response.status, ((await response.json()) as { code: string }).code];
    }, size * MIB);
    assert.deepEqual(answer, [413, "size-limit-exceeded"], `${size} MiB`);
    const form = await page.evaluate(async (bytes) => {
      const data = new FormData();
      data.append("upload", new File([new Uint8Array(bytes)], "large.bin"));
      return (await fetch("/uploads", { method: "POST", body: data })).status;
    }, size * MIB);
    assert.equal(form, 413, `${size} MiB in a form`);
  }
});

browserTest("a hostile name is only text", async () => {
  await using browser = await openBrowser();
  const { page, complaints } = await openPage(browser.context);
  const name = `"><img src=x onerror="document.title='owned'"><script>document.title="owned"</script>.txt`.replaceAll(
    "/",
    "",
  );
  await page.setInputFiles("#file", file(name, "hostile name"));
  await page.getByText("Stored", { exact: true }).waitFor();
  assert.equal(await page.locator(".name").textContent(), name);
  assert.notEqual(await page.title(), "owned");
  assert.equal(await page.locator(".file img, .file script").count(), 0);
  assert.deepEqual(complaints, []);
});

browserTest("an uploaded page runs nothing, opened or embedded", async () => {
  await using browser = await openBrowser();
  const { page } = await openPage(browser.context);
  const evil = `<svg xmlns="http://www.w3.org/2000/svg"><script>parent.document.title = document.title = "owned"</script></svg>`;
  for (const extension of ["svg", "html", "xhtml", "xml"]) {
    const url = `${server.url}/uploads/${sha256(evil)}.${extension}`;
    assert.ok((await fetch(url, { method: "PUT", body: evil })).ok);
    const downloading = page.waitForEvent("download");
    await page.goto(url).catch(() => null);
    await (await downloading).cancel();
    await page.goto(server.url);
    await page.evaluate((source) => {
      const frame = document.createElement("iframe");
      frame.src = source;
      document.body.append(frame);
    }, url);
    await page.waitForTimeout(100);
    assert.notEqual(await page.title(), "owned");
  }
});

browserTest("without JavaScript the form leads to the file", async () => {
  await using browser = await openBrowser({ javaScriptEnabled: false });
  const { page } = await openPage(browser.context);
  await page.setInputFiles("#file", file("plain.txt", "no script"));
  await page.getByRole("button", { name: "Upload" }).click();
  await page.waitForURL(`${server.url}/uploads/${sha256("no script")}.txt`);
});

browserTest(
  "a token is asked for, a wrong one told, a right one used for what waited for it and kept for the tab",
  async () => {
    await using guarded = await ServerProcess.start({ dir: join(folder, "guarded"), env: { UPLOAD_TOKENS: TOKEN } });
    await using browser = await openBrowser();
    const { page } = await openPage(browser.context, guarded.url);
    await page.setInputFiles("#file", file("secret.txt", "with a token"));
    await page.getByText("Enter the token first.", { exact: true }).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement?.id), "token");
    await page.keyboard.type("wrong");
    await page.keyboard.press("Enter");
    await page.getByText("The token is not known here.", { exact: true }).waitFor();
    await page.getByLabel("Token").fill(TOKEN);
    await page.keyboard.press("Enter");
    await page.getByText("Stored", { exact: true }).waitFor();
    assert.equal(page.url(), `${guarded.url}/`);
    await page.reload();
    assert.equal(await page.getByLabel("Token").inputValue(), TOKEN);
  },
);

browserTest("where a token is needed, a browser without JavaScript is told that it cannot send one", async () => {
  await using guarded = await ServerProcess.start({ dir: join(folder, "plain"), env: { UPLOAD_TOKENS: TOKEN } });
  await using browser = await openBrowser({ javaScriptEnabled: false });
  const { page } = await openPage(browser.context, guarded.url);
  await page.getByText("which a browser can send with JavaScript only").waitFor();
  assert.equal(await page.getByRole("button").count(), 0, "what cannot work is not offered");
});

browserTest("a dropped folder is the files in it, wherever they are", async () => {
  const dropped = join(folder, "dropped");
  await mkdir(join(dropped, "deep", "empty"), { recursive: true });
  await writeFile(join(dropped, "top.txt"), "in a folder");
  await writeFile(join(dropped, "deep", "low.txt"), "in a folder's folder");
  await using browser = await openBrowser();
  const { page, complaints } = await openPage(browser.context);
  const devtools = await page.context().newCDPSession(page);
  const data = { items: [], files: [dropped], dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"] as const) {
    await devtools.send("Input.dispatchDragEvent", { type, x: 200, y: 300, data });
  }
  await page.waitForFunction(() => document.querySelectorAll(".link:not([hidden])").length === 2);
  assert.deepEqual((await page.locator(".name").allTextContents()).sort(), ["low.txt", "top.txt"]);
  assert.equal(await page.locator("#tally").textContent(), "2 of 2 stored");
  assert.equal(await page.evaluate(() => document.documentElement.className), "scripted", "no longer dragging");
  assert.deepEqual(complaints, []);
});

browserTest("dropped text is left alone", async () => {
  await using browser = await openBrowser();
  const { page, complaints } = await openPage(browser.context);
  const prevented = await page.evaluate(() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.setData("text/plain", "words");
    const event = new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true });
    document.querySelector("#drop")?.dispatchEvent(event);
    return event.defaultPrevented;
  });
  assert.equal(prevented, false);
  assert.equal(await page.locator(".file").count(), 0);
  assert.deepEqual(complaints, []);
});

browserTest("pasted files are stored", async () => {
  await using browser = await openBrowser();
  const { page } = await openPage(browser.context);
  await page.evaluate(() => {
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File(["pasted"], "pasted.txt"));
    document.dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
  });
  await page.getByText("Stored", { exact: true }).waitFor();
  assert.equal(await page.locator(".name").textContent(), "pasted.txt");
});

browserTest("progress is shown while bytes are on their way", async () => {
  await using slow = await ServerProcess.start({ dir: join(folder, "slow") });
  await using browser = await openBrowser();
  const { page } = await openPage(browser.context, slow.url);
  const devtools = await page.context().newCDPSession(page);
  const conditions = { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 2 * MIB };
  await devtools.send("Network.emulateNetworkConditions", conditions);
  await page.setInputFiles("#file", file("slow.bin", Buffer.alloc(6 * MIB)));
  await page.getByText(/^[1-9]\d? %, [\d.]+ \w+\/s, \d+ s left$/).waitFor();
  const value = await page.locator("progress").evaluate((element) => (element as HTMLProgressElement).value);
  assert.ok(value > 0 && value <= 1, String(value));
  await page.getByText("Stored", { exact: true }).waitFor();
  assert.equal(await page.locator("progress").isVisible(), false);
});

browserTest("what the server says of an error is what the page says", async () => {
  await using browser = await openBrowser();
  const { page } = await openPage(browser.context);
  const answers = [
    { status: 507, contentType: "application/problem+json", body: '{"detail":"No room is left in the store."}' },
    { status: 502, contentType: "text/html", body: "<h1>Bad gateway</h1>" },
    { status: 200, contentType: "text/html", body: "<h1>Log in first</h1>" },
  ];
  await page.route("**/uploads", async (route) => {
    const answer = answers.shift();
    await (answer === undefined ? route.abort() : route.fulfill(answer));
  });
  await page.setInputFiles("#file", file("unlucky.txt", "unlucky"));
  for (const text of [
    "No room is left in the store.",
    "The server answered 502.",
    "The server answered 200.",
    "The connection broke off.",
  ]) {
    await page.getByText(text, { exact: true }).waitFor();
    await page.getByRole("button", { name: "Try again (unlucky.txt)" }).click();
  }
});

browserTest("a file that is gone when its turn comes is told to be", async () => {
  const path = join(folder, "gone.txt");
  await writeFile(path, "here for a moment");
  await using browser = await openBrowser();
  const { page } = await openPage(browser.context);
  await page.route("**/uploads", (route) => route.abort());
  await page.setInputFiles("#file", path);
  await page.getByText("The connection broke off.", { exact: true }).waitFor();
  await rm(path);
  await page.getByRole("button", { name: "Try again (gone.txt)" }).click();
  await page.getByText("The file cannot be read. It may have been moved or changed.", { exact: true }).waitFor();
});

browserTest("a chosen picture is shown in small, and a file that only claims to be one does no harm", async () => {
  await using browser = await openBrowser();
  const { page, complaints } = await openPage(browser.context);
  const png = Buffer.from(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "base64",
  );
  await page.setInputFiles("#file", [
    { name: "real.png", mimeType: "image/png", buffer: png },
    { name: "false.png", mimeType: "image/png", buffer: Buffer.from("no picture") },
  ]);
  await page.waitForFunction(() => document.querySelectorAll(".link:not([hidden])").length === 2);
  await page.waitForFunction(() => document.querySelectorAll(".thumb img").length === 1);
  const row = (name: string): ReturnType<Page["locator"]> => page.locator(".file", { hasText: name });
  assert.equal(
    await row("real.png")
      .locator("img")
      .evaluate((image) => (image as HTMLImageElement).naturalWidth),
    1,
  );
  assert.equal(await row("false.png").locator(".thumb").textContent(), "PNG");
  assert.deepEqual(complaints, []);
});

browserTest("an upload can be cancelled and tried again", async () => {
  await using browser = await openBrowser();
  const { page } = await openPage(browser.context);
  let held = true;
  await page.route("**/uploads", async (route) => {
    if (!held) await route.continue();
  });
  await page.setInputFiles("#file", file("later.txt", "cancelled and tried again"));
  await page.getByRole("button", { name: "Cancel (later.txt)" }).click();
  await page.getByText("Cancelled", { exact: true }).waitFor();
  held = false;
  await page.getByRole("button", { name: "Try again (later.txt)" }).click();
  await page.getByText("Stored", { exact: true }).waitFor();
});

browserTest("the page can be used with the keyboard alone", async () => {
  await using browser = await openBrowser();
  const { page } = await openPage(browser.context);
  // asked for beforehand: the browser has to be told that somebody takes the dialog's place
  const choosing = page.waitForEvent("filechooser");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "file");
  assert.equal(await outlineOf(page, "#drop"), "solid");
  await page.keyboard.press("Space");
  await (await choosing).setFiles(file("keys.txt", "by keyboard"));
  await page.getByText("Stored", { exact: true }).waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement?.className), "link");
  assert.equal(await outlineOf(page, ".link"), "solid");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement?.className), "copy");
  assert.equal(await outlineOf(page, ".copy"), "solid");
});

browserTest("who cancels with the keyboard stays in the row", async () => {
  await using browser = await openBrowser();
  const { page } = await openPage(browser.context);
  await page.route("**/uploads", () => {});
  await page.setInputFiles("#file", file("held.txt", "held"));
  await page.getByRole("button", { name: "Cancel (held.txt)" }).focus();
  await page.keyboard.press("Enter");
  await page.getByText("Cancelled", { exact: true }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement?.className), "again");
});

browserTest("links are copied without https as well", async () => {
  await using browser = await openBrowser();
  await browser.context.grantPermissions(["clipboard-read"], { origin: server.url });
  await browser.context.addInitScript(() => {
    // what a page without https finds
    Object.defineProperty(navigator.clipboard, "writeText", { value: undefined });
  });
  const { page } = await openPage(browser.context);
  await page.setInputFiles("#file", file("plain.txt", "copied the old way"));
  await page.getByRole("button", { name: "Copy link (plain.txt)" }).click();
  await page.getByText("Copied", { exact: true }).first().waitFor();
  const link = `${server.url}/uploads/${sha256("copied the old way")}.txt`;
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), link);
  assert.equal(await page.evaluate(() => document.activeElement?.className), "copy");
});

browserTest("nothing sticks out of a narrow screen, however long the names", async () => {
  await using browser = await openBrowser({ viewport: { width: 360, height: 700 } });
  const { page } = await openPage(browser.context);
  await page.setInputFiles("#file", [
    file(`${"long-name-".repeat(20)}.txt`, "a"),
    file(`${"long name ".repeat(20)}.txt`, "b"),
  ]);
  await page.waitForFunction(() => document.querySelectorAll(".link:not([hidden])").length === 2);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
});

browserTest("axe finds nothing to complain of, in both themes, empty, in use, and with a token to enter", async () => {
  await using guarded = await ServerProcess.start({ dir: join(folder, "axe"), env: { UPLOAD_TOKENS: TOKEN } });
  const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  const violations = async (page: Page): Promise<string[]> => {
    await page.addScriptTag({ content: axe });
    return page.evaluate(async () => {
      const { axe } = globalThis as unknown as { axe: { run: () => Promise<{ violations: { id: string }[] }> } };
      return (await axe.run()).violations.map(({ id }) => id);
    });
  };
  for (const colorScheme of ["light", "dark"] as const) {
    await using browser = await openBrowser({ colorScheme, bypassCSP: true });
    const { page } = await openPage(browser.context);
    assert.deepEqual(await violations(page), [], `${colorScheme}, empty`);
    await page.setInputFiles("#file", [file("a.txt", "for axe"), file("large.bin", Buffer.alloc(MIB + 1))]);
    await page.locator(".link:not([hidden])").waitFor();
    assert.deepEqual(await violations(page), [], `${colorScheme}, in use`);
    await page.goto(guarded.url);
    assert.deepEqual(await violations(page), [], `${colorScheme}, token`);
  }
});
