import { FixityError } from "../../core/errors.ts";

/** Milliseconds that a holder which is asked to let go may take: a second, as the port has it. */
export const GRACE = 1000;

/**
 * One holder's claim to an upload, as far as this process knows. It is asked for (the holder's `wanted` fires), and then
 * either ends by itself or is lost to somebody else.
 */
export class Hold {
  readonly #wanted = new AbortController();
  readonly #ended = Promise.withResolvers<void>();
  #lost = false;

  /** Aborted when somebody else wants the upload. */
  get wanted(): AbortSignal {
    return this.#wanted.signal;
  }

  /** Resolved when the holder has let go, with nothing under way any more. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  get lost(): boolean {
    return this.#lost;
  }

  ask(): void {
    if (!this.#wanted.signal.aborted) this.#wanted.abort(superseded());
  }

  /**
   * Asks the holder and waits until it has let go; `false` where it has not within its grace.
   *
   * @throws the reason of the signal
   */
  async give(signal: AbortSignal | undefined): Promise<boolean> {
    signal?.throwIfAborted();
    this.ask();
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), GRACE);
    const onAbort = () => reject(signal?.reason as Error);
    signal?.addEventListener("abort", onAbort, { once: true });
    void this.#ended.promise.then(() => resolve(true));
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** The upload is somebody else's from now on. */
  lose(): void {
    this.#lost = true;
    this.ask();
  }

  /** The holder has let go. */
  end(): void {
    this.#ended.resolve();
  }

  /** @throws FixityError `upload-superseded` */
  assertKept(): void {
    if (this.#lost) throw superseded();
  }
}

/** For who has lost an upload, and for who is asked to let go of it. */
export function superseded(): FixityError {
  return new FixityError("upload-superseded", "Another request has taken this upload over.");
}
