import type { BlobIdentity } from "../../core/blob-stat.ts";
import type { ByteSpan } from "../../core/byte-range.ts";
import type { Digest } from "../../core/digest.ts";
import type { BlobReader, BlobStore } from "../../core/store.ts";

type Result = IteratorResult<Uint8Array, undefined>;

/**
 * A reader of a whole blob that was opened for several callers, and is then handed over to one of
 * them. From then on it obeys the signal of that one.
 */
export class HandedOverReader implements BlobReader, AsyncIterator<Uint8Array, undefined> {
  readonly size: number;
  readonly span: ByteSpan;
  readonly identity?: BlobIdentity;
  readonly #inner: BlobReader;
  readonly #controller: AbortController;
  #chunks: AsyncIterator<Uint8Array> | null = null;
  #isTaken = false;
  #signal: AbortSignal | undefined;
  readonly #onAbort = () => this.#controller.abort(this.#signal?.reason);

  private constructor(inner: BlobReader, controller: AbortController, signal: AbortSignal) {
    this.size = inner.size;
    this.span = inner.span;
    if (inner.identity !== undefined) this.identity = inner.identity;
    this.#inner = inner;
    this.#controller = controller;
    this.#signal = signal;
  }

  /** Opens a blob; `null` if there is none. `signal` is obeyed until the reader is taken. */
  static async open(store: BlobStore, digest: Digest, signal: AbortSignal): Promise<HandedOverReader | null> {
    const controller = new AbortController();
    const onAbort = (): void => controller.abort(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      const inner = await store.open(digest, { signal: controller.signal });
      if (inner === null) return null;
      const reader = new HandedOverReader(inner, controller, signal);
      signal.addEventListener("abort", reader.#onAbort, { once: true });
      return reader;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Hands the reader over; `false` if another caller has it already. */
  take(signal: AbortSignal | undefined): boolean {
    if (this.#isTaken) return false;
    this.#isTaken = true;
    this.#release();
    this.#signal = signal;
    if (signal?.aborted === true) this.#onAbort();
    else signal?.addEventListener("abort", this.#onAbort, { once: true });
    return true;
  }

  /** Closes the reader if no caller has taken it. */
  freeUnlessTaken(): void {
    if (this.#isTaken) return;
    // A failure to close what was never read concerns no caller.
    this[Symbol.asyncDispose]().catch(() => undefined);
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    return this;
  }

  recycle(chunk: Uint8Array): void {
    this.#inner.recycle?.(chunk);
  }

  async next(): Promise<Result> {
    this.#chunks ??= this.#inner[Symbol.asyncIterator]();
    try {
      const result = await this.#chunks.next();
      if (result.done !== true) return result;
    } catch (error) {
      this.#release();
      throw error;
    }
    return this.return();
  }

  async return(): Promise<{ readonly done: true; readonly value: undefined }> {
    this.#release();
    if (this.#chunks === null) await this.#inner[Symbol.asyncDispose]();
    else await this.#chunks.return?.();
    return { done: true, value: undefined };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#release();
    await this.#inner[Symbol.asyncDispose]();
  }

  #release(): void {
    this.#signal?.removeEventListener("abort", this.#onAbort);
  }
}
