import assert from "node:assert/strict";
import { test } from "node:test";
import { ERRORS } from "../../src/core/errors.ts";
import { Host, HOSTS } from "../helpers/hosts.ts";
import { until } from "../helpers/settled.ts";
import { cellsOf, CONCURRENT, NEVER_EARLY, ROWS, runCells } from "./early-answers.ts";

test("every code of the catalogue is a row of the matrix, or is said to be no early answer", () => {
  const rows = new Set<string>(ROWS.map(({ code }) => code));
  for (const [code, { status }] of Object.entries(ERRORS)) {
    assert.notEqual(rows.has(code), code in NEVER_EARLY, code);
    for (const row of ROWS.filter((row) => row.code === code)) assert.equal(row.status, status, code);
  }
});

for (const name of HOSTS) {
  test(
    `${name}: a client that reads nothing before it has sent everything reads every early answer`,
    CONCURRENT,
    async (t) => {
      await using host = await Host.start(name);
      await runCells(t, host, host.port, cellsOf(name, { manners: ["at once"] }));
      await until(async () => (await host.connections()) === 0);
    },
  );
}
