import assert from "node:assert/strict";
import { test } from "node:test";
import { entityTag, expectRoot, expectTag, refuseError } from "./answers.ts";
import type { S3Answer } from "./client.ts";
import { S3Error } from "./s3-error.ts";

function answer(text: string, fields: Readonly<Record<string, string>> = {}): S3Answer {
  return { status: 200, headers: (name) => fields[name] ?? null, text };
}

function failing(code: string | null): (error: unknown) => true {
  return (error) => {
    assert(error instanceof S3Error, String(error));
    assert.equal(error.code, code);
    assert.equal(error.isRefusal, false, "what is said under 200 says nothing of what was done");
    return true;
  };
}

test("an error under 200 is one wherever it begins, and whatever its namespace", () => {
  const error = "<Error><Code>InternalError</Code></Error>";
  for (const text of [
    error,
    `<?xml version="1.0" encoding="UTF-8"?>\n${error}`,
    `\uFEFF${error}`,
    `<?xml version="1.0"?>${" ".repeat(100_000)}${error}`,
    `${"\r\n".repeat(100_000)}<?xml version="1.0"?>${error}`,
    '<Error xmlns="urn:x"><Code>InternalError</Code></Error>',
    '<s:Error xmlns:s="urn:x"><s:Code>InternalError</s:Code></s:Error>',
  ]) {
    assert.throws(() => refuseError("X", answer(text)), failing("InternalError"), text.trim().slice(0, 60));
  }
});

test("what only speaks of errors is none", () => {
  for (const text of [
    "",
    "<ListBucketResult><Key>&lt;Error&gt;</Key></ListBucketResult>",
    "<ErrorDocument/>",
    "<DeleteResult><Error><Code>AccessDenied</Code></Error></DeleteResult>",
  ]) {
    assert.doesNotThrow(() => refuseError("X", answer(text)), text);
  }
});

test("an answer with another root, or the beginning of the right one, is a failure", () => {
  assert.equal(expectRoot("X", answer("<R><A>1</A></R>"), "R").text("A"), "1");
  for (const text of ["", "<S/>", "<R><A>1</A>", "<R", "OK", "<html><R/></html>"]) {
    assert.throws(() => expectRoot("X", answer(text), "R"), failing(null), text);
  }
});

test("entity tags are in quotation marks, however they came", () => {
  assert.equal(entityTag('"abc"'), '"abc"');
  assert.equal(entityTag("abc"), '"abc"');
  assert.equal(entityTag('"abc-2"'), '"abc-2"');
  for (const none of [null, "", '""']) assert.equal(entityTag(none), null);
  assert.equal(expectTag("X", answer("", { etag: "abc" })), '"abc"');
  assert.throws(() => expectTag("X", answer("", { etag: '""' })), failing(null));
});
