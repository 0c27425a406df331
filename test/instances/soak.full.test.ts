/** Several instances over one store behind nginx, of which one is killed every few seconds. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { needing } from "../helpers/requirements.ts";
import { whyNoGateway } from "../s3/gateway.ts";
import { CLIENTS } from "./clients.ts";
import { soak } from "./soak.ts";

for (const store of ["disk", "s3"] as const) {
  const missing = store === "s3" ? whyNoGateway() : null;
  const options = missing === null ? needing("nginx", "curl") : { skip: missing };
  test(`three instances over one ${store} store: kills lose nothing, and every client finishes`, options, async () => {
    const report = await soak({ store, seconds: 60, killSeconds: 5 });
    const { wrong, lost, failures } = report;
    assert.deepEqual({ wrong, lost, failures }, { wrong: [], lost: [], failures: [] });
    assert.ok(report.kills >= 5, `${report.kills} kills`);
    assert.deepEqual(Object.keys(report.stored).sort(), Object.keys(CLIENTS).sort());
    assert.ok(report.reads > 0);
  });
}
