import assert from "node:assert/strict";
import { test } from "node:test";
import { MovingRate } from "./moving-rate.ts";

test("the rate is that of the last five seconds", () => {
  const rate = new MovingRate();
  const rates = [0, 1000, 2000, 8000, 14_000].map((at) => rate.sample(at <= 2000 ? at / 1000 : at, at));
  assert.deepEqual(rates, [null, 1, 1, null, null]);
  assert.equal(rate.sample(16_000, 16_000), 1000);
});

test("there is no rate until the samples span a tenth of a second", () => {
  const rate = new MovingRate();
  assert.deepEqual([rate.sample(0, 0), rate.sample(50, 99), rate.sample(50, 100)], [null, null, 500]);
});

test("a count that goes down starts the measurement over", () => {
  const rate = new MovingRate();
  rate.sample(1000, 0);
  assert.equal(rate.sample(2000, 1000), 1000);
  assert.equal(rate.sample(500, 2000), null);
  assert.equal(rate.sample(600, 3000), 100);
});
