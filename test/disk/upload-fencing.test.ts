import assert from "node:assert/strict";
import { test } from "node:test";
import { proveFencing } from "./upload-fencing.ts";

test("a request that loses its upload to another instance, between any two file-system calls, fails with upload-superseded", async (t) => {
  const { fenced, of } = await proveFencing("completes it", "released");
  t.diagnostic(`${fenced} of ${of}`);
  assert.ok(fenced > of / 2, `${fenced} of ${of}`);
});
