import assert from "node:assert/strict";
import { chmod, mkdir, rmdir, symlink, truncate, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import { createFixity } from "../../src/index.ts";
import { s3Store } from "../../src/s3.ts";
import { Command, jsonLines, runCommand } from "../helpers/command.ts";
import { freePort } from "../helpers/free-port.ts";
import { needing } from "../helpers/requirements.ts";
import { Service } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { KEYS, ScriptedServer } from "../s3/scripted-server.ts";

/** A store of these texts, and their digests in hex. */
async function storeOf(texts: readonly string[]) {
  const folder = await StoreFolder.make();
  await using store = diskStore({ root: folder.path, durability: "none" });
  const fixity = createFixity({ store });
  const receipts = await Promise.all(texts.map((text) => fixity.put(Buffer.from(text), { filename: "a.txt" })));
  const hexes = receipts.map(({ digest }) => digest.hex);
  const env = { UPLOAD_DIR: folder.path };
  return {
    folder,
    hexes,
    verify: async (...args: readonly string[]) => runCommand(["verify", ...args], { env }),
    overwrite: async (hex: string, text: string) => {
      await chmod(folder.blob(hex), 0o644);
      await writeFile(folder.blob(hex), text);
    },
    /** The text of a document, or `null`. */
    document: async (name: string) => {
      await using store = diskStore({ root: folder.path, durability: "none" });
      return (await store.documents?.read(name))?.text ?? null;
    },
    [Symbol.asyncDispose]: async () => folder[Symbol.asyncDispose](),
  };
}

test("an intact store passes", async () => {
  await using place = await storeOf(["one", "three", "fifteen"]);
  assert.deepEqual(await place.verify(), { code: 0, out: "3 blobs verified, 15 bytes: all intact\n", err: "" });
});

test("an empty store passes", async () => {
  await using place = await storeOf(["gone"]);
  await unlink(place.folder.blob(place.hexes[0] ?? ""));
  assert.deepEqual(await place.verify(), { code: 0, out: "no blobs are stored\n", err: "" });
});

test("changed, truncated and extended blobs are reported, and the exit code is 1", async () => {
  await using place = await storeOf(["first", "second", "third", "fourth"]);
  const [changed = "", cut = "", longer = "", intact = ""] = place.hexes;
  await place.overwrite(changed, "fiRst");
  await chmod(place.folder.blob(cut), 0o644);
  await truncate(place.folder.blob(cut), 3);
  await place.overwrite(longer, "third and more");
  const { code, out, err } = await place.verify();
  assert.deepEqual([code, err], [1, ""]);
  for (const [hex, size] of [
    [changed, 5],
    [cut, 3],
    [longer, 14],
  ] as const) {
    assert.match(
      out,
      new RegExp(`^damaged {5}sha256:${hex}  ${size} bytes, its bytes are those of sha256:[0-9a-f]{64}$`, "m"),
    );
  }
  assert.doesNotMatch(out, new RegExp(intact));
  assert.match(out, /^4 blobs verified, 28 bytes: 3 damaged\n$/m);
});

test("only named blobs are read, by digest, link or URL, and a missing one is reported", async () => {
  await using place = await storeOf(["a", "b", "c", "damaged"]);
  const [a = "", b = "", c = "", damaged = ""] = place.hexes;
  await place.overwrite(damaged, "DAMAGED");
  const named = [`sha256:${a}`, `/uploads/${b}.txt`, `https://files.example.com/uploads/${c}?download`];
  assert.deepEqual(await place.verify(...named), { code: 0, out: "3 blobs verified, 3 bytes: all intact\n", err: "" });
  const missing = "0".repeat(64);
  const { code, out } = await place.verify(a, missing);
  assert.equal(code, 1);
  assert.equal(out, `missing     sha256:${missing}\n2 blobs verified, 1 byte: 1 missing\n`);
});

test("--json prints one object per blob, and a last one that says the run is complete", async () => {
  await using place = await storeOf(["intact", "damaged"]);
  const [intact = "", damaged = ""] = place.hexes;
  await place.overwrite(damaged, "DAMAGED");
  const { code, out } = await place.verify("--json");
  assert.equal(code, 1);
  const lines = jsonLines(out);
  assert.deepEqual(
    lines.find(({ status }) => status === "intact"),
    { status: "intact", digest: `sha256:${intact}`, size: 6 },
  );
  const { reason, ...found } = lines.find(({ status }) => status === "damaged") ?? {};
  assert.deepEqual(found, { status: "damaged", digest: `sha256:${damaged}`, size: 7 });
  assert.match(String(reason), /^its bytes are those of sha256:/);
  assert.deepEqual(lines.at(-1), {
    status: "done",
    intact: 1,
    damaged: 1,
    missing: 0,
    unreadable: 0,
    repaired: 0,
    blocked: 0,
    bytes: 13,
  });
});

test("anything but a digest or a link is refused before anything is read", async () => {
  await using place = await storeOf(["a"]);
  const { code, out, err } = await place.verify(place.hexes[0] ?? "", "readme.txt");
  assert.deepEqual([code, out], [2, ""]);
  assert.equal(err, `fixity: "readme.txt" is neither a digest (sha256:<64 lower-case hex digits>) nor a link.\n`);
});

test("a blob that the disk cannot read does not prevent the others from being read", needing("strace"), async () => {
  await using place = await storeOf(["a", "b", "c"]);
  const [bad = ""] = place.hexes;
  const log = `${place.folder.path}.strace`;
  const failing = ["-e", "trace=pread64", "-e", "inject=pread64:error=EIO", "-P", place.folder.blob(bad)];
  const under = ["strace", "-f", "-qq", "-o", log, ...failing];
  const { code, out } = await runCommand(["verify"], { env: { UPLOAD_DIR: place.folder.path }, under });
  assert.equal(code, 1);
  assert.match(out, new RegExp(`^unreadable  sha256:${bad}  The store could not be read or written\\.$`, "m"));
  assert.match(out, /^3 blobs verified, 2 bytes: 1 unreadable$/m);
});

test("anything else in the place of a blob or of a folder of blobs is reported", async () => {
  await using place = await storeOf(["a"]);
  const hexes = ["00", "11", "22"].map((start) => start + "f".repeat(62));
  const [asFolder = "", dangling = "", inFile = ""] = hexes;
  await mkdir(place.folder.blob(asFolder), { recursive: true });
  await mkdir(place.folder.fanOut(dangling));
  await symlink("nowhere", place.folder.blob(dangling));
  await writeFile(place.folder.fanOut(inFile), "not a folder");
  await symlink("nowhere", `${place.folder.blobs}/33`);
  await symlink("nowhere", `${place.folder.blobs}/not-of-fixity`);
  const { code, out } = await place.verify();
  assert.equal(code, 1);
  for (const hex of [asFolder, dangling]) {
    const line = `unreadable  sha256:${hex}  blobs/${hex.slice(0, 2)}/${hex} is not a regular file\n`;
    assert.ok(out.includes(line), out);
  }
  for (const path of ["blobs/22", "blobs/33"])
    assert.ok(out.includes(`unreadable  ${path}  it is not a folder\n`), out);
  assert.match(out, /^5 blobs verified, 1 byte: 4 unreadable$/m);
  const found = jsonLines((await place.verify("--json")).out).filter(({ status }) => status === "unreadable");
  assert.deepEqual(
    new Set(found.map(({ digest, path }) => `${String(digest)} ${String(path)}`)),
    new Set([
      `sha256:${asFolder} blobs/00/${asFolder}`,
      `sha256:${dangling} blobs/11/${dangling}`,
      "null blobs/22",
      "null blobs/33",
    ]),
  );
  const named = await place.verify(asFolder, inFile, "33" + "f".repeat(62));
  assert.match(named.out, /^3 blobs verified, 0 bytes: 3 unreadable$/m);
});

test("damage is marked for the servers over the store, unless --no-mark is given", async () => {
  await using place = await storeOf(["intact", "damaged"]);
  const [, damaged = ""] = place.hexes;
  await place.overwrite(damaged, "DAMAGED");
  const unmarked = await place.verify("--no-mark");
  assert.deepEqual([unmarked.code, await place.document(`marks/damaged-${damaged}`)], [1, null]);
  const marked = await place.verify();
  assert.deepEqual([marked.code, marked.out, marked.err], [1, unmarked.out, ""]);
  assert.match((await place.document(`marks/damaged-${damaged}`)) ?? "", /"found":"sha256:/);
});

test("on a full disk damage is reported, and also that it could not be marked", needing("strace"), async () => {
  await using place = await storeOf(["damaged"]);
  const [damaged = ""] = place.hexes;
  await place.overwrite(damaged, "DAMAGED");
  const calls = "mkdir,mkdirat,link,linkat,rename,renameat,renameat2";
  const full = ["-e", `trace=${calls}`, "-e", `inject=${calls}:error=ENOSPC`];
  const under = ["strace", "-f", "-qq", "-o", `${place.folder.path}.strace`, ...full];
  const { code, out, err } = await runCommand(["verify"], { env: { UPLOAD_DIR: place.folder.path }, under });
  assert.equal(code, 1);
  assert.match(out, new RegExp(`^damaged {5}sha256:${damaged}`));
  assert.match(err, new RegExp(`^fixity: the damaged blob sha256:${damaged} could not be marked: .*No room`, "m"));
  assert.match(
    err,
    /^fixity: it cannot be recorded what was verified, so --older-than will verify it again: .*No room/m,
  );
  assert.equal(await place.document(`marks/damaged-${damaged}`), null);
});

test("wrong values of flags are refused as those of settings are, before anything is read", async () => {
  await using place = await storeOf(["a"]);
  const [a = ""] = place.hexes;
  for (const [args, message] of [
    [["--rate", "fast"], `--rate must be a size such as 512MiB, 5GiB or 4096, not "fast".`],
    [["--rate=-1"], `--rate must be a size such as 512MiB, 5GiB or 4096, not "-1".`],
    [["--concurrency", "0"], `--concurrency must be a whole number from 1 to 256, not "0".`],
    [["--concurrency", "257"], `--concurrency must be a whole number from 1 to 256, not "257".`],
    [["--older-than", "yesterday"], `--older-than must be a duration such as 12h, 7d or 90m, not "yesterday".`],
    [["--older-than", "1h", a], "--older-than is for all files: leave it out, or the names."],
  ] as const) {
    assert.deepEqual(await place.verify(...args), { code: 2, out: "", err: `fixity: ${message}\n` });
  }
  const accepted = await place.verify("--rate", "0", "--concurrency", "256", "--older-than", "1000d");
  assert.deepEqual(accepted, { code: 0, out: "1 blob verified, 1 byte: all intact\n", err: "" });
});

test("--older-than reads only prefixes without a recent pass; damaged files count as read, unreadable ones not", async () => {
  await using place = await storeOf(["a", "b", "damaged"]);
  const [, , damaged = ""] = place.hexes;
  await place.overwrite(damaged, "DAMAGED");
  const asFolder = "00" + "f".repeat(62);
  await mkdir(place.folder.blob(asFolder), { recursive: true });
  assert.match((await place.verify("--older-than", "1h")).out, /^4 blobs verified, 9 bytes: 1 damaged, 1 unreadable$/m);
  const passes = JSON.parse((await place.document("verify/passes")) ?? "") as { passes: Record<string, string> };
  assert.equal(Object.keys(passes.passes).length, 255);
  assert.equal(passes.passes["00"], undefined);
  await rmdir(place.folder.blob(asFolder));
  assert.deepEqual(await place.verify("--older-than", "1h"), { code: 0, out: "no blobs are due\n", err: "" });
  assert.match((await place.verify("--older-than", "0")).out, /^3 blobs verified, 9 bytes: 1 damaged$/m);
});

test("--repair-from a folder stores the right bytes of what is damaged or missing", async () => {
  await using backup = await storeOf(["one", "two", "three"]);
  await using place = await storeOf(["one", "two", "three"]);
  const [one = "", two = "", three = ""] = place.hexes;
  await place.overwrite(one, "ONE");
  await unlink(place.folder.blob(two));
  const fromStore = await place.verify("--repair-from", backup.folder.path, one, two, three);
  assert.equal(fromStore.code, 0, fromStore.out + fromStore.err);
  assert.match(fromStore.out, new RegExp(`^repaired .*${one}.*repaired from ${backup.folder.path}$`, "m"));
  assert.match(fromStore.out, new RegExp(`^repaired .*${two}`, "m"));
  assert.deepEqual(await place.verify(), { code: 0, out: "3 blobs verified, 11 bytes: all intact\n", err: "" });
  // A folder of files that are named like links.
  const plain = join(backup.folder.path, "plain");
  await mkdir(plain);
  await writeFile(join(plain, `${three}.txt`), "three");
  await place.overwrite(three, "THREE");
  const fromFolder = await place.verify("--repair-from", plain, "--json");
  assert.equal(fromFolder.code, 0);
  assert.equal(jsonLines(fromFolder.out).at(-1)?.["repaired"], 1);
  assert.equal((await place.verify()).code, 0);
});

test("--repair-from a running service stores its bytes, and wrong or absent ones are reported", async () => {
  await using place = await storeOf(["one", "two", "three"]);
  const [one = "", two = "", three = ""] = place.hexes;
  for (const hex of place.hexes) await place.overwrite(hex, "wrong");
  await using service = await Service.start();
  await service.fixity.put(Buffer.from("one"));
  const { code, out } = await place.verify("--repair-from", `${service.url}/uploads/`);
  assert.equal(code, 1);
  assert.match(out, new RegExp(`^repaired .*${one}`, "m"));
  for (const hex of [two, three]) assert.match(out, new RegExp(`^damaged .*${hex}.*does not have it$`, "m"));
  const plain = join(place.folder.path, "..", "plain");
  await mkdir(plain);
  await writeFile(join(plain, two), "other bytes");
  const second = await place.verify("--repair-from", plain, two);
  assert.equal(second.code, 1);
  assert.match(second.out, new RegExp(`^damaged .*${two}.*are wrong, too$`, "m"));
});

test("--repair-from the store itself, or from nowhere, is refused before anything is read", async () => {
  await using place = await storeOf(["a"]);
  for (const from of [place.folder.path, join(place.folder.path, "blobs")]) {
    const { code, out, err } = await place.verify("--repair-from", from);
    assert.deepEqual([code, out], [2, ""]);
    assert.match(err, /is the store that is verified/);
  }
  const { code, err } = await place.verify("--repair-from", "/nowhere/at/all");
  assert.equal(code, 2);
  assert.match(err, /is neither a folder, nor a URL, nor s3:\/\/bucket/);
});

test("--repair-from is refused with --no-mark, and names a service that cannot be reached", async () => {
  await using place = await storeOf(["a"]);
  const [hex = ""] = place.hexes;
  await place.overwrite(hex, "b");
  const refused = await place.verify("--no-mark", "--repair-from", "/tmp");
  assert.deepEqual([refused.code, refused.out], [2, ""]);
  assert.match(refused.err, /--no-mark only reports/);
  const port = await freePort();
  const { code, out } = await place.verify("--repair-from", `http://127.0.0.1:${port}/uploads`);
  assert.equal(code, 1);
  assert.match(out, new RegExp(`not repaired: http://127.0.0.1:${port} cannot be reached \\(ECONNREFUSED\\)`));
});

test("--repair-from takes the settings of the verified bucket, as flags too", async () => {
  await using bucket = await ScriptedServer.start();
  const bytes = Buffer.from("one");
  const settings = { endpoint: bucket.endpoint, ...KEYS, log: () => null };
  await using verified = s3Store({ bucket: "main", keyPrefix: "a/", ...settings });
  await using backup = s3Store({ bucket: "backup", keyPrefix: "b/", ...settings });
  const { digest } = await createFixity({ store: backup }).put(bytes);
  await createFixity({ store: verified }).put(bytes);
  const key = `a/blobs/${digest.hex}`;
  const object = bucket.bucket.objects.get(key) ?? assert.fail([...bucket.bucket.objects.keys()].join());
  bucket.bucket.objects.set(key, { ...object, bytes: Buffer.from("two"), etag: '"other"' });
  const env = { UPLOAD_BUCKET_ACCESS_KEY: KEYS.accessKey, UPLOAD_BUCKET_SECRET_KEY: KEYS.secretKey };
  const flags = ["--bucket-name", "main", "--bucket-prefix", "a/", "--bucket-endpoint", bucket.endpoint];
  const run = (from: string) => runCommand(["verify", digest.hex, ...flags, "--repair-from", from], { env });
  const same = await run("s3://main/a");
  assert.match(same.err, /is the store that is verified/);
  const { code, out, err } = await run("s3://backup/b");
  assert.equal(code, 0, out + err);
  assert.match(out, /repaired from s3:\/\/backup\/b$/m);
  assert(bucket.bucket.objects.get(key)?.bytes.equals(bytes));
});

test("--repair-from a bucket reads another service's objects", async () => {
  await using bucket = await ScriptedServer.start();
  await using place = await storeOf(["one"]);
  await using other = s3Store({
    bucket: "backup",
    keyPrefix: "a/",
    endpoint: bucket.endpoint,
    ...KEYS,
    log: () => null,
  });
  await createFixity({ store: other }).put(Buffer.from("one"));
  await place.overwrite(place.hexes[0] ?? "", "ONE");
  const env = {
    UPLOAD_DIR: place.folder.path,
    REPAIR_BUCKET_ENDPOINT: bucket.endpoint,
    REPAIR_BUCKET_ACCESS_KEY: KEYS.accessKey,
    REPAIR_BUCKET_SECRET_KEY_FILE: join(place.folder.path, "secret-key"),
  };
  await writeFile(env.REPAIR_BUCKET_SECRET_KEY_FILE, `${KEYS.secretKey}\n`);
  const { code, out, err } = await runCommand(["verify", "--repair-from", "s3://backup/a"], { env });
  assert.equal(code, 0, out + err);
  assert.match(out, /repaired from s3:\/\/backup\/a$/m);
});

test("a run that Ctrl-C stops keeps its passes, and --older-than reads the rest", async () => {
  const texts = Array.from({ length: 60 }, (_, index) => `${index} `.repeat(8192));
  await using place = await storeOf(texts);
  const env = { UPLOAD_DIR: place.folder.path };
  // Slow enough to be stopped on the way, however fast the machine is.
  await using command = new Command(["verify", "--json", "--rate", "200KiB", "--concurrency", "1"], { env });
  await command.prints(/(?:.*"intact".*\n){10}/);
  command.signal("SIGINT");
  const stopped = await command.ended;
  assert.equal(stopped.code, 130);
  assert.equal(jsonLines(stopped.out).at(-1)?.["status"], "stopped");
  const { passes } = JSON.parse((await place.document("verify/passes")) ?? "") as { passes: Record<string, string> };
  assert.ok(Object.keys(passes).length > 0);
  const rest = place.hexes.filter((hex) => passes[hex.slice(0, 2)] === undefined);
  assert.ok(rest.length > 0 && rest.length <= 51, `${rest.length} are left`);
  const resumed = jsonLines((await place.verify("--json", "--older-than", "24h")).out);
  assert.deepEqual(
    resumed.flatMap(({ status, digest }) => (status === "intact" ? [String(digest).slice(7)] : [])).toSorted(),
    rest.toSorted(),
  );
  assert.deepEqual(await place.verify("--older-than", "24h"), { code: 0, out: "no blobs are due\n", err: "" });
});

test("concurrent runs both read everything, and record all passes", async () => {
  await using place = await storeOf(Array.from({ length: 40 }, (_, index) => `blob ${index}`));
  const runs = await Promise.all([place.verify(), place.verify(), place.verify("--older-than", "0")]);
  for (const { code, out } of runs) assert.match(`${code} ${out}`, /^0 40 blobs verified, \d+ bytes: all intact\n$/);
  assert.deepEqual(await place.verify("--older-than", "1h"), { code: 0, out: "no blobs are due\n", err: "" });
});
