import { abortRace, delay } from "../base/abort-race.ts";
import { FixityError } from "../core/errors.ts";
import type { UploadId } from "../core/upload-id.ts";

/**
 * How an upload goes from one holder to the next, in every store:
 *
 * 1. Look up the holder. If there is none, or its process is known to be dead, take the upload.
 * 2. Ask the holder to release it. A holder in this process learns of the request at once (its
 *    lease's `takeover` signal is aborted), one in another process when it next looks for requests.
 * 3. Wait until it has released the upload, for at most {@link TAKEOVER_GRACE_MS}.
 * 4. Fence it off: take the upload in a way after which the former holder's saves fail.
 *
 * The store supplies a {@link TakeoverTarget}, which knows how an upload names its holder and how
 * that name is replaced conditionally. {@link Takeovers} does the rest and keeps the leases of this
 * process.
 */

/** How long a holder may take to release an upload once it has been asked to. Part of the port. */
export const TAKEOVER_GRACE_MS = 1_000;

/** Former holders of this process that are remembered because the store may still name them. */
const DEPARTED_MAX = 1_000;

/** One holder's right to write to an upload, as far as this process knows. */
export class Lease {
  /** The holder's name in the store. Never used for another lease. */
  readonly name: string;
  readonly #takeover = new AbortController();
  readonly #released = Promise.withResolvers<{ readonly isStillNamed: boolean }>();
  #isLost = false;

  constructor(name: string) {
    this.name = name;
  }

  /** Aborted when another caller asks for the upload. */
  get takeover(): AbortSignal {
    return this.#takeover.signal;
  }

  /** Another holder has the upload. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** Resolves when the holder has released the upload and nothing of it is in progress. */
  get released(): Promise<{ readonly isStillNamed: boolean }> {
    return this.#released.promise;
  }

  /** Asks the holder to release the upload. */
  requestRelease(reason: FixityError = superseded()): void {
    this.#takeover.abort(reason);
  }

  /** Fences the holder off: from now on {@link assertHeld} throws. */
  lose(): void {
    this.#isLost = true;
    this.requestRelease();
  }

  /**
   * Ends the lease.
   *
   * @param isStillNamed the store may still name this holder, because the release could not be
   *   recorded. The next holder in this process then need not wait for it.
   */
  release(isStillNamed = false): void {
    this.#released.resolve({ isStillNamed });
  }

  /** @throws FixityError `upload-superseded` */
  assertHeld(): void {
    if (this.#isLost) throw superseded();
  }
}

/** An upload as a look finds it. */
export interface Sighting {
  /** The holder that must release the upload first; `null` if it can be taken at once. */
  readonly holder: string | null;
}

/**
 * The result of a look that found nothing to take: no upload, an ended one, or one that is being
 * removed.
 */
export class Untaken<T> {
  readonly value: T;

  constructor(value: T) {
    this.value = value;
  }
}

/** One upload in a store, for one takeover. */
export interface TakeoverTarget<Seen extends Sighting, Taken extends { readonly lease: Lease }, Other> {
  /**
   * Milliseconds between two looks for whether a holder in another process has released the upload.
   */
  readonly pollMs: number;

  /**
   * Looks at the upload.
   *
   * @param isFirst no wait came before it, so what the caller read just before is fresh enough
   */
  look(isFirst: boolean): Promise<Seen | Untaken<Other>>;

  /** Asks a holder in another process to release the upload. Asking again is harmless. */
  ask(seen: Seen): Promise<void>;

  /** Takes back a request, whether it was met or not. Does not throw. */
  withdraw?(holder: string): Promise<void>;

  /**
   * Takes the upload if it is still as it was seen; `null` if it has changed. If `seen` has a
   * holder, that holder is fenced off by it.
   */
  take(seen: Seen): Promise<Taken | null>;
}

/** The takeovers and leases of one store in this process. */
export class Takeovers {
  readonly #leases = new Map<string, Lease>();
  /** By upload: settles when the last of its queued takeovers has ended. */
  readonly #queues = new Map<string, Promise<void>>();
  /** By upload: a former holder of this process that the store may still name. */
  readonly #departed = new Map<string, string>();

