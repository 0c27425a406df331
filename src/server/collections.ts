import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import type { Fixity } from "../core/fixity.ts";

/** Of the period: how much later than due a server may look, so that several do not look in the same moment. */
const JITTER = 1 / 4;

export interface CollectionOptions {
  /** Milliseconds between two collections, at least. */
  readonly periodMs: number;
  /** Ends it all. */
  readonly signal: AbortSignal;
  readonly log: Pick<Logger, "warn">;
}

/**
 * Collects at once, and then once a period, until it is stopped. If the store keeps a mark of the last collection, on whatever
 * server that was, a younger mark than a period puts the collection off until it is due: of several servers over one store
 * about one collects in each period, and a restart does not collect again. A server that dies while it collects leaves no
 * mark, so the next one to look does it. Without a mark, or if it cannot be read, every server collects.
 */
export async function collectPeriodically(fixity: Fixity, options: CollectionOptions): Promise<void> {
  const { periodMs, signal, log } = options;
  while (!signal.aborted) {
    const age = (await fixity.store.collectionMark?.age(signal).catch(() => null)) ?? Infinity;
    const isDue = !(age < periodMs);
    if (isDue && !signal.aborted) {
      await fixity.collect(signal).catch((error: unknown) => {
        if (!signal.aborted) log.warn({ err: error }, "not everything left behind could be removed");
      });
    }
    const waitMs = (isDue ? periodMs : periodMs - age) + Math.random() * JITTER * periodMs;
    await sleep(waitMs, undefined, { signal, ref: false }).catch(() => null);
  }
}
