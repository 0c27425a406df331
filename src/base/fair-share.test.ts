import assert from "node:assert/strict";
import { test } from "node:test";
import { FairShare } from "./fair-share.ts";

function using(total: number, uses: Readonly<Record<string, number>>): FairShare {
  const shares = new FairShare(total);
  for (const [user, count] of Object.entries(uses)) {
    for (let use = 0; use < count; use += 1) shares.add(user === "none" ? null : user);
  }
  return shares;
}

test("a share is a twentieth, but 16 at least, and half of a small total at most", () => {
  const shares = [1, 2, 4, 20, 32, 100, 320, 1000, 10_000].map((total) => new FairShare(total).share);
  assert.deepEqual(shares, [1, 1, 2, 10, 16, 16, 16, 50, 500]);
  assert.equal(new FairShare(Infinity).isExceededBy("a"), false);
});

test("from three quarters of the total on, users that have reached their share get no more", () => {
  assert.equal(using(1000, { a: 749 }).isExceededBy("a"), false);
  assert.equal(using(1000, { a: 750 }).isExceededBy("a"), true);
  assert.equal(using(1000, { a: 750 }).isExceededBy("b"), false);
  assert.equal(using(1000, { a: 701, b: 49 }).isExceededBy("b"), false);
  assert.equal(using(1000, { a: 700, b: 50 }).isExceededBy("b"), true);
  assert.equal(using(1000, { none: 900, b: 49 }).isExceededBy("b"), false);
});

test("users without a share are counted and never limited", () => {
  const shares = using(100, { none: 100 });
  assert.equal(shares.used, 100);
  assert.equal(shares.isExceededBy(null), false);
});

test("removed uses are free again", () => {
  const shares = using(100, { a: 80, none: 2 });
  for (let use = 0; use < 80; use += 1) shares.remove("a");
  shares.remove(null);
  assert.equal(shares.used, 1);
  assert.equal(shares.isExceededBy("a"), false);
});