  /** Notes the lease of an upload that was created by its holder. */
  register(id: UploadId, lease: Lease): void {
    this.#leases.get(id.hex)?.lose();
    this.#leases.set(id.hex, lease);
    void lease.released.then(({ isStillNamed }) => {
      if (this.#leases.get(id.hex) !== lease) return;
      this.#leases.delete(id.hex);
      if (isStillNamed) this.#noteDeparted(id, lease.name);
    });
  }

  /**
   * Takes an upload over, or returns what a look has found instead. Takeovers of one upload in this
   * process run one after another, in the order of the calls: the last caller ends up with it.
   *
   * @throws FixityError, or the reason of the signal
   */
  async takeOver<Seen extends Sighting, Taken extends { readonly lease: Lease }, Other>(
    id: UploadId,
    target: TakeoverTarget<Seen, Taken, Other>,
    signal: AbortSignal | undefined,
  ): Promise<Taken | Other> {
    signal?.throwIfAborted();
    const before = this.#queues.get(id.hex);
    const own = Promise.withResolvers<void>();
    const through = before === undefined ? own.promise : before.then(() => own.promise);
    this.#queues.set(id.hex, through);
    try {
      if (before !== undefined) await abortRace(before, signal);
      return await this.#takeOver(id, target, { signal, isAlone: before === undefined });
    } finally {
      own.resolve();
      if (this.#queues.get(id.hex) === through) this.#queues.delete(id.hex);
    }
  }

  async #takeOver<Seen extends Sighting, Taken extends { readonly lease: Lease }, Other>(
    id: UploadId,
    target: TakeoverTarget<Seen, Taken, Other>,
    { signal, isAlone }: { readonly signal: AbortSignal | undefined; readonly isAlone: boolean },
  ): Promise<Taken | Other> {
    let unresponsive: string | null = null;
    let asked = null as { readonly holder: string; readonly until: number } | null;
    try {
      for (let looks = 0; ; looks += 1) {
        signal?.throwIfAborted();
        const seen = await target.look(isAlone && looks === 0);
        if (seen instanceof Untaken) return seen.value;
        const { holder } = seen;
        const isTimeUp = asked?.holder === holder && performance.now() >= asked.until;
        const isGone = holder === null || holder === unresponsive || holder === this.#departed.get(id.hex);
        if (isGone || isTimeUp) {
          const taken = await target.take(seen);
          if (taken === null) continue;
          this.#departed.delete(id.hex);
          this.register(id, taken.lease);
          return taken;
        }
        const local = this.#leases.get(id.hex);
        if (local?.name === holder) {
          if (!(await isReleasedInTime(local, signal))) unresponsive = holder;
        } else if (asked?.holder === holder) {
          await delay(target.pollMs, signal);
        } else {
          if (asked !== null) await target.withdraw?.(asked.holder);
          await target.ask(seen);
          asked = { holder, until: performance.now() + TAKEOVER_GRACE_MS };
        }
      }
    } finally {
      if (asked !== null) await target.withdraw?.(asked.holder);
    }
  }

  #noteDeparted(id: UploadId, name: string): void {
    this.#departed.set(id.hex, name);
    const [oldest] = this.#departed.keys();
    if (this.#departed.size > DEPARTED_MAX && oldest !== undefined) this.#departed.delete(oldest);
  }
}

/** Asks a holder of this process, and waits until it has released the upload or its time is up. */
async function isReleasedInTime(lease: Lease, signal: AbortSignal | undefined): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), TAKEOVER_GRACE_MS);
  void lease.released.then(() => resolve(true));
  lease.requestRelease();
  try {
    return await abortRace(promise, signal);
  } finally {
    clearTimeout(timer);
  }
}

/** For a holder that has lost an upload, or is asked to release it. */
export function superseded(): FixityError {
  return new FixityError("upload-superseded", "Another request has taken this upload over.");
}
