import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Meter } from "./meter.ts";
import type { UploadProgress } from "./types.ts";

const SECOND = 1000;

function metered(total: number | null): { meter: Meter; reports: UploadProgress[] } {
  const reports: UploadProgress[] = [];
  return { meter: new Meter(total, (progress) => reports.push(progress)), reports };
}

test("rate and remaining time are those of the last seconds", (context) => {
  context.after(() => mock.timers.reset());
  mock.timers.enable({ apis: ["Date"] });
  const { meter, reports } = metered(10_000);
  const sent = meter.counter(0);
  meter.reached(0);
  for (let second = 1; second <= 8; second += 1) {
    mock.timers.tick(SECOND);
    sent(second <= 2 ? second : second * 500);
  }
  assert.deepEqual(reports.at(-1), {
    phase: "sending",
    bytes: 4000,
    total: 10_000,
    rate: 500,
    remaining: 12,
    wait: null,
  });
});

test("there are at most ten reports per second, but a new phase is reported at once", (context) => {
  context.after(() => mock.timers.reset());
  mock.timers.enable({ apis: ["Date"] });
  const { meter, reports } = metered(1000);
  const sent = meter.counter(0);
  for (let bytes = 0; bytes <= 1000; bytes += 1) {
    mock.timers.tick(1);
    sent(bytes);
  }
  assert.ok(reports.length <= 12, `${reports.length}`);
  assert.deepEqual([reports.at(-1)?.phase, reports.at(-1)?.bytes], ["storing", 1000]);
});

test("bytes that are sent twice count twice as sent, and once as progress", () => {
  const { meter, reports } = metered(100);
  const first = meter.counter(0);
  first(30);
  first(60);
  meter.reached(20);
  meter.counter(20)(80);
  assert.equal(meter.sent, 140);
  assert.equal(reports.at(-1)?.bytes, 100);
});

test("a stream that has not ended has neither a total nor a remaining time", () => {
  const { meter, reports } = metered(null);
  meter.reached(5);
  assert.deepEqual(reports, [{ phase: "sending", bytes: 5, total: null, rate: null, remaining: null, wait: null }]);
});

test("the last count before a standstill is reported, and nothing after the end", (context) => {
  context.after(() => mock.timers.reset());
  mock.timers.enable({ apis: ["Date", "setTimeout"] });
  const { meter, reports } = metered(100);
  meter.reached(10);
  meter.reached(20);
  meter.reached(50);
  mock.timers.tick(300);
  meter.reached(60);
  meter.end();
  mock.timers.tick(300);
  assert.deepEqual(
    reports.map(({ bytes }) => bytes),
    [10, 50],
  );
});
