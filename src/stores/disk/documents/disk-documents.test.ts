import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rename, rm, stat, unlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { newName, thisProcess } from "../../../base/process-identity.ts";
import type { DocumentStore } from "../../../core/document-store.ts";
import type { BlobStore } from "../../../core/store.ts";
import { diskStore } from "../../../disk.ts";

const HOUR_MS = 60 * 60 * 1000;
const DEAD = newName({ ...thisProcess(), pid: 2 ** 30, start: "1" });

let root: string;
let folder: string;
let store: BlobStore;
let documents: DocumentStore;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "fixity-test-"));
  folder = join(root, "documents", "marks", "one");
  store = diskStore({ root });
  documents = store.documents ?? assert.fail();
});

afterEach(async () => {
  await store[Symbol.asyncDispose]();
  await rm(root, { recursive: true });
});

/** Names in the document's folder; `null` if there is none. */
async function names(): Promise<readonly string[] | null> {
  return readdir(folder).catch(() => null);
}

async function age(path: string, ms: number): Promise<void> {
  const then = new Date(Date.now() - ms);
  await utimes(path, then, then);
}

test("nothing is created for documents before the first one, and then only for the server's user", async () => {
  await store.check();
  assert.equal(await documents.read("marks/one"), null);
  assert.equal(await documents.remove("marks/one"), false);
  assert.deepEqual(await Array.fromAsync(documents.list("marks/")), []);
  assert.equal((await readdir(root)).includes("documents"), false);
  await documents.write("marks/one", "text");
  for (const path of [join(root, "documents"), join(root, "documents", "marks"), folder]) {
    assert.equal((await stat(path)).mode & 0o777, 0o700, path);
  }
  for (const name of (await names()) ?? []) assert.equal((await stat(join(folder, name))).mode & 0o777, 0o600, name);
});

test("the folder of a removed document is collected a day after the removal, and not before", async () => {
  await documents.write("marks/one", "text");
  await documents.remove("marks/one");
  await age(folder, 23 * HOUR_MS);
  await store.collect();
  assert.equal((await names())?.length, 1);
  await age(folder, 25 * HOUR_MS);
  await store.collect();
  assert.equal(await names(), null);
  assert.notEqual(await documents.write("marks/one", "again", { ifAbsent: true }), null);
  assert.equal((await documents.read("marks/one"))?.text, "again");
});

test("the tag of a document that was removed and collected never matches again", async () => {
  const tag = (await documents.write("marks/one", "text")) ?? assert.fail();
  await documents.remove("marks/one");
  await age(folder, 25 * HOUR_MS);
  await store.collect();
  await documents.write("marks/one", "text");
  assert.equal(await documents.write("marks/one", "never", { ifMatch: tag }), null);
  assert.equal(await documents.remove("marks/one", tag), false);
});

test("a document is never collected, however old it is", async () => {
  await documents.write("marks/one", "text");
  const before = await names();
  for (const name of before ?? []) await age(join(folder, name), 1000 * HOUR_MS);
  await age(folder, 1000 * HOUR_MS);
  await store.collect();
  assert.deepEqual(await names(), before);
});

test("what dead processes have left of writes is collected, and what live ones are writing is not", async () => {
  await documents.write("marks/one", "text");
  const live = newName(thisProcess());
  for (const name of [DEAD, live]) {
    await writeFile(join(folder, `2-${name}.text`), "half");
    await mkdir(join(root, "documents", `.${name}`));
    await writeFile(join(root, "documents", `.${name}`, `1-${name}.text`), "half");
  }
  await writeFile(join(folder, `0-${live}.text`), "superseded");
  await store.collect();
  const left = (await names()) ?? [];
  assert.deepEqual([left.length, left.includes(`2-${live}.text`)], [3, true]);
  assert.deepEqual((await readdir(join(root, "documents"))).toSorted(), [`.${live}`, "marks"]);
  assert.equal((await documents.read("marks/one"))?.text, "text");
});

test("a text that a dead process left does not keep the folder of a removed document", async () => {
  await documents.write("marks/one", "text");
  await documents.remove("marks/one");
  await writeFile(join(folder, `9-${DEAD}.text`), "half");
  await store.collect();
  assert.equal((await names())?.length, 1);
  await age(folder, 25 * HOUR_MS);
  await store.collect();
  assert.equal(await names(), null);
});

test("a document whose copy lacks its text or its token is absent, and can be written", async () => {
  for (const lacking of [/\.text$/, /-written-/]) {
    const tag = (await documents.write("marks/one", "text")) ?? assert.fail();
    const name = (await names())?.find((name) => lacking.test(name)) ?? assert.fail();
    await unlink(join(folder, name));
    assert.equal(await documents.read("marks/one"), null);
    assert.equal(await documents.remove("marks/one"), false);
    assert.deepEqual(await Array.fromAsync(documents.list("marks/")), []);
    assert.equal(await documents.write("marks/one", "never", { ifMatch: tag }), null);
    assert.notEqual(await documents.write("marks/one", "again", { ifAbsent: true }), null);
    assert.equal((await documents.read("marks/one"))?.text, "again");
    assert.equal((await names())?.length, 2);
  }
});

test("of two tokens, which a copy made during a write may have, the later one counts", async () => {
  await documents.write("marks/one", "first");
  const token = (await names())?.find((name) => name.includes("-written-")) ?? assert.fail();
  await documents.write("marks/one", "second");
  await writeFile(join(folder, token), "");
  assert.equal((await documents.read("marks/one"))?.text, "second");
});

test("something else in the place of a document is reported, and not overwritten", async () => {
  await documents.write("marks/other", "text");
  await writeFile(folder, "a file");
  await assert.rejects(documents.read("marks/one"), { code: "store-misconfigured" });
  await assert.rejects(documents.write("marks/one", "text"), { code: "store-misconfigured" });
  assert.equal((await Array.fromAsync(documents.list("marks/"))).length, 1);
  await rename(folder, `${folder}~`);
  await mkdir(folder);
  await writeFile(join(folder, "notes"), "a file");
  assert.equal(await documents.read("marks/one"), null);
  await assert.rejects(documents.write("marks/one", "text"), { code: "store-misconfigured" });
  await age(folder, 25 * HOUR_MS);
  await store.collect();
  assert.deepEqual(await names(), ["notes"]);
  await unlink(join(folder, "notes"));
  assert.notEqual(await documents.write("marks/one", "text"), null);
});
