import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { REFERENCE_PATH, settingsReference } from "../../scripts/settings-reference.ts";
import { SETTINGS } from "../../src/settings/settings.ts";

test("docs/settings.md is what the table of settings says", async () => {
  const written = await readFile(REFERENCE_PATH, "utf8");
  assert.equal(written, settingsReference(), "run: npm run docs:settings");
});

test("the reference has one row for every setting, with its variable", () => {
  const rows = settingsReference().matchAll(/^\| `([A-Z_]+)`/gm);
  const variables = Array.from(rows, ([, variable]) => variable);
  const known = Object.values(SETTINGS).map(({ env }) => env);
  assert.deepEqual(new Set(variables), new Set(known));
  assert.equal(variables.length, known.length);
});
