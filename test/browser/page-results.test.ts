import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import jsqr from "jsqr";
import { someOf } from "../helpers/full-run.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { browserTest, type ChosenFile, file, PNG, UploadPage } from "./upload-page.ts";

let folder = "";
let server: ServerProcess;
/** One whose files may be scripts and style sheets. */
let scripting: ServerProcess;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-test-"));
  server = await ServerProcess.start({ dir: join(folder, "data") });
  scripting = await ServerProcess.start({ dir: join(folder, "scripts"), env: { UPLOAD_SCRIPTS: "yes" } });
});
after(async () => {
  await server.stop();
  await scripting.stop();
  await rm(folder, { recursive: true, force: true });
});

function withStored(...files: readonly ChosenFile[]): Promise<UploadPage> {
  return withStoredAt(server, ...files);
}

async function withStoredAt(at: ServerProcess, ...files: readonly ChosenFile[]): Promise<UploadPage> {
  const opened = await UploadPage.open(at.url);
  for (const [index, chosen] of files.entries()) {
    await opened.choose(chosen);
    await opened.stored(index + 1);
  }
  return opened;
}

/** What is in the clipboard after a button was pressed that says so. */
async function copied(opened: UploadPage, name: string): Promise<string> {
  await opened.page.evaluate(() => navigator.clipboard.writeText(""));
  await opened.page.getByRole("button", { name, exact: true }).click();
  await opened.page.waitForFunction(async () => (await navigator.clipboard.readText()) !== "");
  return opened.clipboard();
}

const linkOf = (content: string | Buffer, extension: string, at: ServerProcess = server): string =>
  `${at.url}/uploads/${sha256(content)}.${extension}`;

browserTest("one link or all links are copied as they are, as Markdown and as HTML", async () => {
  await using opened = await withStored(file("a [1].txt", "copy a"), file('b "2".png', PNG, "image/png"));
  const a = linkOf("copy a", "txt");
  const b = linkOf(PNG, "png");
  assert.equal(await copied(opened, "Copy link (a [1].txt)"), a);
  assert.equal(await copied(opened, "Copy all: Links"), `${b}\n${a}`);
  assert.equal(await copied(opened, "Copy all: Markdown"), `![b "2".png](${b})\n[a \\[1\\].txt](${a})`);
  assert.equal(
    await copied(opened, "Copy all: HTML"),
    `<img src="${b}" alt="b &quot;2&quot;.png">\n<a href="${a}">a [1].txt</a>`,
  );
  await opened.page.locator("#status", { hasText: "Copied" }).waitFor();
});

const ELEMENTS = [
  ["film.mp4", "video/mp4", '<video src="', '" controls></video>'],
  ["song.mp3", "audio/mpeg", '<audio src="', '" controls></audio>'],
  ["app.js", "text/javascript", '<script src="', "></script>"],
  ["site.css", "text/css", '<link rel="stylesheet" href="', ">"],
] as const;

for (const [name, type, start, end] of someOf(ELEMENTS, 2)) {
  browserTest(`the HTML of ${name} is the element for its type`, async () => {
    const content = `/* ${name} */`;
    await using opened = await withStoredAt(scripting, file(name, content, type));
    await opened.page.locator("summary").click();
    const html = await copied(opened, `Copy: HTML (${name})`);
    const isChecked = name === "app.js" || name === "site.css";
    const integrity = `sha256-${Buffer.from(sha256(content), "hex").toString("base64")}`;
    const checked = isChecked ? `" integrity="${integrity}" crossorigin="anonymous"` : "";
    assert.equal(html, `${start}${linkOf(content, name.split(".")[1] ?? "", scripting)}${checked}${end}`);
    assert.equal(await opened.page.locator(".note").count(), isChecked ? 1 : 0);
  });
}

browserTest("if scripts and style sheets are not served as such, their HTML is a link", async () => {
  for (const [name, type] of [
    ["app.js", "text/javascript"],
    ["site.css", "text/css"],
  ] as const) {
    const content = `/* only text: ${name} */`;
    await using opened = await withStored(file(name, content, type));
    await opened.page.locator("summary").click();
    const html = await copied(opened, `Copy: HTML (${name})`);
    assert.equal(html, `<a href="${linkOf(content, name.split(".")[1] ?? "")}">${name}</a>`);
    assert.equal(await opened.page.locator(".note").count(), 0);
  }
});

