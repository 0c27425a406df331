import { setTimeout as sleep } from "node:timers/promises";

/** A request whose answer may never come although it has been carried out. */
export interface DoubtfulRequest<T> {
  /** Sends it. `signal` cuts it off once the object has been found. */
  readonly send: (signal: AbortSignal) => Promise<T>;
  /** Whether the object that it makes is there. A failure counts as "not yet". */
  readonly look: (signal: AbortSignal) => Promise<boolean>;
  /** Milliseconds between looks. */
  readonly every: number;
}

/**
 * Waits for the answer to a completion or a copy, and looks beside it whether the object is there: what S3 may take five
 * minutes to say can be known after seconds.
 *
 * @returns the answer; `null` if the object was found first
 */
export async function answeredOrFound<T>({ send, look, every }: DoubtfulRequest<T>): Promise<{ answer: T } | null> {
  const ended = new AbortController();
  const { signal } = ended;
  const watch = async (): Promise<null> => {
    for (;;) {
      await sleep(every, undefined, { signal });
      if (await look(signal).catch(() => false)) return null;
    }
  };
  const answered = send(signal).then((answer) => ({ answer }));
  const found = watch();
  // Whichever of the two comes second is of no interest.
  for (const one of [answered, found]) one.catch(() => null);
  try {
    return await Promise.race([answered, found]);
  } finally {
    ended.abort();
  }
}
