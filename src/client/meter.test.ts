import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Meter } from "./meter.ts";
import type { UploadProgress } from "./types.ts";

const SECOND = 1000;

function metered(total: number | null): { meter: Meter; heard: UploadProgress[] } {
  const heard: UploadProgress[] = [];
  return { meter: new Meter({ onProgress: (progress) => heard.push(progress), total }), heard };
}

test("rate and remaining time are those of the last seconds", (context) => {
  context.after(() => mock.timers.reset());
  mock.timers.enable({ apis: ["Date"] });
  const { meter, heard } = metered(10_000);
  const sent = meter.counter(0);
  meter.stands(0);
  for (let second = 1; second <= 8; second += 1) {
    mock.timers.tick(SECOND);
    sent(second <= 2 ? second : second * 500);
  }
  assert.deepEqual(heard.at(-1), { phase: "sending", bytes: 4000, total: 10_000, rate: 500, remaining: 12 });
});

test("reports come ten times a second at most, but for a new phase", (context) => {
  context.after(() => mock.timers.reset());
  mock.timers.enable({ apis: ["Date"] });
  const { meter, heard } = metered(1000);
  const sent = meter.counter(0);
  for (let bytes = 0; bytes <= 1000; bytes += 1) {
    mock.timers.tick(1);
    sent(bytes);
  }
  assert.ok(heard.length <= 12, `${heard.length}`);
  assert.deepEqual([heard.at(-1)?.phase, heard.at(-1)?.bytes], ["storing", 1000]);
});

test("bytes that are sent twice count twice in what was sent, and once in how far it is", () => {
  const { meter, heard } = metered(100);
  const first = meter.counter(0);
  first(30);
  first(60);
  meter.stands(20);
  meter.counter(20)(80);
  assert.equal(meter.sent, 140);
  assert.equal(heard.at(-1)?.bytes, 100);
});

test("of a stream that has not ended, neither total nor remaining time are known", () => {
  const { meter, heard } = metered(null);
  meter.stands(5);
  assert.deepEqual(heard, [{ phase: "sending", bytes: 5, total: null, rate: null, remaining: null }]);
});

test("the last count before a standstill is told, and none after the end", async () => {
  const heard: number[] = [];
  const { promise: told, resolve } = Promise.withResolvers<void>();
  const meter = new Meter({
    total: 100,
    onProgress: ({ bytes }) => {
      heard.push(bytes);
      if (bytes === 50) resolve();
    },
  });
  meter.stands(10);
  meter.stands(20);
  meter.stands(50);
  await told;
  meter.stands(60);
  meter.end();
  await new Promise((wake) => {
    setTimeout(wake, 300);
  });
  assert.deepEqual(heard, [10, 50]);
});
