import assert from "node:assert/strict";
import { test } from "node:test";
import type { Successor } from "../helpers/fencing.ts";
import { type Left, proveFencing } from "./upload-fencing.ts";

for (const successor of ["completes it", "keeps it", "removes it"] satisfies Successor[]) {
  for (const left of ["released", "by a dead process"] satisfies Left[]) {
    if (successor === "completes it" && left === "released") continue; // in the short suite
    test(`a request for an upload that was left ${left} is fenced off between any two calls by a request that ${successor}`, async (t) => {
      const { fenced, of } = await proveFencing(successor, left);
      t.diagnostic(`${fenced} of ${of}`);
      assert.ok(fenced > of / 2, `${fenced} of ${of}`);
    });
  }
}
