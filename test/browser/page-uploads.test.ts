import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { after, before } from "node:test";
import { someOf } from "../helpers/full-run.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { browserTest, file, MIB, PNG, UploadPage } from "./upload-page.ts";

let folder = "";
let server: ServerProcess;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
  server = await ServerProcess.start({ dir: join(folder, "data"), env: { UPLOAD_MAX_SIZE: "10MiB" } });
});
after(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

browserTest("chosen files are stored, and their links show them", async () => {
  await using opened = await UploadPage.open(server.url);
  await opened.choose(file("one.txt", "first"), file("two.txt", "second"), file("three.txt", "third"));
  await opened.stored(3);
  const links = ["first", "second", "third"].map((text) => `${server.url}/uploads/${sha256(text)}.txt`);
  assert.deepEqual((await opened.links()).toSorted(), links.toSorted());
  assert.deepEqual(await opened.page.locator(".state").allTextContents(), ["Stored", "Stored", "Stored"]);
  await opened.page.getByText("Drop files here").waitFor();
  assert.deepEqual(opened.complaints, []);
  await opened.page.goto(links[0] ?? "");
  assert.equal(await opened.page.locator("body").textContent(), "first");
});

browserTest("several files can be dropped, in the Dashboard and beside it", async () => {
  await using opened = await UploadPage.open(server.url);
  for (const [place, name] of [
    [".uppy-Dashboard-AddFiles", "inside"],
    ["h1", "beside"],
  ] as const) {
    const transfer = await opened.page.evaluateHandle((name) => {
      const data = new DataTransfer();
      for (const part of ["a", "b"]) data.items.add(new File([name, part], `${name}-${part}.txt`));
      return data;
    }, name);
    await opened.page.dispatchEvent(place, "drop", { dataTransfer: transfer });
  }
  await opened.stored(4);
  const names = await opened.page.locator(".name").allTextContents();
  assert.deepEqual(names.toSorted(), ["beside-a.txt", "beside-b.txt", "inside-a.txt", "inside-b.txt"]);
  assert.deepEqual(opened.complaints, []);
});

browserTest("a dropped folder yields all files in it, at any depth", async () => {
  const dropped = join(folder, "dropped");
  await mkdir(join(dropped, "deep", "empty"), { recursive: true });
  await writeFile(join(dropped, "top.txt"), "in a folder");
  await writeFile(join(dropped, "deep", "low.txt"), "in a folder's folder");
  await using opened = await UploadPage.open(server.url);
  const devtools = await opened.context.newCDPSession(opened.page);
  const data = { items: [], files: [dropped], dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"] as const) {
    await devtools.send("Input.dispatchDragEvent", { type, x: 300, y: 300, data });
  }
  await opened.stored(2);
  assert.deepEqual((await opened.page.locator(".name").allTextContents()).toSorted(), ["low.txt", "top.txt"]);
  assert.equal(await opened.page.locator("#tally").textContent(), "2 stored");
  assert.deepEqual(opened.complaints, []);
});

browserTest("of many files the header counts those that are stored, and the list folds after twenty", async () => {
  await using opened = await UploadPage.open(server.url);
  const { page } = opened;
  const header = page.locator(".uppy-DashboardContent-title", { hasText: /^Uploading: \d+ of 45$/ });
  let requests = 0;
  // The last file is sent once the header has counted others: all could be stored before it is drawn.
  await page.route("**/uploads*", async (route) => {
    requests += 1;
    if (requests === 45) await header.waitFor();
    await route.continue();
  });
  await opened.choose(...Array.from({ length: 45 }, (_, index) => file(`many-${index}.txt`, `one of many: ${index}`)));
  await page.locator("#tally", { hasText: "45 stored" }).waitFor();
  assert.equal(requests, 45);
  await opened.stored(20);
  await page.getByRole("button", { name: "Show all 45" }).click();
  await opened.stored(45);
  assert.equal(new Set(await opened.links()).size, 45);
  await page.getByRole("button", { name: "Show fewer" }).click();
  await opened.stored(20);
});

browserTest(
  "metadata is removed from photos if the user wants that, and a photo that keeps it is not sent",
  async () => {
    await using opened = await UploadPage.open(server.url);
    const { page } = opened;
    const comment = Buffer.from("\0\0\0\x0AtEXtComment\0at home\0\0\0\0", "latin1");
    comment.writeUInt32BE(15);
    comment.writeUInt32BE(crc32(comment.subarray(4, -4)), comment.length - 4);
    const photo = Buffer.concat([PNG.subarray(0, 33), comment, PNG.subarray(33)]);
    await opened.choose(file("as it is.png", photo, "image/png"));
    await opened.stored(1);
    await page.getByLabel("Remove metadata from photos").check();
    await page.reload();
    await opened.choose(file("stripped.png", photo, "image/png"));
    await opened
      .row("stripped.png")
      .locator(".state", { hasText: `metadata removed (${comment.length} bytes)` })
      .waitFor();
    assert.deepEqual(await opened.links(), [
      `${server.url}/uploads/${sha256(PNG)}.png`,
      `${server.url}/uploads/${sha256(photo)}.png`,
    ]);
    let posts = 0;
    page.on("request", (request) => (posts += request.method() === "POST" ? 1 : 0));
    await opened.choose(file("cut off.png", photo.subarray(0, 40), "image/png"));
    await page.locator("#failures", { hasText: "cut off.png: The metadata could not be removed" }).waitFor();
    assert.equal(posts, 0);
    assert.deepEqual(opened.complaints, []);
  },
);

browserTest("dropped text is left alone", async () => {
  await using opened = await UploadPage.open(server.url);
  const prevented = await opened.page.evaluate(() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.setData("text/plain", "words");
    const event = new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true });
    document.querySelector("h1")?.dispatchEvent(event);
    return event.defaultPrevented;
  });
  assert.equal(prevented, false);
  assert.deepEqual(opened.complaints, []);
});

