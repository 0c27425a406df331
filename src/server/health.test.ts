import assert from "node:assert/strict";
import { test } from "node:test";
import { FixityError } from "../core/errors.ts";
import { Health } from "./health.ts";

test("any number of health checks asks the store at most once per second", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  let asked = 0;
  const health = new Health(async () => void asked++);
  await Promise.all([health.confirm(), health.confirm()]);
  await health.confirm();
  assert.equal(asked, 1);
  context.mock.timers.tick(1000);
  await health.confirm();
  assert.equal(asked, 2);
});

test("a failing store is reported with its reason, and asked again", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const reason = new FixityError("store-misconfigured", "The store's folder is read-only.");
  let failing = true;
  const health = new Health(async () => {
    if (failing) throw reason;
  });
  const failure = { code: "store-unavailable", cause: reason };
  await assert.rejects(health.confirm(), failure);
  failing = false;
  await assert.rejects(health.confirm(), failure);
  context.mock.timers.tick(1000);
  await health.confirm();
});

test("a store that hangs is reported after a timeout, and not asked again meanwhile", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  let asked = 0;
  const store = Promise.withResolvers<void>();
  const health = new Health(() => (asked++, store.promise));
  for (let round = 0; round < 2; round++) {
    const confirmed = assert.rejects(health.confirm(), { code: "store-unavailable" });
    context.mock.timers.tick(3000);
    await confirmed;
  }
  assert.equal(asked, 1);
  store.resolve();
  await health.confirm();
});
