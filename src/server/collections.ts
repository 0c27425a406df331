import type { Logger } from "pino";
import { delay } from "../base/abort-race.ts";
import type { Fixity } from "../core/fixity.ts";

/**
 * The random delay added to each wait, as a share of the period, so that several servers do not
 * check at the same moment.
 */
const JITTER_RATIO = 1 / 4;

export interface CollectionOptions {
  /** The shortest time between two collections, in milliseconds. */
  readonly periodMs: number;
  /** Ends the collections. */
  readonly signal: AbortSignal;
  readonly log: Pick<Logger, "warn">;
}

/**
 * Collects garbage at once, and then once per period, until `signal` is aborted.
 *
 * If the store keeps a mark of its last complete collection, by whatever server, a mark younger
 * than a period delays the next collection until it is due. So about one of several servers over
 * one store collects per period, and a restart does not collect again. A server that dies while it
 * collects leaves no mark, so the next server that checks collects. Without a mark, or if it cannot
 * be read, every server collects.
 */
export async function collectPeriodically(fixity: Fixity, options: CollectionOptions): Promise<void> {
  const { periodMs, signal, log } = options;
  while (!signal.aborted) {
    const ageMs = (await fixity.store.collectionMark?.age(signal).catch(() => null)) ?? Infinity;
    // An age that is not a number counts as due, too.
    const isDue = !(ageMs < periodMs);
    if (isDue && !signal.aborted) {
      await fixity.collect(signal).catch((error: unknown) => {
        if (!signal.aborted) log.warn({ err: error }, "garbage collection failed in part");
      });
    }
    const waitMs = (isDue ? periodMs : periodMs - ageMs) + Math.random() * JITTER_RATIO * periodMs;
    await delay(waitMs, signal).catch(() => null);
  }
}
