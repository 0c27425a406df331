/**
 * The first ten minutes of a user who has the package and nothing else: start, curl in several spellings, the page, the
 * command line, S3, and nginx with TLS in front. An app of one's own: test/package.
 */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { needingChromium, startBrowser } from "./browser.ts";
import { FrontServer, USUAL_PROXY } from "../helpers/front-server.ts";
import { needing } from "../helpers/requirements.ts";
import { sha256 } from "../helpers/service.ts";
import { bucketSettings, startGateway, whyNoGateway } from "../s3/gateway.ts";
import { ENV, install, packCleanClone, run, type RunningProgram, startProgram } from "../package/installed.ts";

const CONTENT = "the content of a note\n";
const PATH = `/uploads/${sha256(CONTENT)}.txt`;

let folder = "";
let app = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-first-"));
  app = join(folder, "app");
  await install(await packCleanClone(folder), app);
  await writeFile(join(app, "note.txt"), CONTENT);
});
after(() => rm(folder, { recursive: true, force: true }));

function serve(env: Readonly<Record<string, string>> = {}): Promise<RunningProgram> {
  return startProgram("npx", ["fixity", "serve"], { cwd: app, env: { ...ENV, PORT: "0", ...env } });
}

/** What a command writes to its standard output. */
async function outputOf(program: string, ...args: string[]): Promise<string> {
  return (await run(program, args, { cwd: app, env: ENV })).stdout;
}

const curl = (...args: string[]): Promise<string> => outputOf("curl", "-sS", ...args);

test("curl, however it is called, gets a link or learns how to get one", needing("curl"), async () => {
  await using server = await serve({ UPLOAD_DIR: join(folder, "curl") });
  const uploads = `${server.url}/uploads`;
  for (const args of [
    ["-F", "upload=@note.txt", uploads],
    ["-F", "file=@note.txt", uploads],
    ["-T", "note.txt", `${uploads}/`],
    ["-T", "note.txt", `${uploads}/note.txt`],
    ["--data-binary", "@note.txt", "-H", "content-type: text/plain", uploads],
  ]) {
    assert.equal(await curl("-H", "accept: text/plain", ...args), `${server.url}${PATH}\n`, args.join(" "));
  }
  assert.equal(await curl(server.url + PATH), CONTENT);
  for (const [args, code, remedy] of [
    [["-d", "@note.txt", uploads], "unsupported-media-type", /curl -F upload=@FILE URL/],
    [["-T", "note.txt", uploads], "method-not-allowed", /add a slash: curl -T FILE URL\//],
    [["-F", "upload=", uploads], "missing-file", /With curl, use -F upload=@FILE\./],
    [[`${uploads}/${"0".repeat(63)}`], "not-found", /There is nothing at this URL\./],
  ] as const) {
    const problem = JSON.parse(await curl(...args)) as { code: string; detail: string };
    assert.equal(problem.code, code, args.join(" "));
    assert.match(problem.detail, remedy);
  }
});

test(
  "the page uploads a file, and a browser that follows a dead link finds back to it",
  needingChromium(),
  async () => {
    await using server = await serve({ UPLOAD_DIR: join(folder, "page") });
    await using browser = await startBrowser();
    const page = await browser.newPage();
    await page.goto(server.url);
    await page.locator("input[name='files[]']").first().setInputFiles(join(app, "note.txt"));
    assert.equal(await page.locator(".link").first().getAttribute("href"), server.url + PATH);
    await page.goto(`${server.url}/uploads/${"0".repeat(64)}.txt`);
    await page.getByRole("heading", { name: "No such file" }).waitFor();
    await page.getByRole("link", { name: "Upload a file" }).click();
    await page.locator("html.scripted").waitFor();
    assert.equal(page.url(), `${server.url}/`);
  },
);

test(
  "the command line puts, recognizes and gets a file, and checks the bucket",
  { skip: whyNoGateway() ?? false },
  async () => {
    const gateway = await startGateway();
    try {
      const settings = bucketSettings(gateway);
      await using server = await serve(settings);
      const put = (): Promise<string> => outputOf("npx", "fixity", "put", "note.txt", "--to", server.url);
      assert.equal(await put(), `${server.url}${PATH}\n`);
      assert.equal(await put(), `${server.url}${PATH}\n`);
      await outputOf("npx", "fixity", "get", server.url + PATH, "-o", "got.txt");
      assert.equal(await readFile(join(app, "got.txt"), "utf8"), CONTENT);
      const { stdout } = await run("npx", ["fixity", "doctor"], { cwd: app, env: { ...ENV, ...settings } });
      assert.match(stdout, /This store can be used\./);
    } finally {
      await gateway.stop();
    }
  },
);

test("behind nginx with TLS, the link is that of the public address", needing("nginx", "openssl", "curl"), async () => {
  const dir = join(folder, "tls");
  await using server = await serve({ UPLOAD_DIR: dir, UPLOAD_PUBLIC_URL: "https://127.0.0.1" });
  const places = { "127.0.0.1:3000": new URL(server.url).host };
  await using front = await FrontServer.nginxWith(USUAL_PROXY, places, { http2: true });
  const link = await curl("-k", "-H", "accept: text/plain", "-F", "upload=@note.txt", `${front.url}/uploads`);
  assert.equal(link, `https://127.0.0.1${PATH}\n`);
  assert.equal(await curl("-k", "-r", "4-10", front.url + PATH), "content");
  assert.match(await curl("-k", "-H", "accept: text/html", `${front.url}/nope`), /<a href="\.\/">Upload a file<\/a>/);
});
