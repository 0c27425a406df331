/**
 * Waits for `work`, but no longer than until `signal` is aborted. `work` itself is not stopped; a
 * later failure of it is dropped. Leaves no listener behind.
 *
 * @throws the signal's reason, as it is
 */
export async function abortRace<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await work;
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason as Error);
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([aborted.promise, work]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/**
 * Waits for `work`, but no longer than `ms` milliseconds: then the result is `null`. `work` itself is
 * not stopped.
 *
 * @throws the failure of `work`, or the reason of `signal`
 */
export async function timeLimit<T>(work: Promise<T>, ms: number, signal?: AbortSignal): Promise<T | null> {
  const { promise: elapsed, resolve } = Promise.withResolvers<null>();
  const timer = setTimeout(() => resolve(null), ms);
  try {
    return await abortRace(Promise.race([work, elapsed]), signal);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Waits `ms` milliseconds. Unlike `setTimeout` of `node:timers/promises`, it also runs in browsers,
 * and rejects with the signal's reason itself instead of an `AbortError` around it.
 *
 * @throws the signal's reason
 */
export function delay(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(signal.reason as Error);
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
