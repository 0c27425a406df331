import assert from "node:assert/strict";
import { test } from "node:test";
import { errorIn } from "../../src/client/responses.ts";
import { ERRORS, type RetryAdvice } from "../../src/core/errors.ts";

/** What the client itself may try again. After `restart` it begins another upload, where that is safe. */
const RETRYABLE: ReadonlySet<RetryAdvice> = new Set<RetryAdvice>(["later", "resend", "resume", "resize"]);

test("the client retries exactly the failures for which the error catalogue advises it", () => {
  for (const [code, { status, retry }] of Object.entries(ERRORS)) {
    const error = errorIn({ status, text: JSON.stringify({ code, detail: "x" }), field: () => null });
    assert.equal(error.code, code);
    assert.equal(error.retryable, RETRYABLE.has(retry), code);
  }
});
