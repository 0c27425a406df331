import assert from "node:assert/strict";
import { test } from "node:test";
import { FixityError } from "../core/errors.ts";
import type { Principal, PrincipalLimits } from "./principal.ts";
import { PrincipalLimiter } from "./principal-limiter.ts";

const HOUR_MS = 3_600_000;

function principal(limits: PrincipalLimits, name = "ci"): Principal {
  return { kind: "token", name, may: new Set(), limits };
}

function refusal(work: () => unknown): FixityError {
  try {
    work();
  } catch (error) {
    if (error instanceof FixityError) return error;
  }
  throw new assert.AssertionError({ message: "was not refused" });
}

test("a principal has as many running requests as its limit, and others have their own", () => {
  const limiter = new PrincipalLimiter();
  const ci = principal({ maxRequests: 2 });
  const first = limiter.enter(ci);
  limiter.enter(ci);
  const error = refusal(() => limiter.enter(ci));
  assert.deepEqual([error.code, error.facts], ["principal-limit-exceeded", { limit: 2 }]);
  assert.ok(limiter.enter(principal({ maxRequests: 2 }, "other")));
  first?.[Symbol.dispose]();
  assert.ok(limiter.enter(ci));
});

test("a principal without limits is not counted", () => {
  const limiter = new PrincipalLimiter();
  assert.equal(limiter.enter(principal({})), null);
  limiter.addBytes(principal({}), Number.MAX_SAFE_INTEGER);
  limiter.assertBytes(principal({}), Number.MAX_SAFE_INTEGER);
});

test("bytes count for 24 hours, and the refusal states when there is room again", () => {
  let now = 1000 * HOUR_MS;
  const limiter = new PrincipalLimiter(() => now);
  const ci = principal({ maxBytesPerDay: 100 });
  limiter.addBytes(ci, 60);
  now += 5 * HOUR_MS;
  limiter.addBytes(ci, 40);
  const error = refusal(() => limiter.addBytes(ci, 1));
  assert.deepEqual(error.facts, { limit: 100, used: 100 });
  assert.equal(error.retryAfterSeconds, 19 * 3600);
  assert.equal(refusal(() => limiter.assertBytes(ci, 61)).retryAfterSeconds, 24 * 3600);
  now += 19 * HOUR_MS - 1;
  assert.equal(refusal(() => limiter.addBytes(ci, 1)).retryAfterSeconds, 1);
  now += 1;
  limiter.addBytes(ci, 60);
  assert.equal(refusal(() => limiter.addBytes(ci, 1)).code, "principal-limit-exceeded");
  now += 100 * HOUR_MS;
  limiter.addBytes(ci, 100);
});

test("bytes that were refused do not count", () => {
  const limiter = new PrincipalLimiter();
  const ci = principal({ maxBytesPerDay: 10 });
  refusal(() => limiter.addBytes(ci, 11));
  limiter.addBytes(ci, 10);
});

test("the memory of principals is bounded, and those in use are kept", () => {
  const limiter = new PrincipalLimiter();
  const busy = principal({ maxRequests: 1 }, "busy");
  limiter.enter(busy);
  for (let index = 0; index < 25_000; index += 1)
    limiter.enter(principal({ maxRequests: 1 }, `u${index}`))?.[Symbol.dispose]();
  assert.equal(refusal(() => limiter.enter(busy)).code, "principal-limit-exceeded");
});
