import assert from "node:assert/strict";
import { test } from "node:test";
import { proveFencing } from "./upload-fencing.ts";

test("a request that another instance takes an upload from, between any two file-system calls, is told so", async (t) => {
  const { fenced, of } = await proveFencing("completes it", "released");
  t.diagnostic(`${fenced} of ${of}`);
  assert.ok(fenced > of / 2, `${fenced} of ${of}`);
});
