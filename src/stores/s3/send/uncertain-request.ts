import { setTimeout as sleep } from "node:timers/promises";
import { isSameCopy, type ObjectHead } from "../api/objects.ts";

export interface Completion {
  /** S3 never confirmed it; the object was found, with the right size. */
  readonly isInferred: boolean;
}

/** A request that may be carried out although its answer never arrives. */
export interface UncertainRequest {
  /** Sends it. `signal` cuts it off once the object has been found. */
  readonly send: (signal: AbortSignal) => Promise<void>;
  /** Whether the object that it makes exists. A failure counts as "not yet". */
  readonly find: (signal: AbortSignal) => Promise<boolean>;
  /** Milliseconds between two calls of `find`. */
  readonly intervalMs: number;
}

/**
 * Waits for the answer to a completion or a copy, and meanwhile looks whether the object exists: S3
 * may take five minutes to report what can be known after seconds.
 */
export async function answeredOrFound({ send, find, intervalMs }: UncertainRequest): Promise<Completion> {
  const ended = new AbortController();
  const { signal } = ended;
  const look = async (): Promise<Completion> => {
    for (;;) {
      await sleep(intervalMs, undefined, { signal });
      if (await find(signal).catch(() => false)) return { isInferred: true };
    }
  };
  const answered = send(signal).then(() => ({ isInferred: false }));
  const found = look();
  // The loser of the race is ignored.
  for (const one of [answered, found]) one.catch(() => null);
  try {
    return await Promise.race([answered, found]);
  } finally {
    ended.abort();
  }
}

/** Whether an object of this size was found that is not the one that is to be replaced. */
export function isCopyOf(size: number, found: ObjectHead | null, replaced: ObjectHead | null): boolean {
  return found?.size === size && (replaced === null || !isSameCopy(found, replaced));
}
