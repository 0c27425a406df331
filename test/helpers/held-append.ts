/**
 * A `fetch` that holds back one append: the first that begins after other appends. `reached`
 * resolves when it is held. It is never sent, and fails when its signal aborts, so that a test
 * interrupts an upload of which the server has a part, and only a part.
 */
export function holdingAppend(fetch: typeof globalThis.fetch = globalThis.fetch): {
  readonly reached: Promise<void>;
  readonly fetch: typeof globalThis.fetch;
} {
  const { promise, resolve } = Promise.withResolvers<void>();
  let hasHeld = false;
  return {
    reached: promise,
    fetch: (url, init) => {
      const { "Upload-Offset": offset = "0" } = { ...(init?.headers as Record<string, string>) };
      if (hasHeld || init?.method !== "PATCH" || offset === "0") return fetch(url, init);
      hasHeld = true;
      resolve();
      return untilAborted(init.signal as AbortSignal);
    },
  };
}

/** Rejects with the reason of the signal once it aborts. */
export function untilAborted(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason as Error);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  return promise;
}
