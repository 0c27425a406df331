import assert from "node:assert/strict";
import { test } from "node:test";
import { errorIn } from "../../src/client/responses.ts";
import { ERRORS, type RetryAdvice } from "../../src/core/errors.ts";

test("a damaged file is recognised in a response without content, as to HEAD", () => {
  const field = (name: string): string | null => (name === "problem-code" ? "blob-damaged" : null);
  const error = errorIn({ status: 500, text: "", field });
  assert.equal(error.code, "blob-damaged");
  assert.equal(error.retryable, false);
});

/** What the client itself may try again. After `restart` it begins another upload, where that is safe. */
const RETRYABLE: ReadonlySet<RetryAdvice> = new Set<RetryAdvice>(["later", "resend", "resume", "resize"]);

test("the client retries exactly the failures for which the error catalogue advises it", () => {
  for (const [code, { status, retry }] of Object.entries(ERRORS)) {
    const error = errorIn({ status, text: JSON.stringify({ code, detail: "x" }), field: () => null });
    assert.equal(error.code, code);
    assert.equal(error.retryable, RETRYABLE.has(retry), code);
  }
});
