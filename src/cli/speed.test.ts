import assert from "node:assert/strict";
import { test } from "node:test";
import { Speed } from "./speed.ts";

test("a rate is that of the last seconds, and unknown before half a second has passed", () => {
  const speed = new Speed();
  assert.equal(speed.at(0, 0), null);
  assert.equal(speed.at(100, 400), null);
  assert.equal(speed.at(1000, 1000), 1000);
  for (let second = 2; second <= 20; second++) speed.at(1000 + (second - 1) * 5000, second * 1000);
  assert.equal(speed.at(1000 + 20 * 5000, 21_000), 5000);
});

test("what stands still comes to nothing, and what begins anew is not negative", () => {
  const speed = new Speed();
  speed.at(5000, 0);
  for (let time = 1000; time <= 10_000; time += 1000) speed.at(5000, time);
  assert.equal(speed.at(5000, 11_000), 0);
  assert.equal(speed.at(0, 12_000), 0);
});
