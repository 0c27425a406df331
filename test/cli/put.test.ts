import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { ClientPlace } from "../helpers/client-place.ts";
import { jsonLines } from "../helpers/command.ts";
import { Random } from "../helpers/random.ts";
import { needing } from "../helpers/requirements.ts";
import { sha256 } from "../helpers/service.ts";

const random = new Random(5);
let place: ClientPlace;

before(async () => {
  place = await ClientPlace.start();
});

beforeEach(async () => {
  await rm(place.folder, { recursive: true, force: true });
  await mkdir(place.folder);
});

after(async () => place[Symbol.asyncDispose]());

/** Random text, so that no test finds the content of another. */
function text(): string {
  return random.bytes(20).toString("hex");
}

test("files are stored, and their links are printed in the order of the arguments", async () => {
  const contents = [text(), random.bytes(3_000_000), text()];
  const names = ["first.txt", "large.bin", "last.tar.gz"];
  for (const [index, name] of names.entries()) await place.file(name, contents[index] ?? "");
  const { code, out, err } = await place.run(["put", ...names]);
  const links = contents.map((content, index) => place.url(sha256(content), [".txt", ".bin", ".gz"][index]));
  assert.deepEqual([code, out], [0, `${links.join("\n")}\n`]);
  assert.equal(
    err,
    "first.txt: stored, 40 bytes\nlarge.bin: stored, 2.9 MiB\nlast.tar.gz: stored, 40 bytes\nStored 3; 2.9 MiB sent.\n",
  );
  for (const [index, link] of links.entries()) {
    assert.deepEqual(Buffer.from(await (await fetch(link)).arrayBuffer()), Buffer.from(contents[index] ?? ""));
  }
});

test("content that the service already has is reported", async () => {
  const content = random.bytes(5_000_000);
  await place.upload(content, "a.bin");
  await place.file("same.bin", content);
  const { code, out, err } = await place.run(["put", "same.bin"]);
  assert.deepEqual([code, out], [0, `${place.url(sha256(content), ".bin")}\n`]);
  assert.match(err, /^same\.bin: already stored.*, 4\.8 MiB\n$/);
  const [line] = jsonLines((await place.run(["put", "--json", "same.bin"])).out);
  assert.equal(line?.["status"], "existed");
});

test("--json prints one object per file, and nothing else", async () => {
  const content = text();
  await place.file("a.txt", content);
  const { code, out, err } = await place.run(["put", "--json", "a.txt", "missing.txt"]);
  assert.deepEqual([code, err], [1, ""]);
  const digest = Buffer.from(sha256(content), "hex");
  assert.deepEqual(jsonLines(out), [
    {
      status: "stored",
      file: "a.txt",
      url: place.url(sha256(content), ".txt"),
      digest: `sha256:${digest.toString("hex")}`,
      size: 40,
      type: "text/plain; charset=utf-8",
      name: "a.txt",
      integrity: `sha256-${digest.toString("base64")}`,
      sent: 40,
    },
    { status: "failed", file: "missing.txt", code: "ENOENT", reason: "no such file" },
  ]);
});

test("--quiet prints only links and failures", async () => {
  await place.file("a.txt", text());
  const { code, out, err } = await place.run(["put", "--quiet", "a.txt", "missing.txt"]);
  assert.equal(code, 1);
  assert.match(out, /^http:\S+\.txt\n$/);
  assert.equal(err, "fixity: missing.txt: no such file\n");
});

test("standard input can be named", async () => {
  const [named, unnamed] = [text(), random.bytes(2_000_000)];
  const first = await place.run(["put", "-", "--name", "notes.txt"], { input: named });
  assert.deepEqual([first.code, first.out], [0, `${place.url(sha256(named), ".txt")}\n`]);
  const second = await place.run(["put", "-"], { input: unnamed });
  assert.deepEqual([second.code, second.out], [0, `${place.url(sha256(unnamed))}\n`]);
  assert.match(second.err, /^-: stored, 1\.9 MiB\n$/);
});

test("a file can get another name, and be sent beside standard input", async () => {
  const [own, input] = [text(), text()];
  await place.file("a.bin", own);
  const { out } = await place.run(["put", "a.bin", "--name", "b.txt"]);
  assert.equal(out, `${place.url(sha256(own), ".txt")}\n`);
  const both = await place.run(["put", "a.bin", "-", "--name", "c.md"], { input });
  assert.equal(both.out, `${place.url(sha256(own), ".bin")}\n${place.url(sha256(input), ".md")}\n`);
});

