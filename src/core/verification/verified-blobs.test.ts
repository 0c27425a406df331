import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Digest } from "../digest.ts";
import { VerifiedBlobs } from "./verified-blobs.ts";

const DAY_MS = 24 * 3_600_000;
const DIGEST = Digest.parse("a".repeat(64));

test("a copy is verified for a day, and another copy is not", (t) => {
  let now = 0;
  t.mock.method(performance, "now", () => now);
  const verified = new VerifiedBlobs();
  verified.add(DIGEST, "one");
  now = DAY_MS - 1;
  assert.deepEqual([verified.has(DIGEST, "one"), verified.has(DIGEST, "other")], [true, false]);
  now = DAY_MS;
  assert.equal(verified.has(DIGEST, "one"), false);
});

test("an earlier verification of the same copy changes nothing", (t) => {
  let now = DAY_MS;
  t.mock.method(performance, "now", () => now);
  const verified = new VerifiedBlobs();
  verified.add(DIGEST, "one");
  verified.add(DIGEST, "one", 0);
  now = 2 * DAY_MS - 1;
  assert.equal(verified.has(DIGEST, "one"), true);
});

test("a digest does not keep the request in memory of which it was a part", () => {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  const verified = new VerifiedBlobs();
  const query = `?${"x".repeat(64 * 1024)}`;
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  for (let count = 0; count < 1000; count += 1) {
    // As a server receives it: one flat string.
    const target = Buffer.from(`/uploads/${randomBytes(32).toString("hex")}${query}`).toString("latin1");
    const [, hex = ""] = /^\/uploads\/([0-9a-f]{64})/.exec(target) ?? [];
    verified.add(Digest.parse(hex), "identity");
  }
  collectGarbage();
  const grown = process.memoryUsage().heapUsed - before;
  assert(grown < 16 * 1024 ** 2, `${grown} bytes for 1,000 digests`);
});
