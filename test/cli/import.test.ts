import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFile, mkdir, mkdtemp, readFile, rm, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import { createFixity, Digest } from "../../src/index.ts";
import { Command, jsonLines, runCommand } from "../helpers/command.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { KEYS, ScriptedServer } from "../s3/scripted-server.ts";

/** A folder of files that others have stored, and an empty store. */
async function placeOf(files: Readonly<Record<string, string>>) {
  const folder = await mkdtemp(join(tmpdir(), "fixity-import-"));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
  const store = await StoreFolder.make();
  const env = { UPLOAD_DIR: store.path, UPLOAD_DURABILITY: "none" };
  return {
    folder,
    store,
    env,
    run: (...args: readonly string[]) => runCommand(["import", folder, ...args], { env }),
    async [Symbol.asyncDispose]() {
      await rm(folder, { recursive: true });
      await store[Symbol.asyncDispose]();
    },
  };
}

/** Appends to a file all the time while its folder is imported: it must be reported, and not stored. */
async function assertChanged(
  { folder, env, store }: Awaited<ReturnType<typeof placeOf>>,
  path: string,
  ...flags: readonly string[]
): Promise<void> {
  await using command = new Command(["import", folder, "--json", ...flags], { env });
  const state = { isEnded: false };
  const ended = command.ended.finally(() => (state.isEnded = true));
  while (!state.isEnded) {
    await appendFile(path, "line\n");
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { code, out } = await ended;
  assert.equal(code, 1, out);
  assert.equal(jsonLines(out)[0]?.["status"], "changed");
  assert.deepEqual(await store.wholeBlobs(), new Set());
}

test("all files of a folder are stored, and each link is printed with the path that it had", async () => {
  const files = {
    "a.PNG": "one",
    "deep/er/b": "two",
    "deep/c d.tar.gz": "x".repeat(600_000),
    empty: "",
    "same.txt": "one",
  };
  await using place = await placeOf(files);
  const { code, out, err } = await place.run();
  assert.equal(code, 0, err);
  assert.deepEqual(
    out.trimEnd().split("\n").toSorted(),
    [
      `/uploads/${sha256("one")}.png  a.PNG`,
      `/uploads/${sha256("two")}  deep/er/b`,
      `/uploads/${sha256(files["deep/c d.tar.gz"])}.gz  deep/c d.tar.gz`,
      `/uploads/${sha256("")}  empty`,
      `/uploads/${sha256("one")}.txt  same.txt`,
    ].toSorted(),
  );
  assert.match(err, /^4 files imported, 585\.9 KiB; 1 already stored\n$/);
  assert.deepEqual(await place.store.wholeBlobs(), new Set(Object.values(files).map(sha256)));
  for (const [name, content] of Object.entries(files)) {
    assert.equal(await readFile(join(place.folder, name), "utf8"), content, "the originals stay as they are");
  }
  const again = await place.run("--json");
  assert.equal(again.code, 0);
  const { status, file, link, digest, size } = jsonLines(again.out).find(({ file }) => file === "a.PNG") ?? {};
  assert.deepEqual(
    [status, file, link, digest, size],
    ["existed", "a.PNG", `/uploads/${sha256("one")}.png`, `sha256:${sha256("one")}`, 3],
  );
  const { imported, existed, bytes, ...rest } = jsonLines(again.out).at(-1) ?? {};
  assert.deepEqual([rest["status"], imported, existed, bytes], ["done", 0, 5, 0]);
});

test("files named by their digest must have it; the others are stored all the same", async () => {
  const named = `${sha256("right")}.jpg`;
  const wrong = `sub/${sha256("wrong")}.jpg`;
  await using place = await placeOf({ [named]: "right", [wrong]: "other bytes", [sha256("plain")]: "plain" });
  const { code, out, err } = await place.run();
  assert.equal(code, 1);
  assert.match(out, new RegExp(`^/uploads/${named}  ${named}$`, "m"));
  assert.match(err, new RegExp(`^fixity: damaged: ${wrong}: its bytes are not those of the digest in its name$`, "m"));
  assert.deepEqual(await place.store.wholeBlobs(), new Set(["right", "plain"].map(sha256)));
  assert.deepEqual(await place.store.staged(), []);
});

test("symbolic links and special files are skipped with a reason, and nothing outside is stored", async () => {
  await using place = await placeOf({ "a.txt": "one" });
  await symlink("/etc/passwd", join(place.folder, "link"));
  await symlink("/etc", join(place.folder, "folder"));
  execFileSync("mkfifo", [join(place.folder, "fifo")]);
  const { code, out } = await place.run("--json");
  assert.equal(code, 0);
  const skipped = jsonLines(out).filter(({ status }) => status === "skipped");
  assert.deepEqual(skipped.map(({ file, reason }) => `${String(file)}: ${String(reason)}`).toSorted(), [
    "fifo: not a regular file",
    "folder: a symbolic link",
    "link: a symbolic link",
  ]);
  assert.deepEqual(await place.store.wholeBlobs(), new Set([sha256("one")]));
});

test("a file that changes while it is read is reported and not stored", async () => {
  await using place = await placeOf({ "log.txt": "" });
  const path = join(place.folder, "log.txt");
  await truncate(path, 200 * 1024 * 1024);
  await assertChanged(place, path);
});

test("with --link the stored files are the files themselves, read-only, and a changed one is refused later", async () => {
  const files = { "a.txt": "one", "deep/b.bin": "x".repeat(3_000_000), "same.txt": "one" };
  await using place = await placeOf(files);
  await symlink("/etc/passwd", join(place.folder, "link"));
  const { code, out, err } = await place.run("--link", "--json");
  assert.equal(code, 0, err);
  assert.match(err, /^fixity: --link: files stay where they are/);
  assert.deepEqual(
    jsonLines(out)
      .map(({ status }) => String(status))
      .toSorted(),
    ["done", "existed", "imported", "imported", "skipped"],
  );
  assert.deepEqual(await place.store.wholeBlobs(), new Set(Object.values(files).map(sha256)));
  assert.deepEqual(await place.store.staged(), []);
  const path = join(place.folder, "deep/b.bin");
  const [original, stored] = [await stat(path), await stat(place.store.blob(sha256(files["deep/b.bin"])))];
  assert.deepEqual([original.ino, original.nlink, original.mode & 0o777], [stored.ino, 2, 0o444]);
  const again = await place.run("--link");
  assert.match(again.err, /0 files imported, 0 bytes; 3 already stored; 1 skipped/);
  assert.equal((await stat(path)).nlink, 2);
});

test("a linked file that changes while it is read is reported, not stored, and keeps its mode", async () => {
  await using place = await placeOf({ "log.txt": "" });
  const path = join(place.folder, "log.txt");
  await truncate(path, 200 * 1024 * 1024);
  await assertChanged(place, path, "--link");
  const { nlink, mode } = await stat(path);
  assert.deepEqual([nlink, mode & 0o200], [1, 0o200]);
});

test("--link is refused for a folder on another file system, and for a bucket", async (context) => {
  await using place = await placeOf({ "a.txt": "one" });
  const bucket = await runCommand(["import", "s3://bucket/old", "--link"], {
    env: { ...place.env, FROM_BUCKET_ENDPOINT: "http://127.0.0.1:9", FROM_BUCKET_REGION: "us-east-1" },
  });
  assert.equal(bucket.code, 2);
  const elsewhere = "/dev/shm";
  if (process.platform !== "linux" || (await stat(elsewhere)).dev === (await stat(place.folder)).dev) {
    return context.skip("there is no other file system");
  }
  const env = { ...place.env, UPLOAD_DIR: await mkdtemp(join(elsewhere, "fixity-import-")) };
  try {
    const { code, err } = await runCommand(["import", place.folder, "--link"], { env });
    assert.equal(code, 2);
    assert.match(err, /is on another file system than the store/);
  } finally {
    await rm(env.UPLOAD_DIR, { recursive: true });
  }
});

test("what cannot be imported from is refused before anything is written", async () => {
  await using place = await placeOf({ "a.txt": "one" });
  assert.equal((await place.run()).code, 0);
  for (const [from, message] of [
    [place.store.path, /is the store itself/],
    [place.store.blobs, /is the store itself/],
    ["/not/there", /is neither a folder nor s3:\/\/bucket/],
    [join(place.folder, "a.txt"), /is neither a folder/],
    ["https://files.example.com/uploads", /is a service: 'fixity copy'/],
  ] as const) {
    const { code, out, err } = await runCommand(["import", from], { env: place.env });
    assert.deepEqual([code, out], [2, ""], from);
    assert.match(err, message);
  }
  // A folder around the store: the store's own files are not imported again.
  const around = await runCommand(["import", dirname(place.store.path), "--json"], { env: place.env });
  assert.deepEqual(
    jsonLines(around.out).map(({ status, file }) => [status, file]),
    [
      ["skipped", "data"],
      ["done", undefined],
    ],
  );
});

test("a blocked file is not stored", async () => {
  await using place = await placeOf({ "a.txt": "one", "b.txt": "two" });
  {
    await using store = diskStore({ root: place.store.path, durability: "none" });
    await store.check();
    await createFixity({ store }).block(Digest.parse(`sha256:${sha256("one")}`), { reason: "reported" });
  }
  const { code, out } = await place.run("--json");
  assert.equal(code, 0, out);
  assert.equal(jsonLines(out).find(({ file }) => file === "a.txt")?.["status"], "blocked");
  assert.deepEqual(await place.store.wholeBlobs(), new Set([sha256("two")]));
});

test("objects below a prefix of a bucket are stored", async () => {
  await using place = await placeOf({});
  await using server = await ScriptedServer.start();
  const objects: Readonly<Record<string, string>> = {
    "old/photo.jpg": "one",
    "old/deep/er.txt": "two",
    [`old/${sha256("three")}.bin`]: "three",
    [`old/${sha256("four")}.bin`]: "FOUR",
    "other/file": "five",
  };
  for (const [key, text] of Object.entries(objects)) {
    server.bucket.objects.set(key, {
      bytes: Buffer.from(text),
      etag: `"${sha256(text).slice(0, 32)}"`,
      modified: new Date(),
      type: "application/octet-stream",
    });
  }
  const env = {
    ...place.env,
    FROM_BUCKET_ENDPOINT: server.endpoint,
    FROM_BUCKET_REGION: "eu-central-1",
    FROM_BUCKET_ACCESS_KEY: KEYS.accessKey,
    FROM_BUCKET_SECRET_KEY: KEYS.secretKey,
  };
  const { code, out, err } = await runCommand(["import", "s3://bucket/old", "--json"], { env });
  assert.equal(code, 1, err);
  const lines = jsonLines(out);
  assert.equal(lines.find(({ file }) => file === "photo.jpg")?.["link"], `/uploads/${sha256("one")}.jpg`);
  assert.equal(lines.find(({ status }) => status === "damaged")?.["file"], `${sha256("four")}.bin`);
  assert.deepEqual(await place.store.wholeBlobs(), new Set(["one", "two", "three"].map(sha256)));
});

test("an import that is killed is completed by the next one, beside a server that takes uploads and collects", async () => {
  const files = Object.fromEntries(
    Array.from({ length: 200 }, (_, index) => [`${index}.txt`, `${index} `.repeat(60_000)]),
  );
  await using place = await placeOf(files);
  await using server = await ServerProcess.start({ dir: place.store.path, env: { UPLOAD_DURABILITY: "none" } });
  await using killed = new Command(["import", place.folder, "--json", "--concurrency", "1"], { env: place.env });
  await killed.prints(/imported/);
  killed.signal("SIGKILL");
  await killed.ended;
  const [imported, stored, collected] = await Promise.all([
    place.run(),
    fetch(`${server.url}/uploads`, { method: "POST", body: "an upload meanwhile" }),
    runCommand(["gc"], { env: place.env }),
  ]);
  assert.deepEqual([imported.code, stored.status, collected.code], [0, 201, 0], imported.err);
  const expected = [...Object.values(files), "an upload meanwhile"].map(sha256);
  assert.deepEqual(await place.store.wholeBlobs(), new Set(expected));
  await server.stop();
  await runCommand(["gc"], { env: place.env });
  assert.deepEqual(await place.store.staged(), []);
});
