import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRetryAfter, retryDelay } from "./retry-delay.ts";

test("a delay is random, up to a limit that doubles with each failure until it reaches the maximum", (context) => {
  const limits = { firstMs: 100, maxMs: 5_000 };
  for (const [failures, longest] of [
    [1, 100],
    [2, 200],
    [6, 3_200],
    [7, 5_000],
    [2_000, 5_000],
  ] as const) {
    const random = context.mock.method(Math, "random", () => 0);
    assert.equal(retryDelay(failures, limits), 0);
    random.mock.mockImplementation(() => 0.5);
    assert.equal(retryDelay(failures, limits), longest / 2);
    random.mock.restore();
  }
});

test("Retry-After is seconds or a date, and anything else is null", () => {
  const now = Date.parse("Mon, 23 Nov 2026 10:00:00 GMT");
  for (const [value, ms] of [
    ["120", 120_000],
    ["0", 0],
    ["Mon, 23 Nov 2026 10:00:30 GMT", 30_000],
    ["Mon, 23 Nov 2026 09:00:00 GMT", 0],
    ["soon", null],
    ["", null],
    ["-1", null],
    ["1.5", null],
    ["9999999999", null],
    [null, null],
  ] as const) {
    assert.equal(parseRetryAfter(value, now), ms, String(value));
  }
});
