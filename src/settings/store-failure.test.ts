import assert from "node:assert/strict";
import { test } from "node:test";
import { FixityError } from "../core/errors.ts";
import { readConfig } from "./config.ts";
import { explainStoreFailure } from "./store-failure.ts";

const BUCKET = { UPLOAD_BUCKET_NAME: "uploads", UPLOAD_BUCKET_ENDPOINT: "http://127.0.0.1:1" };

function explained(error: unknown, env: Readonly<Record<string, string>>): string {
  const explanation = explainStoreFailure(error, readConfig({ env }));
  return explanation instanceof Error ? explanation.message : String(explanation);
}

test("a failed request to a bucket names the bucket, and the setting to check", () => {
  for (const [code, remedy] of [
    ["InvalidAccessKeyId", "Check UPLOAD_BUCKET_ACCESS_KEY."],
    ["SignatureDoesNotMatch", "Check UPLOAD_BUCKET_SECRET_KEY."],
    ["NoSuchBucket", "Create it, or check UPLOAD_BUCKET_NAME and UPLOAD_BUCKET_ENDPOINT."],
    ["PermanentRedirect", "Check UPLOAD_BUCKET_REGION."],
    ["NoCredentials", "Set UPLOAD_BUCKET_ACCESS_KEY and UPLOAD_BUCKET_SECRET_KEY."],
  ] as const) {
    const cause = Object.assign(new Error("ListObjectsV2 failed"), { code });
    const error = new FixityError("store-misconfigured", "Advice.", { cause });
    assert.equal(explained(error, BUCKET), `Cannot use UPLOAD_BUCKET_NAME=uploads: Advice. ${remedy}`);
  }
  const unreachable = new FixityError("store-unavailable", "Nothing listens at 127.0.0.1:1.");
  assert.match(explained(unreachable, BUCKET), /1:1\. Check UPLOAD_BUCKET_ENDPOINT, or try again later\.$/);
});

test("a folder names the system's error and a remedy for each of its kinds", () => {
  for (const [code, remedy] of [
    ["EROFS", /Mount the file system for writing/],
    ["ENOSPC", /Free some space/],
    ["EDQUOT", /Free some space/],
    ["EMFILE", /Raise the limit of open files/],
    ["EIO", /Check the disk/],
    ["ENOENT", /Nothing can be created there/],
    ["ELOOP", /set UPLOAD_DIR or --dir to another folder/i],
  ] as const) {
    const cause = Object.assign(new Error(`${code}: text, open '/srv/x'`), { code, errno: -1, syscall: "open" });
    const error = new FixityError("store-unavailable", "The store could not be read or written.", { cause });
    const message = explained(error, { UPLOAD_DIR: "/srv/x" });
    assert.ok(message.startsWith(`Cannot write to UPLOAD_DIR=/srv/x (${code}: text, open '/srv/x'). `), message);
    assert.match(message, remedy);
  }
  const unknown = new FixityError("store-misconfigured", "The layout is unknown.");
  assert.equal(explained(unknown, { UPLOAD_DIR: "/srv/x" }), "Cannot use UPLOAD_DIR=/srv/x: The layout is unknown.");
});

test("other errors are returned as they are", () => {
  const error = new FixityError("invalid-option", "Text.");
  assert.equal(explainStoreFailure(error, readConfig({})), error);
});
