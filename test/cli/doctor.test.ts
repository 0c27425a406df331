import assert from "node:assert/strict";
import { access, mkdir, readdir, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { jsonLines, runCommand } from "../helpers/command.ts";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

test("a good folder passes all probes, also beside a running server", async () => {
  await using folder = await StoreFolder.make();
  await using server = await ServerProcess.start({ dir: folder.path });
  const before = await readdir(folder.path, { recursive: true });
  const { code, out, err } = await runCommand(["doctor"], { env: { UPLOAD_DIR: folder.path } });
  assert.deepEqual([code, err], [0, ""]);
  assert.match(out, /^disk at .*data\n\nFolder\n {2}ok {4}The folder exists or can be created\n/);
  assert.match(out, /^ {2}ok {4}Its name is made durable \(fsync of the folder\)$/m);
  assert.match(out, /^13 probes: 13 ok\nThis store can be used\.\n$/m);
  assert.deepEqual((await readdir(folder.path, { recursive: true })).sort(), before.sort(), "nothing is left behind");
  assert.equal((await fetch(`${server.url}/healthz`)).status, 200);
});

test("a missing folder is not created", async () => {
  await using folder = await StoreFolder.make();
  const { code, out } = await runCommand(["doctor", "--dir", folder.path]);
  assert.equal(code, 0);
  assert.match(out, /The folder exists or can be created: it does not exist yet$/m);
  await assert.rejects(access(folder.path));
});

test("a file in place of the folder fails", async () => {
  await using folder = await StoreFolder.make();
  await writeFile(folder.path, "");
  const { code, out } = await runCommand(["doctor", "--dir", folder.path]);
  assert.equal(code, 1);
  assert.match(
    out,
    /^ {2}FAIL {2}The folder exists or can be created\n {8}The store's folder, or one above it, is a file \(\w+\)\.$/m,
  );
  assert.match(out, /^This store cannot be used\. Fix the failed checks above and run doctor again\.$/m);
});

test("--json prints one object per probe, and the verdict", async () => {
  await using folder = await StoreFolder.make();
  const { code, out } = await runCommand(["doctor", "--json"], { env: { UPLOAD_DIR: folder.path } });
  assert.equal(code, 0);
  const lines = jsonLines(out);
  const verdict = lines.at(-1);
  assert.deepEqual(verdict, { store: `disk at ${folder.path}`, usable: true, complete: true });
  const [first] = lines;
  assert.deepEqual(Object.keys(first ?? {}).sort(), [
    "found",
    "group",
    "ms",
    "permission",
    "probe",
    "remedy",
    "title",
    "verdict",
  ]);
});

test("a store without durability can be used, with a warning", async () => {
  await using folder = await StoreFolder.make();
  const env = { UPLOAD_DIR: folder.path, UPLOAD_DURABILITY: "none" };
  const { code, out } = await runCommand(["doctor"], { env });
  assert.equal(code, 0);
  assert.match(out, /^ {2}warn {2}It is made durable \(fsync\)\n {8}UPLOAD_DURABILITY=none: nothing is flushed\.$/m);
  assert.match(out, /see the warnings\.$/m);
});

test("leftovers of a killed doctor are removed after an hour, and not before", async () => {
  await using folder = await StoreFolder.make();
  const left = join(folder.path, "staging", "doctor-0123456789abcdef");
  await mkdir(left, { recursive: true });
  await writeFile(join(left, "written"), "");
  const env = { UPLOAD_DIR: folder.path };
  assert.equal((await runCommand(["doctor"], { env })).code, 0);
  await access(left);
  const before = new Date(Date.now() - 2 * 3_600_000);
  await utimes(left, before, before);
  const { out } = await runCommand(["doctor"], { env });
  assert.match(out, /Nothing of the probes is left behind: 1 item of an earlier diagnosis was removed, too$/m);
  await assert.rejects(access(left));
});

test("a read-only folder and a full disk fail", needing("a mounted tmpfs"), async () => {
  await using folder = await StoreFolder.make();
  await mkdir(folder.path);
  const mounted = async (options: string, fill: string) => {
    const script = `mount -t tmpfs -o ${options} tmpfs "$0" && ${fill} && exec "$@"`;
    const under = ["unshare", "--mount", "sh", "-c", script, folder.path];
    return runCommand(["doctor"], { env: { UPLOAD_DIR: folder.path }, under });
  };
  const readOnly = await mounted("ro,size=64k", "true");
  assert.equal(readOnly.code, 1);
  assert.match(readOnly.out, /^ {8}The store's folder is read-only \(EROFS\)\.$/m);
  const full = await mounted("size=64k", 'mkdir "$0/blobs" "$0/staging" && ! head -c 100000 /dev/zero > "$0/rest"');
  assert.equal(full.code, 0, full.out);
  assert.match(full.out, /^ {2}warn {2}There is free space\n {8}Only 0\.0 GiB free\.$/m);
  assert.match(full.out, /^ {2}warn {2}A written file reads back the same\n {8}No space is left\.$/m);
  assert.match(full.out, /^ {2}ok {4}Nothing of the probes is left behind$/m);
});

test(
  "a file system without hard links, one that refuses fchmod, and one that cannot flush folders",
  needing("strace"),
  async () => {
    await using folder = await StoreFolder.make();
    const log = `${folder.path}.strace`;
    const failing = async (inject: string, ...more: readonly string[]) => {
      const under = [
        "strace",
        "-f",
        "-qq",
        "-o",
        log,
        "-e",
        "trace=link,linkat,fsync,fchmod",
        "-e",
        `inject=${inject}`,
        ...more,
      ];
      return runCommand(["doctor"], { env: { UPLOAD_DIR: folder.path }, under });
    };
    for (const error of ["EPERM", "EACCES", "EINVAL"]) {
      const linkless = await failing(`link,linkat:error=${error}`);
      assert.equal(linkless.code, 0);
      assert.match(linkless.out, /^ {2}note {2}It gets its name.*\n {8}The file system has no hard links\.$/m);
      const modeless = await failing(`fchmod:error=${error}`);
      assert.equal(modeless.code, 0, "a note, no failure");
      const note = /^ {2}note {2}It is made read-only.*\n {8}The file system does not change the modes of files\.$/m;
      assert.match(modeless.out, note);
    }
    const blobs = join(folder.path, "blobs");
    await mkdir(blobs, { recursive: true });
    const flushless = await failing("fsync:error=EINVAL", "-P", blobs);
    assert.equal(flushless.code, 1);
    assert.match(flushless.out, /^ {8}The store's file system cannot make a folder durable/m);
  },
);
