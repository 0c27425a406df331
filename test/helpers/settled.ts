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