browserTest("pasted files are stored once", async () => {
  await using opened = await UploadPage.open(server.url);
  await opened.page.evaluate(() => {
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File(["pasted"], "pasted.txt"));
    document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
  });
  await opened.stored(1);
  assert.equal(await opened.page.locator(".name").textContent(), "pasted.txt");
});

browserTest("existing content is hashed in a worker, reported as stored, and hardly any of it is sent", async () => {
  const content = Buffer.alloc(8 * MIB, "a large one");
  await writeFile(join(folder, "large.bin"), content);
  const stored = await fetch(`${server.url}/uploads`, { method: "POST", body: content });
  assert.equal(stored.status, 201);
  await using opened = await UploadPage.open(server.url);
  // all of it would take a quarter of a minute
  await opened.throttle(MIB / 2);
  const [worker] = await Promise.all([opened.page.waitForEvent("worker"), opened.choose(join(folder, "large.bin"))]);
  assert.match(worker.url(), /\/page\/hash-worker-/);
  await opened.stored(1);
  assert.match((await opened.page.locator(".state").textContent()) ?? "", /^Already on the server/);
  const [{ sent = NaN }] = (await opened.page.evaluate(() =>
    JSON.parse(localStorage.getItem("fixity:links:/uploads") ?? "[]"),
  )) as [{ sent?: number }];
  assert.ok(sent < 4 * MIB, String(sent));
  assert.deepEqual(opened.complaints, []);
});

browserTest("a file over the limit is refused before it is sent, with the reason", async () => {
  await using opened = await UploadPage.open(server.url);
  let posts = 0;
  opened.page.on("request", (request) => (posts += request.method() === "POST" ? 1 : 0));
  await opened.choose(file("large.bin", Buffer.alloc(10 * MIB + 1)), file("fits.txt", "fits"));
  await opened.page.locator("#failures", { hasText: /large\.bin.*10 MiB/ }).waitFor();
  await opened.stored(1);
  assert.equal(posts, 1);
  assert.ok(await opened.page.locator("#failures").isVisible(), "it stays while it is not read");
  await opened.choose(file("small.txt", "small"));
  await opened.stored(2);
  assert.equal(await opened.page.locator("#failures").isVisible(), false);
});

