import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { asFixityError, ERRORS, FixityError } from "./errors.ts";

test("docs/errors.md explains exactly the codes of the catalogue, each with its status and retry advice", async () => {
  const text = await readFile(new URL("../../docs/errors.md", import.meta.url), "utf8");
  const documented = [...text.matchAll(/^\| `([a-z-]+)` \| (\d{3}) \| ([a-z]+) \|/gm)].map(
    ([, code, status, retry]) => `${code} ${status} ${retry}`,
  );
  const known = Object.entries(ERRORS).map(([code, { status, retry }]) => `${code} ${status} ${retry}`);
  assert.deepEqual(documented.sort(), known.sort());
});

test("only failures after which a later retry helps state when to retry", () => {
  for (const [code, { retry, retryAfterSeconds }] of Object.entries(ERRORS)) {
    if (retryAfterSeconds !== undefined) assert.equal(retry, "later", code);
  }
});

test("an unknown error becomes an internal error that keeps it as its cause", () => {
  const known = new FixityError("store-busy", "Busy.");
  assert.equal(asFixityError(known), known);
  const cause = new TypeError("x is not a function");
  const { code, message, cause: kept } = asFixityError(cause);
  assert.deepEqual([code, kept], ["internal-error", cause]);
  assert.doesNotMatch(message, /function/);
});

test("an error has the status of its response", () => {
  const { status } = new FixityError("size-limit-exceeded", "too large");
  assert.equal(status, 413);
});
