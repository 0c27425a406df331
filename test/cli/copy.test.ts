import assert from "node:assert/strict";
import { readdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import { createFixity } from "../../src/index.ts";
import { s3Store } from "../../src/s3.ts";
import { Command, jsonLines, runCommand } from "../helpers/command.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { KEYS, ScriptedServer } from "../s3/scripted-server.ts";

const TEXTS = ["one", "two", "three", "", "x".repeat(300_000)];
const HEXES = TEXTS.map((text) => sha256(text));
const [ONE = "", TWO = "", THREE = ""] = HEXES;
const NO_FLUSH = { UPLOAD_DURABILITY: "none" };

async function filledStore(texts: readonly string[] = TEXTS): Promise<StoreFolder> {
  const folder = await StoreFolder.make();
  await using store = diskStore({ root: folder.path, durability: "none" });
  await store.check();
  const fixity = createFixity({ store });
  for (const text of texts) await fixity.put(Buffer.from(text));
  return folder;
}

function copy(...args: readonly string[]) {
  return runCommand(["copy", ...args], { env: NO_FLUSH });
}

test("a copy has all files of the source, and a second run copies only what is missing", async () => {
  await using from = await filledStore();
  await using to = await StoreFolder.make();
  const first = await copy(from.path, to.path);
  assert.deepEqual(first, { code: 0, out: "5 blobs copied, 293 KiB\n", err: "" });
  assert.deepEqual(await to.wholeBlobs(), new Set(HEXES));
  await unlink(to.blob(TWO));
  const { code, out } = await copy(from.path, to.path, "--json");
  assert.equal(code, 0);
  const lines = jsonLines(out);
  assert.equal(lines.filter(({ status }) => status === "existed").length, 4);
  assert.deepEqual(
    lines.find(({ status }) => status === "copied"),
    { status: "copied", digest: `sha256:${TWO}`, size: 3 },
  );
  const { status, copied, existed, bytes } = lines.at(-1) ?? {};
  assert.deepEqual([status, copied, existed, bytes], ["done", 1, 4, 3]);
  assert.deepEqual(await to.wholeBlobs(), new Set(HEXES));
  assert.deepEqual(await to.staged(), []);
});

test("damaged files are reported and not copied, and the others are", async () => {
  await using from = await filledStore();
  await using to = await StoreFolder.make();
  await from.corrupt(ONE);
  const { code, out } = await copy(from.path, to.path);
  assert.equal(code, 1);
  assert.match(out, new RegExp(`^damaged {5}sha256:${ONE}  its bytes at the source are not`, "m"));
  assert.match(out, /^4 blobs copied, 293 KiB; 1 damaged$/m);
  assert.deepEqual(await to.wholeBlobs(), new Set(HEXES.slice(1)));
  // One that the target has of another size, or has marked as damaged, is copied again.
  await to.corrupt(TWO);
  await runCommand(["verify"], { env: { UPLOAD_DIR: to.path } });
  assert.match((await copy(from.path, to.path)).out, /^1 blob copied, 3 bytes; 3 already stored; 1 damaged$/m);
  assert.deepEqual(await to.wholeBlobs(), new Set(HEXES.slice(1)));
});

test("named files and those of a list are copied, and what the source does not have is missing", async () => {
  await using from = await filledStore();
  await using to = await StoreFolder.make();
  const absent = sha256("absent");
  const args = ["copy", from.path, to.path, `/uploads/${ONE}.txt`, "--digests", "-", "--json"];
  const { code, out } = await runCommand(args, { env: NO_FLUSH, input: `${THREE}\n${absent}\n` });
  assert.equal(code, 1);
  assert.deepEqual(await to.wholeBlobs(), new Set([ONE, THREE]));
  assert.equal(jsonLines(out).find(({ digest }) => digest === `sha256:${absent}`)?.["status"], "missing");
  const again = await copy(from.path, to.path, ONE, TWO);
  assert.equal(again.out, "1 blob copied, 3 bytes; 1 already stored\n");
  const refused = await copy(from.path, to.path, "--digests", "/not/there");
  assert.deepEqual([refused.code, refused.err], [2, 'fixity: "/not/there": no such file.\n']);
});

test("--prefix copies a part", async () => {
  await using from = await filledStore();
  await using to = await StoreFolder.make();
  const prefix = ONE.slice(0, 1);
  assert.equal((await copy(from.path, to.path, "--prefix", prefix)).code, 0);
  assert.deepEqual(await to.wholeBlobs(), new Set(HEXES.filter((hex) => hex.startsWith(prefix))));
});

test("used permits and blocks are copied, marks of damage and passes are not", async () => {
  await using from = await filledStore(["one"]);
  await using to = await StoreFolder.make();
  const permit = `permits/${(2e10).toString(36)}-${sha256("permit")}`;
  const blocked = `marks/blocked-${TWO}`;
  {
    await using store = diskStore({ root: from.path, durability: "none" });
    for (const name of [permit, blocked, `marks/damaged-${THREE}`]) await store.documents?.write(name, "{}");
    await createFixity({ store }).verify((await Array.fromAsync(store.list()))[0]!.digest);
  }
  assert.match((await copy(from.path, to.path, "--no-documents")).out, /^1 blob copied, 3 bytes$/m);
  assert.match((await copy(from.path, to.path)).out, /; 2 documents copied$/m);
  await using store = diskStore({ root: to.path, durability: "none" });
  const names = [];
  for (const prefix of ["permits/", "marks/", "verify/"]) {
    for await (const { name } of store.documents?.list(prefix) ?? []) names.push(name);
  }
  assert.deepEqual(names.toSorted(), [blocked, permit].toSorted());
});

test("blocked files are skipped and reported, whichever side has blocked them", async () => {
  await using from = await filledStore(["one", "two", "three"]);
  await using to = await filledStore([]);
  for (const [folder, hex] of [
    [from, ONE],
    [to, TWO],
  ] as const) {
    await using store = diskStore({ root: folder.path, durability: "none" });
    await store.documents?.write(`marks/blocked-${hex}`, "{}");
  }
  const { code, out } = await copy(from.path, to.path);
  assert.equal(code, 0, out);
  assert.match(out, new RegExp(`^blocked {5}sha256:${ONE}$`, "m"));
  assert.match(out, new RegExp(`^blocked {5}sha256:${TWO}$`, "m"));
  assert.deepEqual(await to.wholeBlobs(), new Set([THREE]));
});

test("a bucket is a source and a target, with settings of its own", async () => {
  await using from = await filledStore();
  await using bucket = await ScriptedServer.start();
  const place = "s3://bucket/backup";
  const settings = { REGION: "eu-central-1", ACCESS_KEY: KEYS.accessKey, SECRET_KEY: KEYS.secretKey };
  const named = (role: string) =>
    Object.fromEntries(
      Object.entries({ ...settings, ENDPOINT: bucket.endpoint }).map(([name, value]) => [
        `${role}_BUCKET_${name}`,
        value,
      ]),
    );
  const env = { ...NO_FLUSH, UPLOAD_BUCKET_ENDPOINT: "http://127.0.0.1:1", ...named("TO") };
  const there = await runCommand(["copy", from.path, place], { env });
  assert.deepEqual(there, { code: 0, out: "5 blobs copied, 293 KiB\n", err: "" });
  await using to = await StoreFolder.make();
  const back = await runCommand(["copy", place, to.path], { env: { ...NO_FLUSH, ...named("FROM") } });
  assert.deepEqual(back, { code: 0, out: "5 blobs copied, 293 KiB\n", err: "" });
  assert.deepEqual(await to.wholeBlobs(), new Set(HEXES));
  const { endpoint } = bucket;
  await using store = s3Store({
    bucket: "bucket",
    region: "eu-central-1",
    keyPrefix: "backup/",
    endpoint,
    ...KEYS,
    log: () => null,
  });
  assert.equal((await Array.fromAsync(store.list())).length, 5);
});

test("a running service is a target and a source of named files, and its tokens are kept apart", async () => {
  await using from = await filledStore();
  await using other = await StoreFolder.make();
  const env = { UPLOAD_TOKENS: "ci=secret-of-the-ci", UPLOAD_READS: "public" };
  await using server = await ServerProcess.start({ dir: other.path, env });
  await from.corrupt(ONE);
  const url = `${server.url}/uploads`;
  const token = { TO_TOKEN: "secret-of-the-ci" };
  const first = await runCommand(["copy", from.path, url], { env: token });
  assert.equal(first.code, 1, first.out + first.err);
  assert.match(first.out, new RegExp(`^damaged {5}sha256:${ONE}`, "m"));
  assert.match(first.out, /^4 blobs copied, 293 KiB; 1 damaged$/m);
  assert.deepEqual(await other.wholeBlobs(), new Set(HEXES.slice(1)));
  const again = await runCommand(["copy", from.path, url], { env: { FIXITY_TOKEN: "secret-of-the-ci" } });
  assert.match(again.out, /^0 blobs copied, 0 bytes; 4 already stored; 1 damaged$/m);
  const refused = await runCommand(["copy", from.path, url, TWO], { env: { TO_TOKEN: "wrong-secret-of-the-ci" } });
  assert.equal(refused.code, 2, refused.out + refused.err);
  await using to = await StoreFolder.make();
  const listed = await runCommand(["copy", url, to.path]);
  assert.deepEqual([listed.code, listed.out], [2, ""]);
  assert.match(listed.err, /A service does not list its files: name the digests/);
  const back = await runCommand(["copy", url, to.path, TWO, sha256("absent"), HEXES[4] ?? ""]);
  assert.equal(back.code, 1, back.err);
  assert.match(back.out, /^2 blobs copied, 293 KiB; 1 missing$/m);
});

test("mistakes are refused before anything is written", async () => {
  await using from = await filledStore(["one"]);
  await using other = await StoreFolder.make();
  for (const [args, message] of [
    [[from.path, join(from.path, "..", "data")], /are one place/],
    [[other.path, from.path], /There is no store in/],
    [[from.path, other.path, "--prefix", "zz"], /--prefix must be up to 64 hex digits/],
    [[from.path, other.path, ONE, "--prefix", "0"], /--prefix is for all files/],
    [[from.path, other.path, "--concurrency", "0"], /--concurrency must be a whole number/],
    [[from.path, "s3://bucket"], /UPLOAD_BUCKET_REGION/],
  ] as const) {
    const { code, out, err } = await copy(...args);
    assert.deepEqual([code, out], [2, ""], args.join(" "));
    assert.match(err, message);
  }
  await assert.rejects(readdir(other.path));
});

test("Ctrl-C ends a copy with nothing half-written, and the next run completes it", async () => {
  const texts = Array.from({ length: 300 }, (_, index) => `${index} `.repeat(5000));
  await using from = await filledStore(texts);
  await using to = await StoreFolder.make();
  await using command = new Command(["copy", from.path, to.path, "--json", "--concurrency", "2"]);
  await command.prints(/copied/);
  command.signal("SIGINT");
  const { code, out } = await command.ended;
  assert.equal(code, 130);
  assert.equal(jsonLines(out).at(-1)?.["status"], "stopped");
  assert.ok((await to.wholeBlobs()).size < texts.length);
  assert.deepEqual(await to.staged(), []);
  assert.equal((await copy(from.path, to.path)).code, 0);
  assert.equal((await to.wholeBlobs()).size, texts.length);
});
