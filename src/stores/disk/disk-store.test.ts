import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { UploadId } from "../../core/upload-id.ts";
import { diskStore } from "../../disk.ts";
import { createFixity } from "../../index.ts";
import { assertKept, content, digestOf, keep, listed } from "../contract/tools.ts";
import { DiskStore } from "./disk-store.ts";
import { resolveDiskOptions } from "./options.ts";

/** A process of another machine that has been silent since 2001. */
const DEAD = `${"0".repeat(16)}-1-0-00000000`;

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "fixity-test-"));
});

afterEach(async () => {
  await rm(root, { recursive: true });
});

test("a store without a layout version has version 1, and a check does not write one", async () => {
  await using store = diskStore({ root });
  await store.check();
  await keep(store, content(10));
  await store.check();
  await assertKept(store, content(10));
  assert.deepEqual((await readdir(root)).toSorted(), ["blobs", "staging", "uploads"]);
});

test("a store whose layout version is known passes its check", async () => {
  await writeFile(join(root, "layout-version"), "1\n");
  await using store = diskStore({ root });
  await store.check();
  assert.equal(await readFile(join(root, "layout-version"), "utf8"), "1\n");
});

test("a store of an unknown layout version is refused, and nothing is written to it", async () => {
  for (const version of ["2\n", "1.5", "", "two"]) {
    await writeFile(join(root, "layout-version"), version);
    await using store = diskStore({ root });
    await assert.rejects(store.check(), { code: "store-misconfigured", message: /layout version/ });
    const findings = await Array.fromAsync(new DiskStore(resolveDiskOptions({ root })).diagnose());
    assert.match(findings.map(({ found }) => found).join("\n"), /layout version/);
    assert.deepEqual(await readdir(root), ["layout-version"], JSON.stringify(version));
  }
});

test("nothing lists, verifies, collects or reports what other programs put beside documents and damaged bytes", async () => {
  await using store = diskStore({ root, log: (message) => assert.fail(message) });
  await store.check();
  await keep(store, content(10));
  const digest = digestOf(content(20));
  const names = [
    digest.hex,
    join(digest.hex.slice(0, 2), digest.hex),
    join(DEAD, "1"),
    join(UploadId.random().hex, "1.record"),
  ];
  const paths = ["documents", "damaged"].flatMap((folder) => names.map((name) => join(root, folder, name)));
  paths.push(join(root, "documents", "notes"), join(root, "documents", "marks", "notes"));
  for (const path of paths) {
    await mkdir(join(path, ".."), { recursive: true });
    await writeFile(path, content(20));
    for (const old of [path, join(path, "..")]) await utimes(old, 1e9, 1e9);
  }
  const fixity = createFixity({ store });
  assert.deepEqual(await fixity.collect(), { staged: 0, bytes: 0 });
  await store.check();
  assert.deepEqual(
    (await listed(store)).map((stat) => stat.digest.hex),
    [digestOf(content(10)).hex],
  );
  assert.deepEqual(await Array.fromAsync(store.misplaced?.() ?? []), []);
  assert.equal(await fixity.verify(digest), null);
  assert.deepEqual(await Array.fromAsync(store.documents?.list("marks/") ?? []), []);
  for (const path of paths) assert((await readFile(path)).equals(content(20)));
});
