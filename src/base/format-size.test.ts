import assert from "node:assert/strict";
import { test } from "node:test";
import { formatSize } from "./format-size.ts";

test("a size is formatted in the largest unit of which there is at least one", () => {
  const texts = [0, 1023, 1024, 1_572_864, 5 * 1024 ** 3].map(formatSize);
  assert.deepEqual(texts, ["0 bytes", "1,023 bytes", "1 KiB", "1.5 MiB", "5 GiB"]);
});
