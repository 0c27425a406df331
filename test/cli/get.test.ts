import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { ClientPlace } from "../helpers/client-place.ts";
import { jsonLines } from "../helpers/command.ts";
import { Gate } from "../helpers/gate.ts";
import { Random } from "../helpers/random.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { onTmpfs } from "../helpers/store-process.ts";
import { Terminal } from "../helpers/terminal.ts";

const MIB = 1024 * 1024;
const random = new Random(13);
const TEXT = "what is fetched";
const HEX = sha256(TEXT);
let place: ClientPlace;

before(async () => {
  place = await ClientPlace.start();
  await place.upload(TEXT, "a.txt");
});

beforeEach(async () => {
  await rm(place.folder, { recursive: true, force: true });
  await mkdir(place.folder);
});

after(async () => place[Symbol.asyncDispose]());

async function content(name: string): Promise<string> {
  return readFile(join(place.folder, name), "utf8");
}

async function names(): Promise<string[]> {
  return (await readdir(place.folder)).toSorted();
}

test("a link is accepted in any form, and names the file", async () => {
  for (const [link, name] of [
    [place.url(HEX, ".txt"), `${HEX}.txt`],
    [`/uploads/${HEX}.md`, `${HEX}.md`],
    [HEX, HEX],
    [`sha256:${HEX}`, HEX],
    [place.url(HEX, ".txt?filename=Gr%C3%B6%C3%9Fe.txt"), "Größe.txt"],
    [place.url(HEX, ".txt?filename=..%2F..%2Fescaped.txt&download"), "escaped.txt"],
    [place.url(HEX, ".txt?filename=.profile"), "_profile"],
    [place.url(HEX, ".txt?filename=.."), `${HEX}.txt`],
  ] as const) {
    await rm(join(place.folder, name), { force: true });
    const { code, out, err } = await place.run(["get", link]);
    assert.deepEqual([code, out], [0, `${name}\n`], err);
    assert.equal(err, `${name}: fetched and verified, 15 bytes\n`);
    assert.equal(await content(name), TEXT);
  }
});

test("-o takes a file, a folder or standard output", async () => {
  await mkdir(join(place.folder, "folder"));
  const file = await place.run(["get", HEX, "-o", "b.txt"]);
  assert.deepEqual([file.code, file.out, await content("b.txt")], [0, "b.txt\n", TEXT]);
  const folder = await place.run(["get", place.url(HEX, "?filename=c.txt"), "-o", "folder"]);
  assert.deepEqual([folder.code, folder.out, await content("folder/c.txt")], [0, "folder/c.txt\n", TEXT]);
  const output = await place.run(["get", "--quiet", HEX, "-o", "-"]);
  assert.deepEqual(output, { code: 0, out: TEXT, err: "" });
  const nowhere = await place.run(["get", HEX, "-o", "missing/b.txt"]);
  assert.deepEqual([nowhere.code, nowhere.out], [2, ""]);
  assert.match(nowhere.err, /^fixity: [0-9a-f]+: there is no folder "missing": create it first\n$/);
});

test("no file is replaced without --force, and identical bytes are not downloaded", async () => {
  await place.file("a.txt", "mine");
  await symlink("a.txt", join(place.folder, "link.txt"));
  for (const name of ["a.txt", "link.txt"]) {
    const { code, out, err } = await place.run(["get", HEX, "-o", name]);
    assert.deepEqual([code, out], [2, ""]);
    assert.match(err, /".*\.txt" already exists: choose another name with -o, or replace it with --force\n$/);
  }
  assert.equal(await content("a.txt"), "mine");
  assert.equal((await place.run(["get", "--force", HEX, "-o", "a.txt"])).code, 0);
  assert.equal(await content("a.txt"), TEXT);
  const again = await place.run(["get", HEX, "-o", "a.txt"]);
  assert.deepEqual(again, { code: 0, out: "a.txt\n", err: "a.txt: already exists and is intact, 15 bytes\n" });
  await mkdir(join(place.folder, "d", HEX), { recursive: true });
  const folder = await place.run(["get", "--force", HEX, "-o", "d"]);
  assert.deepEqual([folder.code, (await stat(join(place.folder, "d", HEX))).isDirectory()], [2, true]);
  assert.deepEqual(await names(), ["a.txt", "d", "link.txt"]);
});

