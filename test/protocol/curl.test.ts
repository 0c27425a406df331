import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, open, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

const run = promisify(execFile);
const withCurl = needing("curl");
const MIB = 1024 * 1024;

let work: string;
let folder: StoreFolder;
let server: ServerProcess;

before(async () => {
  work = await mkdtemp(join(tmpdir(), "fixity-curl-"));
  folder = await StoreFolder.make();
  server = await ServerProcess.start({ dir: folder.path });
});

after(async () => {
  await server[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
  await rm(work, { recursive: true, force: true });
});

/** Runs curl in the work folder; fails where curl does. Gives what it wrote to its standard output. */
async function curl(...args: readonly string[]): Promise<string> {
  const { stdout } = await run("curl", ["--silent", "--show-error", ...args], { cwd: work });
  return stdout;
}

/** The status of the last answer, whatever it is. */
async function statusOf(...args: readonly string[]): Promise<number> {
  return Number(await curl("--write-out", "%{http_code}", "--output", "ignored", ...args));
}

async function fileOf(name: string, content: Uint8Array | string): Promise<string> {
  await writeFile(join(work, name), content);
  return name;
}

/** Uploads as a form and gives the absolute link. */
async function uploaded(name: string, content: Uint8Array | string): Promise<string> {
  await fileOf(name, content);
  const receipt = JSON.parse(await curl("--fail", "-F", `upload=@${name}`, `${server.url}/uploads`)) as { url: string };
  return server.url + receipt.url;
}

const bytesOf = (name: string): Promise<Buffer> => readFile(join(work, name));

async function digestOf(name: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(join(work, name)), hash);
  return hash.digest("hex");
}

test("the line that the server prints at its start works as it stands", withCurl, async () => {
  const line = /curl .*/.exec(server.output)?.[0] ?? "";
  const { stdout } = await run("sh", ["-c", line.replace("FILE", await fileOf("photo.JPG", "a photo"))], { cwd: work });
  assert.equal((JSON.parse(stdout) as { url: string }).url, `/uploads/${sha256("a photo")}.jpg`);
});

test("a form upload comes back byte for byte, under the name's extension", withCurl, async () => {
  const content = randomBytes(100_000);
  const link = await uploaded("Grüße 写真.PNG", content);
  assert.equal(link, `${server.url}/uploads/${sha256(content)}.png`);
  await curl("--fail", "-o", "back", link);
  assert.deepEqual(await bytesOf("back"), content);
});

test("a form's file may be streamed in from a pipe, of unknown length", withCurl, async () => {
  const content = "from a pipe";
  const command = `printf '${content}' | curl -sS --fail -F 'upload=@-;filename=p.txt' ${server.url}/uploads`;
  const { stdout } = await run("sh", ["-c", command]);
  assert.equal((JSON.parse(stdout) as { url: string }).url, `/uploads/${sha256(content)}.txt`);
});

test("-T sends the content itself, by POST with a name in the query", withCurl, async () => {
  const content = randomBytes(3 * MIB);
  const file = await fileOf("raw.bin", content);
  const url = `${server.url}/uploads?filename=a%20b.tar`;
  const receipt = JSON.parse(await curl("--fail", "-X", "POST", "-T", file, url)) as { url: string; name: string };
  assert.equal(receipt.url, `/uploads/${sha256(content)}.tar`);
  assert.equal(receipt.name, "a b.tar");
});

test("-T to a link is held against it: 201, then 200, and 422 for other content", withCurl, async () => {
  const content = randomBytes(2 * MIB);
  const file = await fileOf("put.bin", content);
  const link = `${server.url}/uploads/${sha256(content)}.bin`;
  assert.equal(await statusOf("-T", await fileOf("wrong.bin", "other content"), link), 422);
  assert.equal(await statusOf(link), 404);
  assert.equal(await statusOf("-T", file, link), 201);
  assert.equal(await statusOf("-T", file, link), 200);
  // asked first, the server answers before a byte was sent
  const asking = ["-H", "Expect: 100-continue", "-w", "%{http_code} %{size_upload}", "-o", "ignored"];
  assert.equal(await curl(...asking, "-T", file, link), "200 0");
});

