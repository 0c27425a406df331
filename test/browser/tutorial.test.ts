/** docs/tutorial.md, followed from its first step to its last, with the package as it is built. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import type { Page } from "playwright-core";
import { build } from "vite";
import { needingChromium, openBrowser } from "./browser.ts";
import { installBuiltPackage } from "./built-package.ts";
import { CHILD_ENV } from "../helpers/child-env.ts";
import { freePort } from "../helpers/free-port.ts";
import { until } from "../helpers/settled.ts";
import { type CodeBlock, codeBlocks } from "../package/code-blocks.ts";

const MIB = 1024 ** 2;

/** What remains to be done of the tutorial. */
const blocks = codeBlocks().filter(({ page }) => page === "docs/tutorial.md");
let folder = "";
let port = 0;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "fixity-tutorial-"));
  await installBuiltPackage(folder);
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
  port = await freePort();
});
after(() => rm(folder, { recursive: true, force: true }));

/** The next block of the tutorial in that language; those before it are passed over. */
function next(language: string): string {
  for (let block = blocks.shift(); block !== undefined; block = blocks.shift()) {
    if (block.language === language) return block.code;
  }
  return assert.fail(`the tutorial has no further block in ${language}`);
}

/** Writes the next files, whose first lines name them. */
async function writeFiles(...languages: readonly string[]): Promise<void> {
  for (const language of languages) {
    const code = next(language);
    const [, name = ""] = /^(?:\/\/|<!--) (\S+)/.exec(code) ?? [];
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), code);
  }
}

/** Runs the commands of the next session, and compares what they print with what the tutorial shows. */
async function followSession(): Promise<void> {
  const [, ...steps] = next("console").split(/^\$ /m);
  for (const step of steps) {
    const [command = "", ...lines] = step.replaceAll("http://localhost:3000", `http://127.0.0.1:${port}`).split("\n");
    const shown = lines.join("\n").trim();
    const { stdout } = await promisify(execFile)("bash", ["-euc", command], { cwd: folder, env: CHILD_ENV });
    assert.match(stdout.trim(), new RegExp(`^${RegExp.escape(shown).replaceAll("…", "[^\\n]*?")}$`), command);
  }
}

/** Starts `server.js` on the port of the tutorial. Ends it at once when it is disposed of. */
async function startServer() {
  const env = { ...CHILD_ENV, PORT: String(port) };
  const server = spawn(process.execPath, ["server.js"], { cwd: folder, env, stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(server, "exit");
  const started = await Promise.race([once(server.stdout, "data"), exited]);
  assert.match(String(started[0]), /^ready/);
  return {
    async [Symbol.asyncDispose]() {
      server.kill("SIGKILL");
      await exited;
    },
  };
}

test("an app takes files, its users sign in, and their links are private", async () => {
  await writeFiles("js");
  {
    await using _ = await startServer();
    for (let sessions = 0; sessions < 4; sessions += 1) await followSession();
  }
  await writeFiles("js", "js");
  {
    await using _ = await startServer();
    await followSession();
  }
  await writeFiles("js");
  await using _ = await startServer();
  await followSession();
});

/** Lets so many bytes per second out of the page. */
async function limitUploads(page: Page, uploadThroughput: number): Promise<void> {
  const devtools = await page.context().newCDPSession(page);
  const conditions = { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput };
  await devtools.send("Network.emulateNetworkConditions", conditions);
}

test("uploads of the page continue after a reload and after the server was killed", needingChromium(), async () => {
  await writeFiles("html", "jsx");
  await build({ root: folder, logLevel: "error", configFile: false });
  const path = join(folder, "film.mp4");
  const bytes = randomBytes(40 * MIB);
  await writeFile(path, bytes);
  await using browser = await openBrowser();
  const page = await browser.context.newPage();
  page.setDefaultTimeout(30_000);
  const offsets: number[] = [];
  page.on("request", (request) => {
    if (request.method() === "PATCH") offsets.push(Number(request.headers()["upload-offset"]));
  });
  const choose = () => page.getByLabel("Files").setInputFiles(path);
  {
    await using _ = await startServer();
    await page.goto(`http://127.0.0.1:${port}/`);
    await page.getByLabel("Name").fill("ann");
    await page.getByLabel("Password").fill("ann's password");
    await page.getByRole("button", { name: "Sign in" }).click();
    await limitUploads(page, 16 * MIB);
    await choose();
    // The first append has been acknowledged.
    await until(async () => offsets.length >= 2);
    await page.reload();
    offsets.length = 0;
    await choose();
    await until(async () => offsets.length > 0);
    assert.ok((offsets[0] ?? 0) > 0, "nothing was sent again after the reload");
  }
  await page.getByText("waiting for the server").waitFor();
  await using _ = await startServer();
  const link = page.getByRole("link", { name: "film.mp4" });
  const url = await link.getAttribute("href");
  const stored = Buffer.from(await (await fetch(`http://127.0.0.1:${port}${url}`)).arrayBuffer());
  assert.equal(createHash("sha256").update(stored).digest("hex"), createHash("sha256").update(bytes).digest("hex"));
});

test("a user's uploads have limits, which the app states", async () => {
  const handler = next("js");
  const all = codeBlocks().filter(({ page, language }) => page === "docs/tutorial.md" && language === "js");
  const whole: CodeBlock = all.findLast(({ code }) => code.startsWith("// server.js")) ?? assert.fail();
  const before = /^const uploads = nodeHandler[^]*?^\}\);$/m.exec(whole.code)?.[0] ?? assert.fail();
  await writeFile(
    join(folder, "server.js"),
    whole.code.replace(before, () => handler),
  );
  await using _ = await startServer();
  const url = `http://127.0.0.1:${port}`;
  const body = JSON.stringify({ name: "bob", password: "bob's password" });
  const signedIn = await fetch(`${url}/sign-in`, {
    method: "POST",
    body,
    headers: { "Content-Type": "application/json" },
  });
  const headers = { Cookie: (signedIn.headers.get("set-cookie") ?? "").split(";")[0] ?? "" };
  const put = async (name: string, size: number): Promise<number> =>
    (await fetch(`${url}/uploads/${name}`, { method: "PUT", headers, body: randomBytes(size) })).status;
  assert.deepEqual([await put("a.txt", 10), await put("a.pdf", 2 * MIB), await put("a.pdf", 10)], [415, 413, 201]);
});
