import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, lstat, mkdir, readdir } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { runCommand } from "../helpers/command.ts";
import { FrontServer } from "../helpers/front-server.ts";
import { someOf } from "../helpers/full-run.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

const run = promisify(execFile);

/** A user, and a group, that every Debian has for web servers. */
const WEB_SERVER = 33;
const NOBODY = 65_534;

/** Octal modes of what lies in a store, by the kind of place. */
type ModesByPlace = Readonly<Record<string, string>>;

const CLOSED: ModesByPlace = {
  root: "700",
  "blobs folder": "700",
  blob: "400",
  "other folder": "700",
  "file of an upload": "600",
};
const FOR_GROUP: ModesByPlace = { ...CLOSED, root: "710", "blobs folder": "2750", blob: "440" };
const AS_BEFORE: ModesByPlace = {
  root: "755",
  "blobs folder": "755",
  blob: "444",
  "other folder": "755",
  "file of an upload": "644",
};

/** Starts a server with a umask. */
const withUmask = (umask: string): readonly string[] => ["sh", "-c", `umask ${umask}; exec "$@"`, "sh"];

/** Stores small and large files in every way, and leaves some uploads unfinished. */
async function useEveryRoute(url: string): Promise<void> {
  const send = async (
    path: string,
    method: string,
    headers: Record<string, string>,
    body: string | Uint8Array<ArrayBuffer> | FormData | null,
  ) => {
    const answer = await fetch(new URL(path, url), { method, headers, body });
    assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
    return answer.headers.get("location") ?? "";
  };
  const large = Buffer.alloc(3 * 1024 * 1024, "large");
  const small = Array.from({ length: 40 }, (_, index) => `small ${index}`);
  await Promise.all(small.map((text) => send("/uploads", "POST", {}, text)));
  await send("/uploads", "POST", {}, large);
  await send(`/uploads/${sha256("put")}`, "PUT", {}, "put");
  const form = new FormData();
  form.set("upload", new Blob(["in a form"]), "a.txt");
  await send("/uploads", "POST", {}, form);
  const tus = { "tus-resumable": "1.0.0" };
  const upload = await send("/uploads", "POST", { ...tus, "upload-length": "9" }, null);
  const append = { ...tus, "content-type": "application/offset+octet-stream" };
  await send(upload, "PATCH", { ...append, "upload-offset": "0" }, "first");
  await send(upload, "PATCH", { ...append, "upload-offset": "5" }, "last");
  await send("/uploads", "POST", { "upload-complete": "?1" }, Buffer.alloc(2 * 1024 * 1024, "resumable"));
  const open = await send("/uploads", "POST", { "upload-complete": "?0" }, "unfinished");
  const more = { "content-type": "application/partial-upload", "upload-complete": "?0", "upload-offset": "10" };
  await send(open, "PATCH", more, Buffer.alloc(1024 * 1024, "more"));
}

/** What is in a store's folder: modes by kind of place, each as often as it differs, and groups. */
async function modesIn(
  root: string,
): Promise<{ readonly modes: Record<string, string>; readonly groups: Record<string, number[]> }> {
  const paths = [root, ...(await readdir(root, { recursive: true })).map((name) => join(root, name))];
  const modes: Record<string, Set<string>> = {};
  const groups: Record<string, Set<number>> = {};
  for (const path of paths) {
    const { mode, gid } = await lstat(path);
    const [area, ...below] = relative(root, path).split("/");
    let place = (mode & 0o170000) === 0o040000 ? "other folder" : "file of an upload";
    if (path === root) place = "root";
    else if (area === "blobs") place = below.length === 2 ? "blob" : "blobs folder";
    // the file of a resumed upload is a blob too, until its record expires
    else if (below.length === 2 && (await lstat(path)).nlink > 1) place = "blob";
    (modes[place] ??= new Set()).add((mode & 0o7777).toString(8));
    (groups[place] ??= new Set()).add(gid);
  }
  const joined = Object.entries(modes).map(([place, found]) => [place, [...found].join(" ")] as const);
  return {
    modes: Object.fromEntries(joined),
    groups: Object.fromEntries(Object.entries(groups).map(([place, found]) => [place, [...found]])),
  };
}