test("--range returns the requested part", withCurl, async () => {
  const content = randomBytes(10_000);
  const link = await uploaded("range.bin", content);
  for (const [range, start, end] of [
    ["0-0", 0, 1],
    ["5000-", 5000, 10_000],
    ["-100", 9900, 10_000],
    ["9000-20000", 9000, 10_000],
  ] as const) {
    const status = await curl("--fail", "-w", "%{http_code}", "-o", "part", "--range", range, link);
    assert.equal(status, "206", range);
    assert.deepEqual(await bytesOf("part"), content.subarray(start, end), range);
  }
  assert.equal(await statusOf("--range", "10000-", link), 416);
});

test("-C - resumes a download that was cut off", withCurl, async () => {
  const content = randomBytes(5 * MIB);
  const link = await uploaded("resume.bin", content);
  await curl("--fail", "-o", "resumed", link);
  for (const size of [0, 1, 2 * MIB + 1, content.length - 1]) {
    await truncate(join(work, "resumed"), size);
    const sent = await curl("--fail", "-w", "%{http_code} %{size_download}", "-C", "-", "-o", "resumed", link);
    assert.equal(sent, `${size === 0 ? 200 : 206} ${content.length - size}`);
    assert.deepEqual(await bytesOf("resumed"), content);
  }
});

test("a revalidation by --etag-compare or If-None-Match sends nothing again", withCurl, async () => {
  const content = randomBytes(1000);
  const link = await uploaded("etag.bin", content);
  const save = ["--etag-save", "etag", "--etag-compare", "etag", "-o", "cached"];
  await fileOf("etag", "");
  const first = await curl("--fail", "-w", "%{http_code}", ...save, link);
  const second = await curl("--fail", "-w", "%{http_code} %{size_download}", ...save, link);
  assert.deepEqual([first, second], ["200", "304 0"]);
  assert.equal((await bytesOf("etag")).toString().trim(), `"${sha256(content)}"`);
  assert.deepEqual(await bytesOf("cached"), content);
  assert.equal(await statusOf("-H", `If-None-Match: W/"x", "${sha256(content)}"`, link), 304);
  assert.equal(await statusOf("-H", 'If-None-Match: "x"', link), 200);
  assert.equal(await statusOf("-I", "-H", `If-None-Match: "${sha256(content)}"`, link), 304);
});

test("-z, a condition on the time, is passed over: what does not change has no time of change", withCurl, async () => {
  const content = randomBytes(1000);
  const link = await uploaded("time.bin", content);
  for (const time of ["2000-01-01", "2100-01-01", "-2000-01-01"]) {
    assert.equal(await curl("--fail", "-w", "%{http_code}", "-o", "timed", "-z", time, link), "200");
    assert.deepEqual(await bytesOf("timed"), content);
  }
});

test("-OJ names the download after ?filename=", withCurl, async () => {
  const content = randomBytes(1000);
  const link = await uploaded("a.bin", content);
  const downloads = await mkdtemp(join(work, "named-"));
  const save = ["--fail", "--remote-name", "--remote-header-name", "--output-dir", downloads];
  await curl(...save, `${link}?download&filename=report%20%22final%22.bin`);
  // curl knows no filename* (RFC 8187); the plain parameter must then still be a name that can be used
  await curl(...save, `${link}?filename=${encodeURIComponent("отчёт 写真.bin")}`);
  const names = await readdir(downloads);
  assert.equal(names.length, 2, names.join());
  assert.ok(names.some((name) => name.startsWith("report")) && names.every((name) => name.endsWith(".bin")));
  for (const name of names) assert.deepEqual(await readFile(join(downloads, name)), content);
  const head = await curl("--fail", "-I", `${link}?filename=${encodeURIComponent("отчёт 写真.bin")}`);
  assert.match(head, /filename\*=UTF-8''%D0%BE%D1%82%D1%87%D1%91%D1%82%20%E5%86%99%E7%9C%9F\.bin/);
});

