import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { publishBlob, stageBlob } from "./write-worker.ts";

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "fixity-test-"));
  await mkdir(join(root, "staging"));
  await mkdir(join(root, "aa"));
});

afterEach(async () => {
  await rm(root, { recursive: true });
});

const log = (message: string): void => assert.fail(message);

/** Writes a blob to `name` in the root. Between its two steps `meanwhile` happens. */
async function write(name: string, text: string, meanwhile: () => Promise<void> = async () => {}): Promise<boolean> {
  const paths = { staged: join(root, "staging", "1"), place: join(root, name), mode: 0o444, gid: null };
  const fd = stageBlob(paths, Buffer.from(text), log);
  await meanwhile();
  return fd !== null && publishBlob(paths, fd, log);
}

test("a blob has its bytes, or none, under one name, and is read-only", async () => {
  for (const text of ["some bytes", ""]) {
    const name = `aa/${text.length}`;
    assert.equal(await write(name, text), true);
    assert.equal(await readFile(join(root, name), "utf8"), text);
    const { mode, nlink } = await stat(join(root, name));
    assert.deepEqual([mode & 0o333, nlink], [0, 1]);
    assert.deepEqual(await readdir(join(root, "staging")), []);
  }
});

test("a stored blob is left unchanged", async () => {
  await writeFile(join(root, "aa/one"), "old");
  assert.equal(await write("aa/one", "new"), false);
  assert.equal(await readFile(join(root, "aa/one"), "utf8"), "old");
  assert.deepEqual(await readdir(join(root, "staging")), []);
});

test("a blob that appears between the steps is left unchanged", async () => {
  assert.equal(await write("aa/one", "new", () => writeFile(join(root, "aa/one"), "old")), false);
  assert.equal(await readFile(join(root, "aa/one"), "utf8"), "old");
  assert.deepEqual(await readdir(join(root, "staging")), []);
});

test("nothing is created if the blob's folder is missing", async () => {
  assert.equal(await write("bb/one", "some bytes"), false);
  assert.deepEqual((await readdir(root, { recursive: true })).sort(), ["aa", "staging"]);
});

test("another process's staging file is neither written nor removed", async () => {
  await writeFile(join(root, "staging/1"), "not ours");
  assert.equal(await write("aa/one", "some bytes"), false);
  assert.equal(await readFile(join(root, "staging/1"), "utf8"), "not ours");
  assert.deepEqual(await readdir(join(root, "aa")), []);
});