/** Whether a user can read a file. */
async function canRead(user: number, path: string): Promise<boolean> {
  const args = [`--reuid=${user}`, `--regid=${user}`, "--clear-groups", "cat", path];
  return run("setpriv", args, { maxBuffer: 2 ** 26 }).then(
    () => true,
    () => false,
  );
}

/** A store's folder that other users could get to, if its own modes let them in. */
async function reachableFolder(): Promise<StoreFolder> {
  const folder = await StoreFolder.make();
  await chmod(dirname(folder.path), 0o755);
  return folder;
}

/** The folders of a store that a version before has made. */
async function makeAsBefore(root: string): Promise<void> {
  for (const path of [root, join(root, "blobs"), join(root, "staging"), join(root, "uploads")]) {
    await mkdir(path);
    await chmod(path, 0o755);
  }
}

for (const umask of someOf(["022", "000", "077"], 1)) {
  test(`a new store is closed to other users (umask ${umask})`, needing("root"), async () => {
    await using folder = await reachableFolder();
    await using server = await ServerProcess.start({ dir: folder.path, under: withUmask(umask) });
    await useEveryRoute(server.url);
    assert.deepEqual((await modesIn(folder.path)).modes, CLOSED);
    assert.equal(await canRead(NOBODY, folder.blob(sha256("put"))), false);
  });

  test(`a group may read the blobs of a new store and nothing else (umask ${umask})`, needing("root"), async () => {
    await using folder = await reachableFolder();
    const env = { UPLOAD_DIR_GROUP: "www-data" };
    await using server = await ServerProcess.start({ dir: folder.path, env, under: withUmask(umask) });
    await useEveryRoute(server.url);
    const { modes, groups } = await modesIn(folder.path);
    assert.deepEqual(modes, FOR_GROUP);
    for (const place of ["root", "blobs folder", "blob"]) assert.deepEqual(groups[place], [WEB_SERVER], place);
    assert.equal(await canRead(WEB_SERVER, folder.blob(sha256("put"))), true);
    assert.equal(await canRead(NOBODY, folder.blob(sha256("put"))), false);
    await server.stop();
    // another process that is not told of the group
    await using other = await ServerProcess.start({ dir: folder.path, under: withUmask(umask) });
    await useEveryRoute(other.url);
    await fetch(`${other.url}/uploads`, { method: "POST", body: "stored later" });
    assert.deepEqual(await modesIn(folder.path), { modes, groups });
  });
}

test("an existing store keeps its modes, for new files too", needing("root"), async () => {
  await using folder = await reachableFolder();
  await makeAsBefore(folder.path);
  const env = { UPLOAD_DIR_GROUP: "www-data" };
  await using server = await ServerProcess.start({ dir: folder.path, env, under: withUmask("022") });
  await useEveryRoute(server.url);
  assert.deepEqual((await modesIn(folder.path)).modes, AS_BEFORE);
  assert.equal(await canRead(NOBODY, folder.blob(sha256("put"))), true);
});

