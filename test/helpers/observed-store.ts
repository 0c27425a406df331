import type { Digest } from "../../src/core/digest.ts";
import type { BlobReader, BlobStat, BlobStore, OpenOptions } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";

type Method = "open" | "stat" | "remove";

/** A memory store that records calls, and can delay them. */
export class ObservedStore {
  readonly store: BlobStore = memoryStore();
  /** The calls so far, in order. */
  readonly calls: Method[] = [];
  /** The signals passed to `open`, in order. */
  readonly signals: (AbortSignal | undefined)[] = [];
  /** The number of readers that have been neither read to the end nor disposed of. */
  openReaders = 0;
  /** Changes what `open` returns. */
  alter: (reader: BlobReader) => BlobReader = (reader) => reader;
  readonly #held = new Map<Method, PromiseWithResolvers<void>>();
  #waiters: { readonly count: number; readonly resolve: () => void }[] = [];

  constructor() {
    const { store } = this;
    const [open, stat, remove] = [store.open.bind(store), store.stat.bind(store), store.remove.bind(store)];
    store.open = async (digest: Digest, options: OpenOptions = {}): Promise<BlobReader | null> => {
      this.signals.push(options.signal);
      await this.#enter("open");
      options.signal?.throwIfAborted();
      const reader = await open(digest, options);
      return reader && this.alter(this.#count(reader));
    };
    store.stat = async (digest: Digest, signal?: AbortSignal): Promise<BlobStat | null> => {
      const result = await stat(digest, signal);
      await this.#enter("stat");
      return result;
    };
    store.remove = async (digest: Digest, signal?: AbortSignal): Promise<boolean> => {
      const result = await remove(digest, signal);
      await this.#enter("remove");
      return result;
    };
  }

  /** The number of calls of a method. */
  count(method: Method): number {
    return this.calls.filter((call) => call === method).length;
  }

  /** Delays calls of a method from now on: `open` before its work, the others after it. */
  hold(method: Method): void {
    this.#held.set(method, Promise.withResolvers());
  }

  /** Lets the delayed calls of a method continue, or fail. */
  release(method: Method, failure?: Error): void {
    const held = this.#held.get(method);
    this.#held.delete(method);
    if (failure === undefined) held?.resolve();
    else held?.reject(failure);
  }

  /** Waits until there have been `count` calls in all. */
  async called(count: number): Promise<void> {
    if (this.calls.length >= count) return;
    await new Promise<void>((resolve) => this.#waiters.push({ count, resolve }));
  }

  async #enter(method: Method): Promise<void> {
    this.calls.push(method);
    const ready = this.#waiters.filter(({ count }) => this.calls.length >= count);
    this.#waiters = this.#waiters.filter((waiter) => !ready.includes(waiter));
    for (const { resolve } of ready) resolve();
    await this.#held.get(method)?.promise;
  }

  #count(reader: BlobReader): BlobReader {
    this.openReaders += 1;
    let isOpen = true;
    const closed = (): void => {
      if (isOpen) this.openReaders -= 1;
      isOpen = false;
    };
    return {
      size: reader.size,
      span: reader.span,
      ...(reader.identity !== undefined && { identity: reader.identity }),
      async *[Symbol.asyncIterator]() {
        try {
          yield* reader;
        } finally {
          closed();
        }
      },
      async [Symbol.asyncDispose]() {
        closed();
        await reader[Symbol.asyncDispose]();
      },
    };
  }
}
