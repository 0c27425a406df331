import { timeLimit } from "../base/abort-race.ts";
import type { Digest } from "./digest.ts";

/**
 * Why caches must drop what they keep of a blob:
 *
 * - `removed`: it was removed.
 * - `repaired`: damaged bytes were replaced, or removed. Ranges of them may have been sent.
 * - `blocked`, `unblocked`: the operator did so.
 */
export type PurgeReason = "removed" | "repaired" | "blocked" | "unblocked";

/**
 * Called when caches must drop what they keep of a blob: all responses that have its digest in
 * `Cache-Tag` or `Cache-Groups` (see the option `cacheTags` of handlers). At-least-once: every
 * instance calls it when it learns of a block, and calls are repeated after a restart, so it must be
 * idempotent. A failure is logged, and fails nothing.
 */
export type OnPurge = (digest: Digest, reason: PurgeReason) => Promise<void> | void;

/** How long a removal, a repair or a block waits until caches are purged. */
const PURGE_WAIT_MS = 10_000;

/** The calls of one service to the hook that purges caches. */
export class Purges {
  readonly #onPurge: OnPurge | undefined;
  readonly #log: (message: string, cause?: unknown) => void;
  /** Ends when all calls that nothing waits for have ended. */
  #queue: Promise<void> = Promise.resolve();

  constructor(onPurge: OnPurge | undefined, log: (message: string, cause?: unknown) => void) {
    this.#onPurge = onPurge;
    this.#log = log;
  }

  /** Purges a blob, and waits for it up to ten seconds. Never rejects. */
  async now(digest: Digest, reason: PurgeReason): Promise<void> {
    if (this.#onPurge === undefined) return;
    const work = Promise.try(async () => this.#onPurge?.(digest, reason)).then(
      () => true,
      (error: unknown) => {
        this.#log(`caches were not purged of ${digest.toString()} (${reason})`, error);
        return true;
      },
    );
    if ((await timeLimit(work, PURGE_WAIT_MS)) !== null) return;
    this.#log(`purging caches of ${digest.toString()} (${reason}) takes more than ${PURGE_WAIT_MS / 1000} s`);
  }

  /** Purges a blob when the calls before have ended: one restart may ask for many. */
  later(digest: Digest, reason: PurgeReason): void {
    if (this.#onPurge === undefined) return;
    this.#queue = this.#queue.then(() => this.now(digest, reason));
  }
}
