import assert from "node:assert/strict";
import { test } from "node:test";
import { SETTING_GROUPS } from "./setting-groups.ts";
import { SETTINGS } from "./settings.ts";

test("every setting is in exactly one group", () => {
  const grouped = SETTING_GROUPS.flatMap(({ settings }) => Object.keys(settings));
  assert.deepEqual(grouped.toSorted(), Object.keys(SETTINGS).toSorted());
});
