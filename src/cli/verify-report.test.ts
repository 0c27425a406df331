import assert from "node:assert/strict";
import { test } from "node:test";
import { Tally } from "./verify-report.ts";

test("the progress has a bar, the prefix, blobs, bytes, rate, the remaining time and what is wrong", () => {
  let now = 0;
  const tally = new Tally(() => now);
  tally.expectPrefixes(256);
  assert.equal(tally.progress(70, false), "..............................  prefix 1 of 256, 0 blobs, 0 bytes");
  for (let count = 0; count < 64; count += 1) {
    tally.endPrefix();
    tally.add({ status: "intact", digest: null, size: 1024 });
    tally.addRead(1024);
  }
  tally.add({ status: "damaged", digest: null, size: 1024 });
  now = 64_000;
  const text = "prefix 65 of 256, 65 blobs, 64 KiB, 1 KiB/s, 3 min left, 1 damaged";
  assert.equal(tally.progress(120, false), `#######.......................  ${text}`);
  assert.equal(tally.progress(120, true), `███████░░░░░░░░░░░░░░░░░░░░░░░  ${text}`);
  assert.equal(tally.progress(text.length + 11, false), text, "no bar on a narrow terminal");
});

test("no time is estimated from few prefixes, and named blobs have no prefix", () => {
  let now = 0;
  const tally = new Tally(() => now);
  tally.add({ status: "intact", digest: null, size: 1 });
  assert.equal(tally.progress(120, false), "1 blob, 0 bytes");
  tally.expectPrefixes(256);
  tally.endPrefix();
  now = 10_000;
  assert.doesNotMatch(tally.progress(120, false), /left/);
});