browserTest("a script with its integrity runs, and a changed one does not", async () => {
  await using opened = await withStoredAt(scripting, file("title.js", 'document.title = "it ran"', "text/javascript"));
  await opened.page.locator("summary").click();
  const html = await copied(opened, "Copy: HTML (title.js)");
  // on another page of the origin: the upload page's own policy lets no script be added to it
  const blank = `${scripting.url}/blank`;
  await opened.page.route(blank, (route) => route.fulfill({ contentType: "text/html", body: "<!doctype html>" }));
  await opened.page.goto(blank);
  const run = (html: string): Promise<string> =>
    opened.page.evaluate(async (html) => {
      const [, src = "", integrity = ""] = /src="([^"]+)" integrity="([^"]+)"/.exec(html) ?? [];
      const script = Object.assign(document.createElement("script"), { src, integrity, crossOrigin: "anonymous" });
      const ended = new Promise((resolve) => {
        script.addEventListener("load", resolve);
        script.addEventListener("error", resolve);
      });
      document.title = "nothing ran";
      document.head.append(script);
      await ended;
      return document.title;
    }, html);
  assert.equal(await run(html.replace(/sha256-./, "sha256-_")), "nothing ran");
  assert.equal(await run(html), "it ran");
});

browserTest("a broken entry among the remembered links loses no other link", async () => {
  await using opened = await withStored(file("kept.txt", "kept"));
  const broken = [{ url: "http://[" }, { url: "javascript:alert(1)" }, { url: "//" }, { url: 1 }, {}, null, "text", []];
  await opened.page.evaluate((broken) => {
    const kept = JSON.parse(localStorage.getItem("fixity:links:/uploads") ?? "") as unknown[];
    localStorage.setItem("fixity:links:/uploads", JSON.stringify([...broken, ...kept, ...broken]));
  }, broken);
  await opened.page.reload();
  await opened.stored(1);
  assert.deepEqual(await opened.links(), [linkOf("kept", "txt")]);
  assert.deepEqual(opened.complaints, []);
});

browserTest("links have the name of their file if the user wants that", async () => {
  await using opened = await withStored(file("Größe 1.txt", "named"));
  const named = `${linkOf("named", "txt")}?filename=Gr%C3%B6%C3%9Fe%201.txt`;
  await opened.page.locator("summary").click();
  assert.equal(await copied(opened, "Copy: Link with file name (Größe 1.txt)"), named);
  await opened.page.getByLabel("File names in links").check();
  assert.equal(await copied(opened, "Copy link (Größe 1.txt)"), named);
  await opened.page.reload();
  await opened.stored(1);
  assert.deepEqual(await opened.links(), [named]);
  const { headers } = await fetch(named);
  assert.match(headers.get("content-disposition") ?? "", /filename\*=UTF-8''Gr%C3%B6%C3%9Fe%201\.txt/);
  await opened.page.getByLabel("File names in links").uncheck();
  assert.deepEqual(await opened.links(), [linkOf("named", "txt")]);
});

browserTest("the digest and a link to the file's page are shown", async () => {
  await using opened = await withStored(file("own.txt", "a page of its own"));
  await opened.page.locator("summary").click();
  assert.equal(await copied(opened, "Copy: Digest (own.txt)"), `sha256:${sha256("a page of its own")}`);
  const page = await opened.page.locator(".own-page a").getAttribute("href");
  assert.equal(page, `${linkOf("a page of its own", "txt")}?view&filename=own.txt`);
  await opened.page.locator(".own-page a").click();
  assert.equal(await opened.page.locator("h1").textContent(), "own.txt");
});

browserTest("the QR code is that of the link, in both themes", async () => {
  await using opened = await withStored(file("phone.txt", "for the phone"));
  await opened.page.locator("summary").click();
  for (const colorScheme of ["light", "dark"] as const) {
    await opened.page.emulateMedia({ colorScheme });
    const png = await opened.page.getByRole("img", { name: "QR code" }).screenshot();
    const { data, width, height } = await opened.page.evaluate(async (base64) => {
      const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
      const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
      const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
      const context = canvas.getContext("2d");
      context?.drawImage(bitmap, 0, 0);
      const { data = [], width = 0, height = 0 } = context?.getImageData(0, 0, bitmap.width, bitmap.height) ?? {};
      return { data: [...data], width, height };
    }, png.toString("base64"));
    const decode = jsqr as unknown as typeof jsqr.default;
    assert.equal(
      decode(Uint8ClampedArray.from(data), width, height)?.data,
      linkOf("for the phone", "txt"),
      colorScheme,
    );
  }
});

browserTest("links can be copied without https, too", async () => {
  await using opened = await UploadPage.open(server.url);
  await opened.context.addInitScript(() => {
    // what a page without https finds
    Object.defineProperty(navigator.clipboard, "writeText", { value: undefined });
  });
  await opened.page.reload();
  await opened.choose(file("plain.txt", "copied the old way"));
  await opened.page.getByRole("button", { name: "Copy link (plain.txt)" }).click();
  await opened.page.getByText("Copied", { exact: true }).first().waitFor();
  assert.equal(await opened.clipboard(), linkOf("copied the old way", "txt"));
  assert.match((await opened.page.evaluate(() => document.activeElement?.className)) ?? "", /\bcopy\b/);
});

browserTest("the command for a terminal is copied", async () => {
  await using opened = await UploadPage.open(server.url);
  assert.equal(await copied(opened, "Copy"), `curl -F upload=@FILE ${server.url}/uploads`);
});
