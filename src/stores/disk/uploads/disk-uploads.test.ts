import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { UploadId } from "../../../core/upload-id.ts";
import { diskStore } from "../../../disk.ts";
import { assertGone, take, takeEnded, uploadsOf } from "../../contract/upload-tools.ts";

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "fixity-test-"));
});

afterEach(async () => {
  await rm(root, { recursive: true });
});

/** The only record of an upload, which says whether the upload has ended. */
const recordPath = (id: UploadId): string => join(root, "uploads", id.hex, "1.record");

test("an ended upload is reported without a change to its folder", async () => {
  await using store = diskStore({ root });
  const uploads = uploadsOf(store);
  const id = UploadId.random();
  await uploads.create(id, "ended", { isEnded: true });
  const before = await readdir(join(root, "uploads", id.hex));
  assert.equal((await takeEnded(uploads, id)).record, "ended");
  assert.deepEqual(await readdir(join(root, "uploads", id.hex)), before);
});

test("an ended upload whose record is of an earlier version, which did not say so, is taken instead", async () => {
  await using store = diskStore({ root });
  const uploads = uploadsOf(store);
  const id = UploadId.random();
  await uploads.create(id, "ended", { isEnded: true });
  const { version, segments, record } = JSON.parse(await readFile(recordPath(id), "utf8")) as Record<string, unknown>;
  await writeFile(recordPath(id), JSON.stringify({ version, segments, record }));
  await using held = await take(uploads, id);
  assert.deepEqual([held.record, held.offset, held.isDamaged], ["ended", 0, false]);
  await held.remove();
  await assertGone(uploads, id);
});

test("an upload of zero bytes whose holder was fenced off has not ended", async () => {
  await using one = diskStore({ root });
  await using other = diskStore({ root });
  const id = UploadId.random();
  await uploadsOf(one).create(id, "begun");
  await using former = await take(uploadsOf(one), id);
  {
    await using held = await take(uploadsOf(other), id);
    assert.deepEqual([held.record, held.offset], ["begun", 0]);
  }
  assert.equal(former.takeover.aborted, true);
  await using held = await take(uploadsOf(other), id);
  await held.write(Buffer.from("first bytes"));
  await held.save("saved");
  assert.equal(held.offset, 11);
});
