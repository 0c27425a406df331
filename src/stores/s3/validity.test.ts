import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { type Validity, validityOf } from "./validity.ts";

/** Not at the beginning of anything. */
const NOW = Date.parse("2026-11-23T08:34:56.789Z");

function at(context: TestContext, now: number): void {
  context.mock.timers.reset();
  context.mock.timers.enable({ apis: ["Date"], now });
}

/** Seconds from now until the end. */
function left({ until }: Validity): number {
  return (until.getTime() - Date.now()) / 1000;
}

for (const lifetime of [1, 2, 3, 60, 300, 604_800]) {
  test(`what may hold ${lifetime} s holds no longer, and at least half of it`, (context) => {
    for (let n = 0; n < 50; n += 1) {
      at(context, NOW + n * 137_911);
      const validity = validityOf(lifetime);
      assert.ok(validity.from.getTime() <= Date.now());
      assert.ok(validity.seconds <= lifetime);
      assert.ok(left(validity) > Math.floor(lifetime / 2) - (lifetime === 1 ? 0 : 1) && left(validity) <= lifetime);
      assert.equal(validity.until.getTime(), validity.from.getTime() + validity.seconds * 1000);
    }
  });
}

test("within half the lifetime everybody gets the same", (context) => {
  at(context, Date.parse("2026-11-23T08:32:30Z"));
  const first = validityOf(300);
  at(context, Date.parse("2026-11-23T08:34:59.999Z"));
  assert.deepEqual(validityOf(300), first);
  at(context, Date.parse("2026-11-23T08:35:00Z"));
  assert.notDeepEqual(validityOf(300), first);
});

test("nothing outlives the keys", (context) => {
  at(context, NOW);
  const end = NOW + 100_500;
  const { until } = validityOf(300, new Date(end));
  assert.equal(until.getTime(), Math.floor(end / 1000) * 1000);
  assert.deepEqual(validityOf(300, new Date(NOW + 3_600_000)), validityOf(300));
});

test("with keys that have ended nothing is made", (context) => {
  at(context, NOW);
  for (const end of [NOW - 1000, NOW]) {
    assert.throws(() => validityOf(300, new Date(end)), { code: "store-misconfigured" });
  }
});

test("a lifetime that S3 does not know is refused", () => {
  for (const lifetime of [0, -1, 1.5, 604_801, Number.NaN, Infinity]) {
    assert.throws(() => validityOf(lifetime), { code: "invalid-option" }, String(lifetime));
  }
});