test("folders need -r; their files are sent in order, and symbolic links in them are not followed", async () => {
  const contents = [text(), text(), text()];
  await place.file("folder/a/one.txt", contents[0] ?? "");
  await place.file("folder/b.txt", contents[1] ?? "");
  await place.file("outside.txt", contents[2] ?? "");
  await symlink("../outside.txt", join(place.folder, "folder/link.txt"));
  await symlink("..", join(place.folder, "folder/up"));
  const refused = await place.run(["put", "folder"]);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /^fixity: folder: is a folder: add -r to upload the files in it\n/);
  const { code, out, err } = await place.run(["put", "-r", "folder"]);
  const [one, two, outside] = contents.map((content) => place.url(sha256(content), ".txt"));
  assert.deepEqual([code, out], [0, `${one}\n${two}\n`]);
  assert.match(err, /^fixity: folder\/link\.txt: a symbolic link: name it to upload what it points to \(skipped\)$/m);
  assert.match(err, /^Stored 2, skipped 2; 80 bytes sent\.$/m);
  assert.equal((await place.run(["put", "folder/link.txt"])).out, `${outside}\n`);
});

test("a failure of one file does not affect the others", async () => {
  const good = text();
  await place.file("good.txt", good);
  await symlink("circle", join(place.folder, "circle"));
  const { code, out, err } = await place.run(["put", "missing", "circle", "good.txt", "x".repeat(300)]);
  assert.deepEqual([code, out], [1, `${place.url(sha256(good), ".txt")}\n`]);
  assert.match(err, /^fixity: missing: no such file$/m);
  assert.match(err, /^fixity: circle: too many symbolic links$/m);
  assert.match(err, /^fixity: x+: the name is too long$/m);
  assert.match(err, /^Stored 1, failed 3; 40 bytes sent\.$/m);
});

test("a file that may not be read fails", needing("strace"), async () => {
  const secret = await place.file("secret.txt", text());
  await place.file("open.txt", text());
  const failing = ["-e", "trace=open,openat", "-e", "inject=open,openat:error=EACCES", "-P", secret];
  const under = ["strace", "-f", "-qq", "-o", join(place.folder, "trace"), ...failing];
  const { code, out, err } = await place.run(["put", secret, "open.txt"], { under });
  assert.equal(code, 1, err);
  assert.match(out, /^http:\S+\n$/);
  assert.match(err, /secret\.txt: permission denied$/m);
});

test("hostile names are sent as they are and printed safely", async () => {
  const names = [
    "-rf",
    "--json",
    "a\nb.txt",
    "\u001b[2Jx.txt",
    "写真 ünï.png",
    `${"n".repeat(251)}.txt`,
    " ",
    "%2e%2e",
    "a;b&c",
  ];
  const contents = names.map(() => text());
  for (const [index, name] of names.entries()) await place.file(name, contents[index] ?? "");
  const { code, out, err } = await place.run(["put", "--", ...names]);
  assert.equal(code, 0, err);
  const links = out.trimEnd().split("\n");
  assert.deepEqual(
    links.map((link) => /[0-9a-f]{64}/.exec(link)?.[0]),
    contents.map((content) => sha256(content)),
  );
  assert.doesNotMatch(err, /\u001b/);
  assert.match(err, /^a\\u\{a\}b\.txt: stored, 40 bytes$/m);
  const walked = await place.run(["put", "-r", "--json", "."]);
  assert.deepEqual(new Set(jsonLines(walked.out).map(({ file }) => file)), new Set(names));
  assert.ok(jsonLines(walked.out).every(({ status }) => status === "existed"));
});

test("a name that is not UTF-8 fails, and the other files are sent", async () => {
  await place.file("good.txt", text());
  await writeFile(Buffer.concat([Buffer.from(`${place.folder}/bad`), Buffer.from([0xff]), Buffer.from(".txt")]), "x");
  const { code, out, err } = await place.run(["put", "-r", "."]);
  assert.equal(code, 1);
  assert.match(out, /^http:\S+\.txt\n$/);
  assert.match(err, /its name is not UTF-8/);
});

test("a thousand small files are sent in one run", async () => {
  const contents = Array.from({ length: 1000 }, () => text());
  for (const [index, content] of contents.entries())
    await place.file(`many/${String(index).padStart(4, "0")}.txt`, content);
  const { code, out, err } = await place.run(["put", "-r", "many", "--concurrency", "16"]);
  assert.equal(code, 0);
  assert.equal(out, contents.map((content) => `${place.url(sha256(content), ".txt")}\n`).join(""));
  assert.match(err, /\nStored 1,000; 39\.1 KiB sent\.\n$/);
});

test("a file that is named twice, and two files with the same content, are stored once", async () => {
  const content = random.bytes(2_000_000);
  await place.file("a.bin", content);
  await place.file("b.bin", content);
  const { code, out } = await place.run(["put", "a.bin", "./a.bin", "b.bin"]);
  assert.deepEqual([code, out], [0, `${place.url(sha256(content), ".bin")}\n`.repeat(3)]);
});

test("an empty file is stored, and no file at all is a mistake", async () => {
  await place.file("empty", "");
  await mkdir(join(place.folder, "nothing"));
  assert.equal((await place.run(["put", "empty"])).out, `${place.url(sha256(""))}\n`);
  const { code, out } = await place.run(["put", "-r", "nothing"]);
  assert.deepEqual([code, out], [0, ""]);
});

