import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDuration, parseSize } from "./quantity.ts";

test("a size is in bytes, or in decimal or binary units", () => {
  const sizes = { "0": 0, "4096": 4096, "10 MB": 1e7, "512KiB": 524_288, "5gib": 5 * 1024 ** 3, "1.5 MiB": 1_572_864 };
  for (const [text, bytes] of Object.entries(sizes)) assert.equal(parseSize(text), bytes, text);
  for (const text of ["", "-1", "1e3", "5 gigs", "MiB", "9999999TiB", "1 2", "0x10"])
    assert.equal(parseSize(text), null, text);
});

test("a duration needs a unit", () => {
  const times = { "0": 0, "500ms": 500, "60s": 60_000, "1.5m": 90_000, "24h": 86_400_000, "7d": 604_800_000 };
  for (const [text, milliseconds] of Object.entries(times)) assert.equal(parseDuration(text), milliseconds, text);
  for (const text of ["", "60", "1y", "-1s"]) assert.equal(parseDuration(text), null, text);
});
