import { FixityClientError } from "./errors.ts";
import type { Meter } from "./meter.ts";
import type { UploadControl } from "./upload-control.ts";

/** A measurement of fewer bytes depends more on round trips than on the rate. */
const MEASUREMENT_MIN_BYTES = 256 * 1024;
/** A measurement of hashing over less time depends more on the start of the worker. */
const HASHING_WARM_UP_MS = 300;
/** A digest is worth waiting for if hashing is at least this many times as fast as sending. */
const WAIT_MIN_SPEEDUP = 8;
/** A file that takes less time to send is sent at once: asking the server first costs a round trip. */
const WAIT_MIN_SENDING_S = 0.5;
/**
 * The share of the sending time that hashing may take. Above it less than half of the bytes can be
 * saved, and on machines with few cores hashing and sending slow each other down.
 */
const HASHING_MAX_SHARE = 1 / 2;
/** Hashing may take this many seconds in any case. */
const HASHING_ALLOWANCE_S = 1;
/** Milliseconds between two progress reports while a digest is awaited. */
const REPORT_INTERVAL_MS = 100;

/** What to do about a digest that is being computed. */
export type DigestAdvice =
  /**
   * Send nothing before it is known: that takes little time, and saves much if the server has the
   * content.
   */
  | "wait"
  /** Send while it is computed. */
  | "proceed"
  /** Stop computing it: it would be known when most bytes have been sent, or later. */
  | "give-up";

/**
 * How fast this machine hashes and the network sends, in bytes per second. One for all uploads of a
 * client.
 */
export class TransferRates {
  #hashing: number | null = null;
  #sending: number | null = null;

  /** Learns from a file that was hashed. */
  hashed(bytes: number, ms: number): void {
    this.#hashing = averaged(this.#hashing, bytes, ms);
  }

  /** Learns from a file that is still being hashed. */
  hashedSoFar(bytes: number, ms: number): void {
    if (ms >= HASHING_WARM_UP_MS) this.hashed(bytes, ms);
  }

  /** Learns from a request that has been answered. */
  sent(bytes: number, ms: number): void {
    this.#sending = averaged(this.#sending, bytes, ms);
  }

  /**
   * Advises about a file of which `toHash` bytes are still to be hashed and `toSend` bytes to be
   * sent.
   */
  advice({ toHash, toSend }: { readonly toHash: number; readonly toSend: number }): DigestAdvice {
    if (this.#hashing === null || this.#sending === null) return "proceed";
    const hashing = toHash / this.#hashing;
    const sending = toSend / this.#sending;
    if (sending >= hashing * WAIT_MIN_SPEEDUP && sending > WAIT_MIN_SENDING_S) return "wait";
    return hashing > Math.max(sending * HASHING_MAX_SHARE, HASHING_ALLOWANCE_S) ? "give-up" : "proceed";
  }
}

function averaged(rate: number | null, bytes: number, ms: number): number | null {
  if (bytes < MEASUREMENT_MIN_BYTES || ms <= 0) return rate;
  const measured = (bytes * 1000) / ms;
  return rate === null ? measured : (rate + measured) / 2;
}

/**
 * Computes a digest in hex. Reports the bytes that were hashed so far, and stops when the signal is
 * aborted.
 */
export type DigestWork = (onHashed: (bytes: number) => void, signal: AbortSignal) => Promise<string> | string;

type DigestState =
  | { readonly kind: "known"; readonly hex: string }
  | { readonly kind: "pending" }
  /** Not wanted, given up, or impossible to compute here. */
  | { readonly kind: "none" };

/** The digest that an upload declares to the server. */
export class UploadDigest {
  /**
   * Resolves with the digest in hex, or with `null` if there will be none. Rejects if the bytes
   * cannot be read.
   */
  readonly settled: Promise<string | null>;
  /** Whether the digest must be declared even if computing it takes longer than sending. */
  isRequired = false;
  readonly #rates: TransferRates | null;
  readonly #startedAt: number = performance.now();
  readonly #givenUp = new AbortController();
  #state: DigestState;
  #hashedBytes = 0;

  private constructor(state: DigestState, work: DigestWork | null, rates: TransferRates | null) {
    this.#state = state;
    this.#rates = rates;
    this.settled = work === null ? Promise.resolve(this.hex) : this.#run(work);
    // a failure reaches those that await the digest; until then it must not be an unhandled
    // rejection
    this.settled.catch(() => null);
  }

  /** A digest in hex that needs no computing; `null` for an upload without a digest. */
  static known(hex: string | null): UploadDigest {
    return new UploadDigest(hex === null ? { kind: "none" } : { kind: "known", hex }, null, null);
  }

  static compute(work: DigestWork, rates: TransferRates): UploadDigest {
    return new UploadDigest({ kind: "pending" }, work, rates);
  }

  /** In hex; `null` while it is not known. */
  get hex(): string | null {
    return this.#state.kind === "known" ? this.#state.hex : null;
  }

  get isPending(): boolean {
    return this.#state.kind === "pending";
  }

  /**
   * Decides whether to wait for the digest, now that the upload has reached an offset. Gives it up
   * if it would come too late.
   *
   * @param total `null` for a stream, which is hashed as it is read
   */
  reconsiderAt(offset: number, total: number | null): Exclude<DigestAdvice, "give-up"> {
    if (this.#rates === null || !this.isPending || total === null || this.#hashedBytes === 0) return "proceed";
    this.#rates.hashedSoFar(this.#hashedBytes, performance.now() - this.#startedAt);
    const advice = this.#rates.advice({ toHash: total - this.#hashedBytes, toSend: total - offset });
    if (advice !== "give-up") return advice;
    if (!this.isRequired) this.giveUp();
    return "proceed";
  }

  /** Stops computing. The upload then has no digest, unless it is already known. */
  giveUp(): void {
    if (!this.isPending) return;
    this.#state = { kind: "none" };
    this.#givenUp.abort();
  }

  /**
   * Waits, while nothing is sent, for the digest or a request that depends on it, and reports how
   * far hashing is.
   */
  async wait(outcome: Promise<unknown>, { meter, control }: { meter: Meter; control: UploadControl }): Promise<void> {
    meter.hashed(this.#hashedBytes);
    const reports = setInterval(() => meter.hashed(this.#hashedBytes), REPORT_INTERVAL_MS);
    try {
      await control.wait(outcome);
    } finally {
      clearInterval(reports);
    }
  }

  async #run(work: DigestWork): Promise<string | null> {
    const { signal } = this.#givenUp;
    try {
      const hex = await work((bytes) => {
        this.#hashedBytes = bytes;
      }, signal);
      if (signal.aborted) return null;
      this.#state = { kind: "known", hex };
      return hex;
    } catch (error) {
      if (!signal.aborted) this.#state = { kind: "none" };
      // without a worker the upload proceeds without a digest
      if (signal.aborted || (error instanceof FixityClientError && error.code === "cannot-verify")) return null;
      throw error;
    }
  }
}
