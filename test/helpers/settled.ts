import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

/** Calls `value` for at most ten seconds until its result is `wanted`. @returns the last result */
export async function settled<T>(value: () => Promise<T>, wanted: (value: T) => boolean): Promise<T> {
  for (let tries = 0; tries < 200; tries += 1) {
    const given = await value();
    if (wanted(given)) return given;
    await sleep(50);
  }
  return value();
}

/** Waits for at most ten seconds until a condition holds, and fails if it does not. */
export async function until(condition: () => Promise<boolean>): Promise<void> {
  assert.ok(await settled(condition, (isSo) => isSo), "the condition did not hold in time");
}
