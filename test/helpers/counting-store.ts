import assert from "node:assert/strict";
import type { BlobStore } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";

/** A memory store that reports when the bytes of resumable uploads have reached it. */
export class CountingStore {
  readonly store: BlobStore = memoryStore();
  #written = 0;
  readonly #waiters = new Set<{ readonly bytes: number; readonly resolve: () => void }>();

  constructor() {
    const uploads = this.store.uploads ?? assert.fail("the memory store keeps uploads");
    const hold = uploads.hold.bind(uploads);
    uploads.hold = async (...args) => {
      const held = await hold(...args);
      if (held?.status !== "held") return held;
      const write = held.write.bind(held);
      held.write = (bytes) => {
        this.#count(bytes.length);
        return write(bytes);
      };
      return held;
    };
  }

  /** Waits until `bytes` bytes have been written to all uploads together. */
  async written(bytes: number): Promise<void> {
    if (this.#written >= bytes) return;
    await new Promise<void>((resolve) => this.#waiters.add({ bytes, resolve }));
  }

  #count(bytes: number): void {
    this.#written += bytes;
    for (const waiter of this.#waiters) {
      if (this.#written < waiter.bytes) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }
}
