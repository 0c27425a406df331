/**
 * Three servers on three machines, with the times that they have in production: one that is killed is
 * judged gone after three minutes without a sign of life, and one that lives is not. Takes four to
 * six minutes.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { needing } from "../helpers/requirements.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { WebhookReceiver } from "../helpers/webhook-receiver.ts";
import { documentOf, eventDocuments, startMachine, store } from "./machines.ts";

/** How long a condition is waited for: many times what it takes. */
const WAIT_MAX_MS = 20 * 60_000;

async function eventually(condition: () => Promise<boolean>): Promise<void> {
  const startedAt = performance.now();
  while (!(await condition())) {
    assert.ok(performance.now() - startedAt < WAIT_MAX_MS, "the condition did not hold in time");
    await sleep(1_000);
  }
}

test(
  "the events of a killed machine are taken over, those of a machine that lives are not",
  needing("unshare"),
  async (t) => {
    await using folder = await StoreFolder.make();
    await using away = await WebhookReceiver.start();
    await using receiver = await WebhookReceiver.start();
    away.status = 503;
    await using killed = await startMachine(folder, away);
    const env = { ...away.env, UPLOAD_OPEN: "yes" };
    await using living = await ServerProcess.start({ dir: folder.path, env });
    await using other = await startMachine(folder, receiver);
    const [ofKilled, ofLiving] = [await store(killed), await store(living)];
    const names = { killed: await documentOf(folder, ofKilled), living: await documentOf(folder, ofLiving) };
    await killed.stop("SIGKILL");
    const killedAt = performance.now();
    await eventually(async () => !(await eventDocuments(folder)).has(names.killed));
    t.diagnostic(`taken over ${Math.round((performance.now() - killedAt) / 1_000)} s after the kill`);
    // Both have been written at the same time; only one shows since then that its process lives.
    assert.equal(await documentOf(folder, ofLiving), names.living);
    assert.deepEqual(receiver.of("blob.stored", ofLiving), []);
    // It may have taken the event of the killed one, which it cannot deliver, and releases both.
    assert.deepEqual(await living.stop(), { code: 0, signal: null });
    for (const hex of [ofKilled, ofLiving]) {
      await eventually(async () => receiver.of("blob.stored", hex).length > 0);
      assert.equal(new Set(receiver.of("blob.stored", hex).map(({ id }) => id)).size, 1);
    }
    await other.stop("SIGKILL");
  },
);
