import assert from "node:assert/strict";
import { test } from "node:test";
import { Digest } from "../../core/digest.ts";
import { UploadId } from "../../core/upload-id.ts";
import { Layout } from "./layout.ts";

const HEX = "0123456789abcdef".repeat(4);
const DIGEST = Digest.parse(HEX);

for (const prefix of ["", "a/", "files/of.2026~x/"]) {
  test(`keys under "${prefix}" lead back to what they were made of`, () => {
    const layout = new Layout(prefix);
    assert.equal(layout.blob(DIGEST), `${prefix}blobs/${HEX}`);
    assert.equal(layout.digestOf(layout.blob(DIGEST))?.hex, HEX);
    const staging = layout.newStaging();
    assert.match(staging.slice(prefix.length), /^tmp\/[0-9a-f]{32}$/);
    assert.equal(layout.isStaging(staging), true);
    assert.notEqual(layout.newStaging(), staging);
    const id = UploadId.random();
    const tail = layout.newTail(id);
    assert.equal(layout.record(id), `${prefix}uploads/${id.hex}`);
    assert.equal(layout.uploadIdOf(layout.record(id))?.hex, id.hex);
    assert.equal(layout.recordOfTail(tail), layout.record(id));
    assert(tail.startsWith(layout.tails(id)));
    assert.notEqual(layout.newTail(id), tail);
    assert.deepEqual([layout.uploadIdOf(tail), layout.recordOfTail(layout.record(id))], [null, null]);
  });
}

test("keys of other programs are not taken for keys of the store", () => {
  const layout = new Layout("a/");
  const staging = layout.newStaging();
  for (const key of [
    "",
    HEX,
    `blobs/${HEX}`,
    `b/blobs/${HEX}`,
    `a/blobs/${HEX}.png`,
    `a/blobs/${HEX.toUpperCase()}`,
    `a/blobs/ab/${HEX}`,
    `a/blobs/${HEX} `,
    `a/blobs/${HEX.slice(1)}`,
    `x/a/blobs/${HEX}`,
    staging,
  ]) {
    assert.equal(layout.digestOf(key), null, key);
  }
  for (const key of [
    `${staging}0`,
    staging.slice(0, -1),
    `${staging}/`,
    `${staging} `,
    layout.blob(DIGEST),
    "a/tmp/x",
  ]) {
    assert.equal(layout.recordOfTail(key), null);
    assert.equal(layout.isStaging(key), false, key);
  }
});

test("documents have keys of their own, which lead back to their names", () => {
  const layout = new Layout("a/");
  assert.equal(layout.document("marks/x.y-z_0"), "a/documents/marks/x.y-z_0");
  assert.equal(layout.documentNameOf("a/documents/marks/x.y-z_0"), "marks/x.y-z_0");
  for (const key of [
    "a/documents/",
    "a/documents/marks/",
    "a/documents/x",
    "a/documents/a/b/c",
    "documents/a/b",
    "a/b",
  ]) {
    assert.equal(layout.documentNameOf(key), null, key);
  }
});

test("what lies under the name of documents or a reserved name is nothing that the store takes for a blob or upload", () => {
  const layout = new Layout("a/");
  const id = UploadId.random();
  for (const reserved of ["a/documents/", "a/damaged/"]) {
    for (const prefix of [layout.blobs, layout.staging, layout.uploads]) assert(!reserved.startsWith(prefix));
    for (const name of [HEX, id.hex, `${id.hex}.tail-${id.hex}`]) {
      const key = reserved + name;
      assert.deepEqual([layout.digestOf(key), layout.uploadIdOf(key), layout.recordOfTail(key)], [null, null, null]);
      assert.equal(layout.isStaging(key), false);
    }
  }
});
