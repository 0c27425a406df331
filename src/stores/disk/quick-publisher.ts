import type { Digest } from "../../core/digest.ts";
import type { Batches } from "./batches.ts";
import type { InstanceFolder } from "./instance-folder.ts";
import type { Layout } from "./layout.ts";
import type { WriteThreads } from "./write-threads.ts";

/** Most bytes of a blob that goes this way: 64 KiB. A larger one is worth calls of its own. */
const SMALL = 64 * 1024;
/** Uploads at once from which threads pay. A process that stores a file now and then never starts them. */
const MANY = 4;

/** What a quick publisher works with. */
export interface QuickPublisherParts {
  readonly layout: Layout;
  readonly instance: InstanceFolder;
  readonly batches: Batches;
  readonly threads: WriteThreads;
}

/**
 * The short way of small new blobs that need not be flushed, where many come in: one message to a thread and one back, in
 * place of five calls that each pass through Node's pool. It knows only the usual course; `Publisher` knows all others.
 */
export class QuickPublisher {
  readonly #parts: QuickPublisherParts;

  constructor(parts: QuickPublisherParts) {
    this.#parts = parts;
  }

  /**
   * Writes and publishes a blob. `false` where it has to go the long way: nothing was done then, or (by a thread that
   * died) nothing that the long way would not find. The chunks stay the caller's.
   */
  async publish(digest: Digest, chunks: readonly Uint8Array[], size: number): Promise<boolean> {
    const { layout, instance, batches, threads } = this.#parts;
    if (size > SMALL) return false;
    if (batches.uploads >= MANY) threads.start();
    if (!threads.ready) return false;
    const staged = await instance.place();
    return threads.write({ staged, place: layout.blob(digest), chunks, size });
  }
}