test("mistakes in arguments are reported before anything is sent, with exit code 2", async () => {
  await place.file("a.txt", text());
  for (const [args, message] of [
    [["put"], /missing required argument 'file'/],
    [["put", "a.txt", "a.txt", "--name", "b"], /^fixity: --name is for standard input \(-\) or a single file\.$/m],
    [["put", "-", "-"], /^fixity: Standard input \(-\) can be uploaded only once\.$/m],
    [["put", "a.txt", "--concurrency", "0"], /whole number from 1 to 256/],
    [["put", "a.txt", "--to", "ftp://a/"], /^fixity: The address must be an http\(s\) URL such as http:\S+\.$/m],
    [["put", "a.txt", "--to", "http://u:p@a/"], /must not contain a password: put a token into FIXITY_TOKEN/],
    [["put", "--jsn", "a.txt"], /unknown option '--jsn'/],
  ] as const) {
    const { code, out, err } = await place.run(args);
    assert.deepEqual([code, out], [2, ""], err);
    assert.match(err, message);
  }
  assert.ok(!(await readdir(place.folder)).includes("state"));
});

test("a missing or foreign service is reported at once, and only once", async () => {
  await place.file("a.txt", text());
  await place.file("b.txt", text());
  const server = createServer((_, response) => response.end("<html>")).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const other = await place.run(["put", "a.txt", "b.txt", "--to", `http://127.0.0.1:${port}`]);
  server.close();
  assert.deepEqual([other.code, other.out], [2, ""]);
  assert.match(other.err, /^fixity: http:\S+\/uploads responded, but it is not a fixity service/);
  const nobody = await place.run(["put", "a.txt", "b.txt", "--to", `http://127.0.0.1:${port}`]);
  assert.deepEqual([nobody.code, nobody.out], [2, ""]);
  assert.match(
    nobody.err,
    /^fixity: http:\S+ cannot be reached \(connection refused\): is it running, and is this its address\?\n/,
  );
  assert.match(nobody.err, /^Stored 0, not sent 2; 0 bytes sent\.$/m);
});

test("a message of the service is shown without control characters", async () => {
  await place.file("a.txt", text());
  const problem = { code: "store-full", detail: "No \u001b[2Jroom\nleft.", status: 413 };
  const server = createServer((request, response) => {
    request.resume();
    const absent = { code: "blob-not-found", detail: "Nothing is stored there.", status: 404 };
    const { status, ...rest } = request.method === "POST" ? problem : absent;
    return response.writeHead(status, { "Content-Type": "application/problem+json" }).end(JSON.stringify(rest));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const to = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { code, err } = await place.run(["put", "a.txt", "--to", to]);
  server.close();
  assert.deepEqual([code, err], [1, "fixity: a.txt: No \\u{1b}[2Jroom\\u{a}left.\n"]);
});

test("a token is required, refused or accepted", async () => {
  await using guarded = await ClientPlace.start({ UPLOAD_TOKENS: "right-token-0123456789" });
  await guarded.file("a.txt", text());
  const none = await guarded.run(["put", "a.txt"]);
  assert.equal(none.code, 2);
  assert.match(none.err, /^fixity: http:\S+ requires a token: run 'fixity login http:\S+', or set FIXITY_TOKEN$/m);
  const wrong = await guarded.run(["put", "a.txt"], { env: { FIXITY_TOKEN: "wrong" } });
  assert.equal(wrong.code, 2);
  assert.match(wrong.err, /^fixity: the token in FIXITY_TOKEN was not accepted/);
  const right = await guarded.run(["put", "a.txt"], { env: { FIXITY_TOKEN: "right-token-0123456789" } });
  assert.deepEqual([right.code, right.out.startsWith("http")], [0, true], right.err);
});

test("a file over the limit fails, and the others are sent", async () => {
  await using small = await ClientPlace.start({ UPLOAD_MAX_SIZE: "1KiB" });
  await small.file("large.bin", random.bytes(4096));
  await small.file("small.txt", text());
  const { code, out, err } = await small.run(["put", "large.bin", "small.txt"]);
  assert.equal(code, 1);
  assert.match(out, /^http:\S+\.txt\n$/);
  assert.match(err, /^fixity: large\.bin: .*1 KiB \(1,024 bytes\)/m);
});

test("a reader of the links that goes away ends the command", async () => {
  for (let index = 0; index < 300; index++) await place.file(`many/${index}.txt`, text());
  await using command = place.begin(["put", "-r", "many", "--concurrency", "1"]);
  await command.prints(/http/);
  command.stopReading();
  assert.equal((await command.ended).code, 141);
  const under = ["sh", "-c", '{ "$@" 2>&1; echo $? >code; } | head -n 1', "sh"];
  await place.run(["put", "-r", "many", "--concurrency", "1"], { under });
  assert.equal(await readFile(join(place.folder, "code"), "utf8"), "141\n");
});
