import assert from "node:assert/strict";
import { test } from "node:test";
import { diskStore } from "../disk.ts";
import { memoryStore } from "../memory.ts";
import { s3Store } from "../s3.ts";
import { type DownloadOptions, delegateFor } from "./delegated-downloads.ts";

// None of them is used: what a store can do is seen before the first request.
const disk = diskStore({ root: "/nowhere" });
const s3 = s3Store({ bucket: "files", region: "eu-central-1", accessKey: "key", secretKey: "secret" });
const memory = memoryStore();

test("in stream mode there is no delegate", () => {
  for (const store of [disk, s3, memory]) assert.equal(delegateFor({ mode: "stream" }, store), null);
});

test("a mode that the store does not support is refused at the start", () => {
  const refused = { code: "invalid-option", message: /needs a store/ };
  for (const store of [disk, memory]) assert.throws(() => delegateFor({ mode: "redirect" }, store), refused);
  assert.throws(() => delegateFor({ mode: "accelerated" }, memory), refused);
  assert.notEqual(delegateFor({ mode: "redirect" }, s3), null);
  for (const store of [disk, s3]) assert.notEqual(delegateFor({ mode: "accelerated" }, store), null);
});

test("lifetimes are integer seconds up to a week", () => {
  for (const lifetime of [1, 300, 604_800]) assert.notEqual(delegateFor({ mode: "redirect", lifetime }, s3), null);
  for (const lifetime of [0, 0.5, -1, 604_801, Number.NaN, Infinity]) {
    assert.throws(() => delegateFor({ mode: "redirect", lifetime }, s3), { code: "invalid-option" }, String(lifetime));
  }
});

test("an internal location is a path without a trailing slash and without dot segments", () => {
  for (const location of ["/a", "/internal/files", "/.well"]) {
    assert.notEqual(delegateFor({ mode: "accelerated", location }, disk), null);
  }
  for (const location of ["", "/", "a", "/a/", "//a", "/a/../b", "/a b", "/a\r\nX: y", "/a?b", "@a"]) {
    const set = () => delegateFor({ mode: "accelerated", location }, disk);
    assert.throws(set, { code: "invalid-option" }, location);
  }
});

test("an unknown mode is refused", () => {
  const options = { mode: "fast" } as unknown as DownloadOptions;
  assert.throws(() => delegateFor(options, s3), { code: "invalid-option" });
});
