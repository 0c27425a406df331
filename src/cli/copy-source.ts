import type { Digest } from "../core/digest.ts";
import { FixityError } from "../core/errors.ts";
import type { ByteSource } from "../core/intake.ts";
import type { CopiedBlob } from "./copy-report.ts";
import type { Place } from "./places.ts";
import { statOnce } from "./remote-failure.ts";
import { fetchBlob, type FetchedBytes } from "./service-requests.ts";

/** Where blobs are copied from. */
export interface SourceOptions {
  readonly from: Place;
  /** Called with the size of each piece that was read. */
  readonly onRead: (bytes: number) => void;
  readonly signal: AbortSignal;
}

/**
 * The bytes of one blob at the source. Remembers that they could not be read: other failures of a copy
 * are those of the target.
 */
export class SourceBytes {
  readonly digest: Digest;
  /** Bytes; `null` if the source does not say. Known once they are open. */
  size: number | null = null;
  failure: { readonly reason: unknown } | null = null;
  readonly #options: SourceOptions;

  constructor(options: SourceOptions, digest: Digest) {
    this.#options = options;
    this.digest = digest;
  }

  /** Bytes of the blob; `null` if there is none. */
  async stat(): Promise<number | null> {
    const { from, signal } = this.#options;
    if (from.kind === "store") return (await from.store.stat(this.digest, signal))?.size ?? null;
    const outcome = await statOnce(from.remote, this.digest.hex, signal);
    if (outcome.status === "failed") throw new FixityError("store-unavailable", outcome.reason);
    return outcome.status === "stored" ? outcome.info.size : null;
  }

  async open(): Promise<(AsyncIterable<Uint8Array> & AsyncDisposable) | null> {
    const { from, signal } = this.#options;
    const opened = await this.#watched(async () => {
      if (from.kind === "service") return await fetchBlob(from.remote, this.digest, signal);
      const reader = await from.store.open(this.digest, { signal });
      this.size = reader?.size ?? null;
      return reader as FetchedBytes | null;
    });
    if (opened === null) return null;
    return {
      [Symbol.asyncIterator]: () => this.#counted(opened),
      [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
    };
  }

  /** The result for a blob that could not be read. @throws the failure, if it is that of the whole source */
  async failed({ reason }: { readonly reason: unknown }): Promise<CopiedBlob> {
    const { from, signal } = this.#options;
    const { digest } = this;
    if (!(reason instanceof FixityError) || from.kind === "service") throw reason;
    if (reason.code === "blob-damaged") return { status: "damaged", digest, reason: reason.message };
    // A disk may fail for a single file. A bucket that cannot be reached would fail for all of them.
    if (from.store.kind === "s3") await from.store.check(signal);
    return { status: "unreadable", digest, reason: reason.message };
  }

  async *#counted(bytes: ByteSource): AsyncGenerator<Uint8Array, void, undefined> {
    const iterator = Symbol.asyncIterator in bytes ? bytes[Symbol.asyncIterator]() : bytes[Symbol.iterator]();
    try {
      for (;;) {
        const next = await this.#watched(async () => await iterator.next());
        if (next.done === true) return;
        this.#options.onRead(next.value.length);
        yield next.value;
      }
    } finally {
      await iterator.return?.();
    }
  }

  async #watched<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (reason) {
      this.failure = { reason };
      throw reason;
    }
  }
}
