import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { newName, ownerOf, thisProcess } from "../base/process-identity.ts";
import { UnfinishedUploads, unfinishedUploadsFolder } from "./unfinished-uploads.ts";

let parent = "";
let folder = "";

before(async () => {
  parent = await mkdtemp(join(tmpdir(), "fixity-memory-"));
});

beforeEach(async () => {
  folder = join(await mkdtemp(join(parent, "t-")), "state/uploads");
});

after(() => rm(parent, { recursive: true }));

/** Renames the entries of this process as if a dead process had written them. */
async function die(): Promise<void> {
  const { pid } = spawnSync("true");
  for (const name of await readdir(folder)) {
    const key = name.slice(0, 41);
    assert.equal(ownerOf(name.slice(41))?.pid, process.pid);
    await rename(join(folder, name), join(folder, key + newName({ ...thisProcess(), pid })));
  }
}

test("an entry is returned until it is removed", async () => {
  const memory = new UnfinishedUploads(folder);
  assert.equal(await memory.get("a"), null);
  await memory.set("a", "one");
  await memory.set("b", "two");
  await memory.set("a", "three");
  assert.deepEqual([await memory.get("a"), await memory.get("b")], ["three", "two"]);
  await memory.remove("a");
  await memory.remove("a");
  assert.deepEqual([await memory.get("a"), await memory.get("b")], [null, "two"]);
  assert.equal((await readdir(folder)).length, 1);
});

test("exactly one of two runs takes over the entry of a dead process", async () => {
  const first = new UnfinishedUploads(folder);
  await first.set("a", "left");
  await die();
  const [one, other] = [new UnfinishedUploads(folder), new UnfinishedUploads(folder)];
  const got = await Promise.all([one.get("a"), other.get("a")]);
  assert.deepEqual(new Set(got), new Set(["left", null]));
});

test("the entry of a running process belongs to it", async () => {
  const other = new UnfinishedUploads(folder);
  await other.set("a", "other");
  const own = new UnfinishedUploads(folder);
  assert.equal(await own.get("a"), null);
  await own.set("a", "own");
  await own.remove("a");
  assert.equal(await other.get("a"), "other");
});

test("only the user can read the entries", async () => {
  await new UnfinishedUploads(folder).set("a", "secret");
  const [name = ""] = await readdir(folder);
  assert.equal((await stat(folder)).mode & 0o777, 0o700);
  assert.equal((await stat(join(folder, name))).mode & 0o777, 0o600);
});

test("entries older than a week are removed", async () => {
  await new UnfinishedUploads(folder).set("a", "old");
  await new UnfinishedUploads(folder).set("b", "new");
  await die();
  const long = new Date(Date.now() - 8 * 24 * 3_600_000);
  const [first = ""] = await readdir(folder);
  await utimes(join(folder, first), long, long);
  await new UnfinishedUploads(folder).get("c");
  assert.equal((await readdir(folder)).length, 1);
  assert.ok(!(await readdir(folder)).includes(first));
});

test("the folder is in the user state folder of the XDG specification", () => {
  assert.equal(unfinishedUploadsFolder({ XDG_STATE_HOME: "/state" }), "/state/fixity/uploads");
  assert.match(unfinishedUploadsFolder({ XDG_STATE_HOME: "relative" }) ?? "", /\/\.local\/state\/fixity\/uploads$/);
});