for (const [group, wanted] of [
  [undefined, CLOSED],
  ["www-data", FOR_GROUP],
] as const) {
  test(`doctor reports wider modes, and its commands close the store (group: ${group})`, needing("root"), async () => {
    await using folder = await reachableFolder();
    await makeAsBefore(folder.path);
    const env = { ...(group !== undefined && { UPLOAD_DIR_GROUP: group }) };
    await using before = await ServerProcess.start({ dir: folder.path, under: withUmask("022") });
    await useEveryRoute(before.url);
    await before.stop();
    const doctor = async () => {
      const { code, out } = await runCommand(["doctor", "--json"], { env: { UPLOAD_DIR: folder.path, ...env } });
      const lines = out.trim().split("\n").map((line) => JSON.parse(line) as Record<string, string>); // prettier-ignore
      return { code, finding: lines.find(({ probe }) => probe === "modes") ?? {} };
    };
    const { code, finding } = await doctor();
    assert.deepEqual([code, finding["verdict"]], [0, "note"]);
    assert.match(finding["found"] ?? "", /data \(755\), blobs \(755\), staging \(755\), uploads \(755\)/);
    const commands = /To change them: (.*)$/.exec(finding["remedy"] ?? "")?.[1] ?? "";
    await run("sh", ["-c", commands]);
    assert.equal((await doctor()).finding["verdict"], "ok");
    const { out } = await runCommand(["doctor", "--json"], { env: { UPLOAD_DIR: folder.path } });
    assert.match(out, /"probe":"modes".*"verdict":"ok"/, "the store's own group counts where the setting is missing");
    await using server = await ServerProcess.start({ dir: folder.path, env });
    await useEveryRoute(server.url);
    assert.deepEqual((await modesIn(folder.path)).modes, wanted);
  });
}

test(
  "nginx under another user serves the files of a new store with its group, and of a store with the earlier modes",
  needing("root", "nginx"),
  async () => {
    for (const kind of ["new", "as before"]) {
      await using folder = await reachableFolder();
      if (kind === "as before") await makeAsBefore(folder.path);
      const env = { UPLOAD_DOWNLOADS: "accelerated", ...(kind === "new" && { UPLOAD_DIR_GROUP: "www-data" }) };
      await using server = await ServerProcess.start({ dir: folder.path, env });
      await useEveryRoute(server.url);
      const places = { "127.0.0.1:3000": `127.0.0.1:${server.port}`, "/var/lib/fixity": folder.path };
      await using front = await FrontServer.nginx("nginx-disk.conf", places, { uid: WEB_SERVER });
      for (const content of ["put", "in a form", "firstlast", Buffer.alloc(3 * 1024 * 1024, "large")]) {
        const answer = await fetch(`${front.url}/uploads/${sha256(content)}`, { headers: { host: "localhost" } });
        assert.equal(answer.status, 200, kind);
        assert.equal(sha256(Buffer.from(await answer.arrayBuffer())), sha256(content));
      }
    }
  },
);

test("accelerated downloads need a group on a new store and none on an existing one", async () => {
  await using folder = await StoreFolder.make();
  const env = { UPLOAD_DOWNLOADS: "accelerated" };
  await assert.rejects(
    ServerProcess.start({ dir: folder.path, env }),
    /Set UPLOAD_DIR_GROUP to the group of the web server/,
  );
  await assert.rejects(lstat(folder.path), { code: "ENOENT" }, "nothing was made");
  await using before = await ServerProcess.start({ dir: folder.path });
  await before.stop();
  await using server = await ServerProcess.start({ dir: folder.path, env });
  assert.equal((await fetch(`${server.url}/healthz`)).status, 200);
});

test(
  "a group that does not exist, or to which the process does not belong, fails the start with a message",
  needing("root"),
  async () => {
    await using folder = await reachableFolder();
    const start = (env: Record<string, string>, under: readonly string[] = []) =>
      ServerProcess.start({ dir: folder.path, env, under });
    await assert.rejects(start({ UPLOAD_DIR_GROUP: "no-such-group" }), /this machine has no group "no-such-group"/);
    await assert.rejects(
      start({ UPLOAD_DIR_GROUP: "a b" }),
      /UPLOAD_DIR_GROUP must be the name or the number of a group/,
    );
    await chmod(dirname(folder.path), 0o777);
    const asNobody = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
    await assert.rejects(start({ UPLOAD_DIR_GROUP: "www-data" }, asNobody), /Add user nobody to that group/);
  },
);
