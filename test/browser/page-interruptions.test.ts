import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { browserTest, file, MIB, UploadPage } from "./upload-page.ts";

let folder = "";
let server: ServerProcess;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
  server = await ServerProcess.start({ dir: join(folder, "data") });
});
after(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

/** A file on the disk that has never been stored: its path and its link's last segment. */
async function newFile(name: string, size = 4 * MIB): Promise<{ path: string; segment: string }> {
  const content = randomBytes(size);
  const path = join(folder, name);
  await writeFile(path, content);
  return { path, segment: `${sha256(content)}.bin` };
}

/** Resolves when some of the file has gone, but not all. */
async function underWay({ page }: UploadPage): Promise<void> {
  await page.getByText(/^Uploading: [1-9]\d?%$/).waitFor();
}

browserTest("progress shows the rate and the remaining time", async () => {
  await using opened = await UploadPage.open(server.url);
  await opened.throttle(MIB);
  await opened.choose((await newFile("progress.bin")).path);
  await opened.page.getByText(/^[\d.]+ [KM]iB of 4 MiB · [\d.]+ [KM]iB\/s · \d+ sec left$/).waitFor();
  await opened.stored(1);
  assert.equal(await opened.page.locator(".pace").count(), 0);
  assert.deepEqual(opened.complaints, []);
});

browserTest("the title of the tab has the progress while an upload runs", async () => {
  await using opened = await UploadPage.open(server.url);
  const before = await opened.page.title();
  const devtools = await opened.throttle(MIB);
  await opened.choose((await newFile("title.bin")).path);
  await opened.page.waitForFunction(() => /^[1-9]\d?% – title\.bin – fixity$/.test(document.title));
  await devtools.detach();
  await opened.stored(1);
  await opened.page.waitForFunction((before) => document.title === before, before);
});

browserTest("while the network is away the page says so, and shows no rate", async () => {
  await using opened = await UploadPage.open(server.url);
  const devtools = await opened.throttle(MIB);
  await opened.choose((await newFile("away.bin", 24 * MIB)).path);
  await underWay(opened);
  // the throttle would replace what the context sets
  const conditions = { offline: true, latency: 0, downloadThroughput: -1, uploadThroughput: -1 };
  await devtools.send("Network.emulateNetworkConditions", conditions);
  await opened.page.locator(".pace.waiting", { hasText: "No connection. The upload resumes" }).waitFor();
  await opened.page.locator("#status", { hasText: "No connection" }).waitFor();
  assert.match(await opened.page.title(), /^Waiting – away\.bin/);
  assert.equal(await opened.page.getByText(/\/s|left/).count(), 0);
  await devtools.send("Network.emulateNetworkConditions", { ...conditions, offline: false });
  await opened.stored(1);
  assert.equal(await opened.page.locator(".pace").count(), 0);
});

browserTest("a paused upload stops, and resumes", async () => {
  const { path, segment } = await newFile("paused.bin");
  await using opened = await UploadPage.open(server.url);
  await opened.throttle(MIB);
  await opened.choose(path);
  await underWay(opened);
  await opened.page.getByRole("button", { name: "Pause", exact: true }).click();
  await opened.page.getByText("Paused", { exact: false }).first().waitFor();
  let sent = 0;
  opened.page.on("request", (request) => (sent += /POST|PATCH/.test(request.method()) ? 1 : 0));
  await opened.page.waitForTimeout(500);
  assert.equal(sent, 0);
  await opened.page.getByRole("button", { name: "Resume", exact: true }).click();
  await opened.stored(1);
  assert.deepEqual(await opened.links(), [`${server.url}/uploads/${segment}`]);
});

browserTest("a cancelled upload disappears from the page, and can be started again", async () => {
  const { path } = await newFile("cancelled.bin");
  await using opened = await UploadPage.open(server.url);
  const devtools = await opened.throttle(MIB);
  await opened.choose(path);
  await underWay(opened);
  await opened.page.locator(".uppy-StatusBar-actions").getByRole("button", { name: "Cancel" }).click();
  await opened.page.getByText("Drop files here").waitFor();
  assert.equal(await opened.page.locator(".file").count(), 0);
  await devtools.detach();
  await opened.choose(path);
  await opened.stored(1);
});

browserTest("files that are chosen while offline are uploaded once online", async () => {
  const { path, segment } = await newFile("offline.bin");
  await using opened = await UploadPage.open(server.url);
  await opened.context.setOffline(true);
  const failing = opened.page.waitForEvent("requestfailed");
  await opened.choose(path);
  await failing;
  assert.equal(await opened.page.locator(".file").count(), 0);
  assert.equal(await opened.page.locator("#failures").isVisible(), false);
  await opened.context.setOffline(false);
  await opened.stored(1);
  assert.deepEqual(await opened.links(), [`${server.url}/uploads/${segment}`]);
});

browserTest("after a reload the page names the interrupted files, and the same file resumes", async () => {
  const { path, segment } = await newFile("reloaded.bin", 6 * MIB);
  await using opened = await UploadPage.open(server.url);
  opened.page.on("dialog", (dialog) => void dialog.accept());
  const devtools = await opened.throttle(2 * MIB);
  await opened.choose(path);
  await opened.page.getByText(/^Uploading: [4-9]\d%$/).waitFor();
  await opened.page.reload();
  await devtools.detach();
  await opened.page.locator("#interrupted", { hasText: "reloaded.bin" }).waitFor();
  const offsets: number[] = [];
  opened.page.on("request", (request) => {
    if (request.method() === "PATCH") offsets.push(Number(request.headers()["upload-offset"]));
  });
  await opened.choose(path);
  await opened.stored(1);
  assert.deepEqual(await opened.links(), [`${server.url}/uploads/${segment}`]);
  assert.ok((offsets[0] ?? 0) > 0, `went on at ${offsets[0]}`);
  assert.equal(await opened.page.locator("#interrupted").isVisible(), false);
});

browserTest("links survive a reload until the list is cleared", async () => {
  await using opened = await UploadPage.open(server.url);
  await opened.choose(file("kept.txt", "kept"), file("kept too.txt", "kept too"));
  await opened.stored(2);
  const links = await opened.links();
  await opened.page.reload();
  await opened.stored(2);
  assert.deepEqual(await opened.links(), links);
  await opened.page.getByRole("button", { name: "Clear the list" }).click();
  await opened.page.reload();
  await opened.page.locator("html.scripted").waitFor();
  assert.equal(await opened.page.locator("#results").isVisible(), false);
});

browserTest("links are kept on the device and shown in every tab, unless the user does not want that", async () => {
  await using opened = await UploadPage.open(server.url);
  const { page } = opened;
  await opened.choose(file("device.txt", "on the device"));
  await opened.stored(1);
  const other = await opened.context.newPage();
  await other.goto(server.url);
  await other.locator(".name", { hasText: "device.txt" }).waitFor();
  await opened.choose(file("later.txt", "later"));
  await other.locator(".name", { hasText: "later.txt" }).waitFor();
  assert.equal(await other.locator("time").count(), 2);
  await page.getByLabel("Keep this list on this device").uncheck();
  assert.equal(await page.locator(".file").count(), 2);
  assert.deepEqual(await page.evaluate(() => Object.keys(localStorage).filter((key) => key.includes("links:"))), []);
  await page.reload();
  await opened.stored(2);
  await other.reload();
  await other.locator("html.scripted").waitFor();
  assert.equal(await other.locator("#results").isVisible(), false);
});

browserTest("the same file under the same name is listed once, with its last upload first", async () => {
  await using opened = await UploadPage.open(server.url);
  for (const name of ["twice.txt", "other.txt", "twice.txt"]) {
    await opened.choose(file(name, `content of ${name}`));
    await opened.page.locator(".file:first-child .name", { hasText: name }).waitFor();
  }
  assert.deepEqual(await opened.page.locator(".name").allTextContents(), ["twice.txt", "other.txt"]);
});

browserTest("at most a hundred links are kept", async () => {
  await using opened = await UploadPage.open(server.url);
  await opened.page.evaluate(() => {
    const entry = (index: number): object => ({ url: `/uploads/${index}`, name: `${index}.txt`, time: index });
    const entries = Array.from({ length: 100 }, (_, index) => entry(100 - index));
    localStorage.setItem("fixity:links:/uploads", JSON.stringify(entries));
  });
  await opened.page.reload();
  await opened.page.locator("#tally", { hasText: "100 stored" }).waitFor();
  await opened.choose(file("newest.txt", "newest"));
  await opened.page.locator(".name", { hasText: "newest.txt" }).waitFor();
  await opened.page.reload();
  await opened.page.locator("#tally", { hasText: "100 stored" }).waitFor();
  await opened.page.getByRole("button", { name: "Show all 100" }).click();
  assert.equal(await opened.page.locator(".name", { hasText: /^1\.txt$/ }).count(), 0, "the oldest is gone");
});

browserTest("a server that is killed and started again receives the rest", async () => {
  const dir = join(folder, "killed");
  const first = await ServerProcess.start({ dir });
  const { path, segment } = await newFile("killed.bin");
  await using opened = await UploadPage.open(first.url);
  const devtools = await opened.throttle(MIB);
  await opened.choose(path);
  await underWay(opened);
  await first.stop("SIGKILL");
  await devtools.detach();
  await opened.page.locator(".pace.waiting", { hasText: /^No connection. Trying again in \d+ sec$/ }).waitFor();
  await using second = await ServerProcess.start({ dir, env: { PORT: String(first.port) } });
  await opened.stored(1);
  assert.deepEqual(await opened.links(), [`${second.url}/uploads/${segment}`]);
  assert.equal((await fetch(`${second.url}/uploads/${segment}`)).status, 200);
});