browserTest("a 413 can be read in a browser, however much is still being sent", async () => {
  await using small = await ServerProcess.start({ dir: join(folder, "small"), env: { UPLOAD_MAX_SIZE: "1MiB" } });
  await using opened = await UploadPage.open(small.url);
  for (const size of [2, 12]) {
    const answers = await opened.page.evaluate(async (bytes) => {
      const body = new Uint8Array(bytes);
      const response = await fetch("/uploads", { method: "POST", body });
      const form = new FormData();
      form.append("upload", new File([body], "large.bin"));
      const { status } = await fetch("/uploads", { method: "POST", body: form });
      return [response.status, ((await response.json()) as { code: string }).code, status];
    }, size * MIB);
    assert.deepEqual(answers, [413, "size-limit-exceeded", 413], `${size} MiB`);
  }
});

browserTest("the page shows the server's error text until another attempt succeeds", async () => {
  await using opened = await UploadPage.open(server.url);
  const { page } = opened;
  for (const { status, code, detail } of [
    { status: 413, code: "size-limit-exceeded", detail: "The file is larger than is allowed here." },
    { status: 422, code: "digest-mismatch", detail: "The bytes are not those that were declared." },
  ]) {
    const body = JSON.stringify({ code, detail, status });
    await page.route("**/uploads*", (route) =>
      route.request().method() === "POST"
        ? route.fulfill({ status, contentType: "application/problem+json", body })
        : route.continue(),
    );
    await opened.choose(file(`${code}.txt`, code));
    await page.locator("#failures", { hasText: `${code}.txt: ${detail}` }).waitFor();
    await page.unroute("**/uploads*");
    await page.getByRole("button", { name: "Retry upload" }).last().click();
    await opened.row(`${code}.txt`).waitFor();
    assert.equal(await page.locator("#failures").isVisible(), false);
  }
  assert.deepEqual(opened.complaints, []);
});

const HOSTILE_NAMES = [
  ["HTML", `"><img src=x onerror=document.title='owned'><script>document.title='owned'<b>.txt`],
  ["right-to-left overrides", "invoice\u202Efdp.exe"],
  ["spaces only", "   .txt"],
] as const;

for (const [what, name] of someOf(HOSTILE_NAMES, 1)) {
  browserTest(`a name of ${what} is only text`, async () => {
    await using opened = await UploadPage.open(server.url);
    await opened.choose(file(name, `hostile ${what}`));
    await opened.stored(1);
    assert.notEqual(await opened.page.title(), "owned");
    assert.equal(await opened.page.locator(".file img, .file script, .file b").count(), 0);
    assert.equal(await opened.page.locator(".name").evaluate((element) => element.tagName), "BDI", "kept to itself");
    await opened.page.locator("summary").click();
    await opened.page.locator(".snippet").first().waitFor();
    assert.equal(await opened.page.locator(".panel img, .panel script, .panel b").count(), 0);
    assert.deepEqual(opened.complaints, []);
  });
}

browserTest("an uploaded page runs nothing, whether opened from its link or embedded", async () => {
  await using opened = await UploadPage.open(server.url);
  const { page } = opened;
  const evil = `<svg xmlns="http://www.w3.org/2000/svg"><script>parent.document.title = document.title = "owned"</script></svg>`;
  await opened.choose(file("evil.svg", evil, "image/svg+xml"), file("evil.html", evil, "text/html"));
  await opened.stored(2);
  for (const name of ["evil.svg", "evil.html"]) {
    const downloading = page.waitForEvent("download");
    await opened.row(name).locator(".link").click();
    await (await downloading).cancel();
    const url = await opened.row(name).locator(".link").getAttribute("href");
    // a policy forbids frames here: a page that allows them is somebody else's
    await page.setContent(`<iframe src="${url}"></iframe>`).catch(() => null);
    assert.notEqual(await page.title(), "owned");
    await page.goto(server.url);
    await opened.stored(2);
  }
});

browserTest("a chosen picture has a thumbnail, and a file that only claims to be one does no harm", async () => {
  await using opened = await UploadPage.open(server.url);
  await opened.choose(file("real.png", PNG, "image/png"), file("false.png", "no picture", "image/png"));
  await opened.stored(2);
  await opened.row("real.png").locator(".thumb canvas").waitFor();
  assert.equal(await opened.row("false.png").locator(".thumb").textContent(), "PNG");
  assert.deepEqual(opened.complaints, []);
});