test("a missing file, an invalid link and an unreachable service are reported", async () => {
  const missing = await place.run(["get", "0".repeat(64)]);
  assert.equal(missing.code, 1);
  assert.match(missing.err, /^fixity: 0+: the service has no such file\n$/);
  const wrong = await place.run(["get", "photo.png"]);
  assert.equal(wrong.code, 2);
  assert.match(
    wrong.err,
    /^fixity: "photo\.png" is neither a link nor a digest \(sha256:<64 lower-case hex digits>\)\.\n$/,
  );
  const nobody = await place.run(["get", HEX, "--from", "http://127.0.0.1:1/uploads"]);
  assert.equal(nobody.code, 2);
  assert.match(nobody.err, /cannot be reached/);
  const both = await place.run(["get", HEX, "--json", "-o", "-"]);
  assert.deepEqual([both.code, both.out], [2, ""]);
  assert.deepEqual(await names(), []);
});

test("--json prints one object", async () => {
  const digest = `sha256:${HEX}`;
  const told = async (...args: readonly string[]) => jsonLines((await place.run(["get", "--json", ...args])).out);
  const facts = { link: HEX, file: "a.txt", digest, size: 15, type: "application/octet-stream" };
  assert.deepEqual(await told(HEX, "-o", "a.txt"), [{ status: "fetched", ...facts, received: 15 }]);
  assert.deepEqual(await told(HEX, "-o", "a.txt"), [{ status: "present", ...facts, received: 0 }]);
  const nothing = "0".repeat(64);
  assert.deepEqual(await told(nothing), [{ status: "missing", link: nothing, digest: `sha256:${nothing}` }]);
  await writeFile(join(place.folder, "b.txt"), "mine");
  const [failed] = await told(HEX, "-o", "b.txt");
  assert.deepEqual([failed?.["status"], failed?.["code"]], ["failed", "EEXIST"]);
});

/** Stores a new large file, and makes a gate that closes in the middle of its download. */
async function gated() {
  const bytes = random.bytes(32 * MIB);
  await place.upload(bytes, "large.bin");
  const gate = await Gate.start(place.server.port, { down: 12 * MIB });
  const link = `http://127.0.0.1:${gate.port}/uploads/${sha256(bytes)}.bin`;
  return { bytes, gate, link, [Symbol.asyncDispose]: async () => gate[Symbol.asyncDispose]() };
}

test("an interrupted or killed download is resumed by the next run", async () => {
  for (const [signal, expected] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGKILL", null],
  ] as const) {
    await using there = await gated();
    const { bytes, gate, link } = there;
    await using first = place.begin(["get", link, "-o", "large.bin"]);
    await gate.shut;
    await untilWritten();
    first.signal(signal);
    const { code, out } = await first.ended;
    assert.deepEqual([code, out], [expected, ""]);
    const [left = "", ...others] = await names();
    assert.match(left, signal === "SIGKILL" ? /^\.fixity-[0-9a-f]{64}-.*\.part$/ : /^\.fixity-[0-9a-f]{64}\.part$/);
    assert.deepEqual(others, []);
    const { size } = await stat(join(place.folder, left));
    gate.open();
    const [told] = jsonLines((await place.run(["get", "--json", link, "-o", "large.bin"])).out);
    assert.deepEqual([told?.["status"], told?.["received"]], ["fetched", bytes.length - size]);
    assert.deepEqual(await names(), ["large.bin"]);
    assert.ok((await readFile(join(place.folder, "large.bin"))).equals(bytes));
    await rm(join(place.folder, "large.bin"));
  }
});

