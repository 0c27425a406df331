/**
 * What a collection cannot remove keeps nothing else: a folder with a file in it stands in the place
 * of a file, which no process may unlink, not even one of root.
 */
import assert from "node:assert/strict";
import { access, mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { diskStore } from "../../disk.ts";
import { content, digestOf } from "../contract/tools.ts";

/** Processes of another machine that have been silent since 2001. */
const DEAD = [1, 2, 3].map((pid) => `${"0".repeat(16)}-${pid}-0-00000000`);
const LONG_AGO = new Date("2001-01-01");

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "fixity-test-"));
});

afterEach(async () => {
  await rm(root, { recursive: true });
});

/** Places a file, or a folder that cannot be unlinked, among what a dead process has left. */
async function place(path: string, kind: "file" | "folder"): Promise<string> {
  const whole = join(root, path);
  await mkdir(kind === "file" ? dirname(whole) : whole, { recursive: true });
  await writeFile(kind === "file" ? whole : join(whole, "inside"), content(1_000));
  await utimes(whole, LONG_AGO, LONG_AGO);
  await utimes(dirname(whole), LONG_AGO, LONG_AGO);
  return whole;
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Collects, and proves that the folders stay and are reported by their path, and that all files are gone. */
async function assertCollected(
  { files, folders }: { readonly files: readonly string[]; readonly folders: readonly string[] },
  staged: number,
): Promise<void> {
  const reported: string[] = [];
  const log = (message: string, cause?: unknown): void => void reported.push(`${message}: ${String(cause)}`);
  await using store = diskStore({ root, log });
  assert.deepEqual(await store.collect(), { staged, bytes: staged * 1_000 });
  for (const file of files) assert.equal(await isThere(file), false, file);
  for (const folder of folders) {
    assert.deepEqual(await readdir(folder), ["inside"]);
    assert.ok(
      reported.some((line) => line.includes("could not be removed") && line.includes(folder)),
      `${folder} is reported: ${reported.join("\n")}`,
    );
  }
}

test("a staging file that cannot be removed keeps no other one, of the same process or of others", async () => {
  const folders = [await place(`staging/${DEAD[0]}/1`, "folder"), await place(`staging/${DEAD[1]}/2`, "folder")];
  const paths = [`${DEAD[0]}/0`, `${DEAD[0]}/2`, `${DEAD[1]}/1`, `${DEAD[1]}/3`, `${DEAD[2]}/1`];
  const files = await Promise.all(paths.map((path) => place(`staging/${path}`, "file")));
  await assertCollected({ files, folders }, files.length);
  assert.deepEqual((await readdir(join(root, "staging"))).includes(DEAD[2] ?? ""), false);
});

test("a request for an upload that cannot be removed keeps no other one", async () => {
  await using store = diskStore({ root });
  await store.check();
  const at = (name: string | undefined): string => `uploads/wanted/${name}`;
  const folders = [await place(at(DEAD[1]), "folder")];
  const files = [await place(at(DEAD[0]), "file"), await place(at(DEAD[2]), "file")];
  await assertCollected({ files, folders }, 0);
});

test("damaged bytes that cannot be removed keep no others, whether they are old or all are to go", async () => {
  const [a = "", b = "", c = ""] = [10, 20, 30].map((size) => digestOf(content(size)).hex).toSorted();
  const old = LONG_AGO.getTime();
  const folders = [await place(`damaged/${b}-${old}`, "folder")];
  const files = [await place(`damaged/${a}-${old}`, "file"), await place(`damaged/${c}-${old}`, "file")];
  await assertCollected({ files, folders }, 0);
  await place(`damaged/${a}-${Date.now()}`, "file");
  await place(`damaged/${c}-${Date.now()}`, "file");
  let failures = 0;
  await using store = diskStore({ root, log: () => (failures += 1) });
  assert.deepEqual(await store.removeDamaged?.(), { blobs: 2, bytes: 2_000 });
  assert.equal(failures, 1);
});

test("a text of a document that cannot be removed keeps none of other documents", async () => {
  const folders = [await place(`documents/marks/b/1-${DEAD[0]}.text`, "folder")];
  const files = [
    await place(`documents/marks/a/1-${DEAD[0]}.text`, "file"),
    await place(`documents/marks/c/1-${DEAD[0]}.text`, "file"),
    await place(`documents/.${DEAD[1]}/1-${DEAD[1]}.text`, "file"),
  ];
  await assertCollected({ files, folders }, 0);
});

test("a folder of the store that cannot be read keeps nothing in the others, and fails the collection", async () => {
  await writeFile(join(root, "uploads"), "a file in the place of a folder");
  const file = await place(`staging/${DEAD[0]}/1`, "file");
  await using store = diskStore({ root, log: () => null });
  await assert.rejects(store.collect(), { code: "store-misconfigured" });
  assert.equal(await isThere(file), false);
});
