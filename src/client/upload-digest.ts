import { FixityClientError } from "./errors.ts";

/** Computes a digest in hex, and tells how many bytes are hashed on the way, until the signal is aborted. */
export type DigestWork = (onHashed: (bytes: number) => void, signal: AbortSignal) => Promise<string> | string;

/** A digest that is known, is being computed, or will never be known. */
export class DigestJob {
  /** In hex; `null` while it is not known. */
  hex: string | null;
  isPending = false;
  /** Bytes hashed until now. */
  hashed = 0;
  /** Resolves with the digest, or with `null` where there is none. Rejects where the bytes cannot be read. */
  readonly settled: Promise<string | null>;
  readonly #began: number = performance.now();
  readonly #giving = new AbortController();

  private constructor(hex: string | null, work: DigestWork | null) {
    this.hex = hex;
    this.settled = work === null ? Promise.resolve(hex) : this.#run(work);
    // whoever needs the digest waits for it; until then its failure is nobody's
    this.settled.catch(() => null);
  }

  static known(hex: string | null): DigestJob {
    return new DigestJob(hex, null);
  }

  static begin(work: DigestWork): DigestJob {
    return new DigestJob(null, work);
  }

  /** Milliseconds since it was begun. */
  get elapsed(): number {
    return performance.now() - this.#began;
  }

  /** It is not needed any more: where it is not known, it will never be. */
  giveUp(): void {
    if (!this.isPending) return;
    this.isPending = false;
    this.#giving.abort();
  }

  async #run(work: DigestWork): Promise<string | null> {
    const { signal } = this.#giving;
    this.isPending = true;
    try {
      const hex = await work((bytes) => {
        this.hashed = bytes;
      }, signal);
      if (signal.aborted) return null;
      this.hex = hex;
      return hex;
    } catch (error) {
      // without a worker the upload goes on without a digest
      if (signal.aborted || (error instanceof FixityClientError && error.code === "cannot-verify")) return null;
      throw error;
    } finally {
      this.isPending = false;
    }
  }
}