/** Resolves when some of a download is in its file. */
async function untilWritten(): Promise<void> {
  for (;;) {
    const partial = (await names()).find((name) => name.endsWith(".part"));
    if (partial !== undefined && (await stat(join(place.folder, partial))).size >= MIB) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test("a download survives the kill and restart of the server", async () => {
  await using there = await gated();
  const { bytes, gate, link } = there;
  await using command = place.begin(["get", link, "-o", "large.bin"]);
  await gate.shut;
  await place.server.stop("SIGKILL");
  gate.cut();
  gate.open();
  place.server = await ServerProcess.start({ dir: place.store.path });
  place.env["FIXITY_URL"] = `${place.server.url}/uploads`;
  gate.target = place.server.port;
  const { code, err } = await command.ended;
  assert.equal(code, 0, err);
  assert.ok((await readFile(join(place.folder, "large.bin"))).equals(bytes));
});

test("bytes of an earlier run are verified, too; if they are wrong, all bytes are downloaded again", async () => {
  await place.file(`.fixity-${HEX}.part`, "wrong");
  const { code, out, err } = await place.run(["get", HEX, "-o", "a.txt"]);
  assert.deepEqual([code, out], [0, "a.txt\n"], err);
  assert.equal(await content("a.txt"), TEXT);
  await place.file(`.fixity-${HEX}.part`, `${TEXT} and more`);
  assert.equal((await place.run(["get", HEX, "-o", "b.txt"])).code, 0);
  assert.deepEqual(await names(), ["a.txt", "b.txt"]);
});

/** A server that answers every link with these bytes. */
async function lying(bytes: Buffer): Promise<Server> {
  const server = createServer((request, response) => {
    response.writeHead(200, { "Content-Length": bytes.length, "Content-Type": "text/plain", ETag: `"${HEX}"` });
    response.end(request.method === "HEAD" ? undefined : bytes);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

test("wrong bytes are rejected, and none of them stay", async () => {
  const server = await lying(Buffer.from("WHAT is fetched"));
  const link = `http://127.0.0.1:${(server.address() as AddressInfo).port}/uploads/${HEX}.txt`;
  const { code, out, err } = await place.run(["get", link, "-o", "a.txt"]);
  assert.deepEqual([code, out], [1, ""]);
  assert.match(err, /rejected: the received bytes do not match sha256:[0-9a-f]{64}/);
  await place.file(`.fixity-${HEX}.part`, "WHAT");
  const [told] = jsonLines((await place.run(["get", "--json", link, "-o", "a.txt"])).out);
  assert.deepEqual(told, { status: "damaged", link, digest: `sha256:${HEX}` });
  assert.deepEqual(await names(), []);
  await place.file("a.txt", "mine");
  assert.equal((await place.run(["get", "--force", link, "-o", "a.txt"])).code, 1);
  assert.equal(await content("a.txt"), "mine");
  assert.equal((await place.run(["get", link, "-o", "-"])).code, 1);
  server.close();
});

test("the token is sent to the chosen service only", async () => {
  const seen: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    seen.push(request.headers.authorization);
    response
      .writeHead(200, { "Content-Length": 15, ETag: `"${HEX}"` })
      .end(request.method === "HEAD" ? undefined : TEXT);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const home = `http://127.0.0.1:${(server.address() as AddressInfo).port}/uploads`;
  const env = { FIXITY_TOKEN: "secret" };
  assert.equal((await place.run(["get", `${home}/${HEX}`, "-o", "a.txt"], { env })).code, 0);
  assert.deepEqual(new Set(seen.splice(0)), new Set([undefined]));
  assert.equal((await place.run(["get", HEX, "--from", home, "-o", "b.txt"], { env })).code, 0);
  assert.deepEqual(new Set(seen), new Set(["Bearer secret"]));
  server.close();
});

test("a full disk is reported, and no file has the final name", needing("a mounted tmpfs"), async () => {
  const bytes = random.bytes(4 * MIB);
  await place.upload(bytes, "large.bin");
  const small = join(place.folder, "small");
  await mkdir(small);
  const script = ["sh", "-c", '"$@"; code=$?; ls -A "$0" >&2; exit $code', small];
  const under = [...onTmpfs(small, "1m"), ...script];
  const { code, out, err } = await place.run(["get", sha256(bytes), "-o", join(small, "large.bin")], { under });
  assert.deepEqual([code, out], [2, ""]);
  assert.match(
    err,
    /^fixity: [0-9a-f]{64}: "\S+": no space left on the disk; the bytes received so far are kept for the next run\n\.fixity-[0-9a-f]{64}\.part\n$/,
  );
});

test("of two concurrent downloads of a file one publishes it, and the other finds it", async () => {
  await using there = await gated();
  const { bytes, gate, link } = there;
  await using one = place.begin(["get", link, "-o", "large.bin"]);
  await gate.shut;
  await using other = place.begin(["get", link, "-o", "large.bin"]);
  gate.open();
  for (const { code, err } of await Promise.all([one.ended, other.ended])) assert.equal(code, 0, err);
  assert.deepEqual(await names(), ["large.bin"]);
  assert.ok((await readFile(join(place.folder, "large.bin"))).equals(bytes));
});

test("a terminal shows the progress", needing("script"), async () => {
  await using there = await gated();
  const { gate, link } = there;
  const path = join(place.folder, "large.bin");
  await using terminal = new Terminal(["get", link, "-o", path], { env: place.env, columns: 100 });
  await gate.shut;
  await terminal.shows(/large\.bin .*%.* of 32 MiB/);
  gate.open();
  assert.equal(await terminal.ended, 0);
  assert.ok(terminal.text.endsWith(`${path}\n`), terminal.text);
});
