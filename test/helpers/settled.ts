import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

/** Waits, for at most ten seconds, until `value` gives `wanted`; what it gave last. */
export async function settled<T>(value: () => Promise<T>, wanted: (value: T) => boolean): Promise<T> {
  for (let tries = 0; tries < 200; tries += 1) {
    const given = await value();
    if (wanted(given)) return given;
    await sleep(50);
  }
  return value();
}

/** Waits, for at most ten seconds, until something is so; fails where it does not come to that. */
export async function until(condition: () => Promise<boolean>): Promise<void> {
  assert.ok(await settled(condition, (isSo) => isSo), "it did not come to that");
}