test("an empty file is uploaded by every route and comes back empty", withCurl, async () => {
  const file = await fileOf("empty.txt", "");
  const collection = `${server.url}/uploads`;
  const link = `${collection}/${sha256("")}`;
  assert.equal(await statusOf("-F", `upload=@${file}`, collection), 201);
  assert.equal(await statusOf("-H", "Content-Type: text/plain", "--data-binary", "@empty.txt", collection), 200);
  assert.equal(await statusOf("-X", "POST", "-T", file, collection), 200);
  assert.equal(await statusOf("-T", file, link), 200);
  assert.equal(await curl("--fail", "-w", "%{http_code} %{size_download}", `${link}.txt`), "200 0");
});

test("a large file comes back byte for byte, from a form, by POST and by PUT", withCurl, async () => {
  const size = 64 * MIB + 1;
  for (const route of ["form", "post", "put"] as const) {
    const name = `${route}.large`;
    await using file = await open(join(work, name), "w");
    for (let at = 0; at < size; at += MIB) await file.write(randomBytes(Math.min(MIB, size - at)));
    const digest = await digestOf(name);
    const link = `${server.url}/uploads/${digest}`;
    if (route === "form") assert.equal(await statusOf("-F", `upload=@${name}`, `${server.url}/uploads`), 201);
    if (route === "post") assert.equal(await statusOf("-X", "POST", "-T", name, `${server.url}/uploads`), 201);
    if (route === "put") assert.equal(await statusOf("-T", name, link), 201);
    await curl("--fail", "-o", "large.back", link);
    assert.equal(await digestOf("large.back"), digest);
  }
});

test("curl reads why its upload was refused, and is not reset", withCurl, async () => {
  await using small = await ServerProcess.start({ dir: folder.path, env: { UPLOAD_MAX_SIZE: "1MiB" } });
  const file = await fileOf("toolarge.bin", randomBytes(20 * MIB));
  const url = `${small.url}/uploads`;
  for (const send of [
    ["-F", `upload=@${file}`],
    ["-X", "POST", "-T", file],
    ["-X", "POST", "-T", file, "-H", "Transfer-Encoding: chunked"],
    ["-X", "POST", "-T", file, "-H", "Expect:"],
  ]) {
    const answer = await curl("-w", "%{http_code}", ...send, url);
    const [problem = "", status] = answer.split("\n");
    assert.equal(status, "413", send.join(" "));
    assert.equal((JSON.parse(problem) as { code: string }).code, "size-limit-exceeded");
  }
  assert.deepEqual(await folder.staged(), []);
});

test("curl -T to the collection stores a file under its own name", withCurl, async () => {
  const content = randomBytes(300_000);
  for (const [name, extension] of [
    ["photo of me.png", ".png"],
    ["写真 100%.JPG", ".jpg"],
    ["README", ""],
  ] as const) {
    await fileOf(name, content);
    const receipt = JSON.parse(await curl("--fail", "-T", name, `${server.url}/uploads/`)) as {
      url: string;
      name: string;
    };
    assert.deepEqual([receipt.name, receipt.url], [name, `/uploads/${sha256(content)}${extension}`]);
  }
});

test("wget stores a file by PUT to a name, and by POST, where it is given a type", needing("wget"), async () => {
  const content = randomBytes(300_000);
  await fileOf("by-wget.bin", content);
  const wget = (...args: string[]) => run("wget", ["--quiet", "--output-document=-", ...args], { cwd: work });
  const type = "--header=Content-Type: application/octet-stream";
  for (const args of [
    ["--method=PUT", "--body-file=by-wget.bin", `${server.url}/uploads/a.txt`],
    ["--post-file=by-wget.bin", `${server.url}/uploads?filename=a.txt`],
  ]) {
    const { stdout } = await run("wget", ["--quiet", "--output-document=-", type, ...args], { cwd: work });
    assert.equal((JSON.parse(stdout) as { url: string }).url, `/uploads/${sha256(content)}.txt`);
    await assert.rejects(wget("--content-on-error", ...args), ({ stdout }: { stdout: string }) =>
      stdout.includes("415"),
    );
  }
});
