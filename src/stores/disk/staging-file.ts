import { FixityError } from "../../core/errors.ts";
import { close } from "./calls.ts";
import type { Durability } from "./file-system.ts";
import { storeFault } from "./faults.ts";
import type { StagingPlace } from "./staging.ts";
import type { Leftovers } from "./leftovers.ts";
import type { Log } from "./options.ts";
import { writeChunks } from "./write-chunks.ts";

/** Bytes after which an early flush starts: 32 MiB. */
const FLUSH_EVERY = 32 * 1024 * 1024;

/** What a staging file works with. */
export interface StagingFileTools {
  readonly durability: Durability;
  readonly leftovers: Leftovers;
  readonly log: Log;
}

/** A file that grows at its end until it is sealed. Its calls come one after another. */
export class StagingFile {
  readonly path: string;
  readonly #tools: StagingFileTools;
  #fd: number | null;
  #unflushed = 0;
  #flushing: Promise<void> | null = null;
  #failure: { readonly reason: unknown } | null = null;

  constructor(place: StagingPlace, tools: StagingFileTools) {
    this.path = place.path;
    this.#fd = place.fd;
    this.#tools = tools;
  }

  /** Writes the chunks behind what is there. */
  async append(chunks: readonly Uint8Array[], length: number): Promise<void> {
    const fd = this.#open();
    await writeChunks(fd, chunks, { length, position: null });
    this.#unflushed += length;
    if (this.#unflushed >= FLUSH_EVERY && this.#flushing === null) this.#flushEarly(fd);
  }

  /**
   * Makes the bytes durable; nothing can be appended afterwards. The descriptor stays open and is closed with `discard`,
   * beside other work. Only where nothing is flushed it is closed here: a network file system may tell no earlier that
   * bytes did not arrive.
   */
  async seal(): Promise<void> {
    await this.#flushing;
    const fd = this.#open();
    const { durability } = this.#tools;
    if (durability.flushes) return durability.file(fd, this.#unflushed);
    this.#fd = null;
    await close(fd);
  }

  /** Closes the file and removes its staging name, the only one it has unless it was published. Does not fail. */
  async discard(): Promise<void> {
    await this.#flushing;
    const fd = this.#fd;
    this.#fd = null;
    const unlinked = this.#tools.leftovers.remove(this.path, "a staging file");
    await Promise.all([unlinked, fd === null ? null : this.#close(fd)]);
  }

  async #close(fd: number): Promise<void> {
    try {
      await close(fd);
    } catch (error) {
      this.#tools.log("a staging file could not be closed", error);
    }
  }

  #open(): number {
    if (this.#failure !== null) throw this.#failure.reason;
    if (this.#fd === null) throw new FixityError("internal-error", "The staging file is closed.");
    return this.#fd;
  }

  /** Its failure fails the upload for good: another flush of this descriptor could succeed though bytes were lost. */
  #flushEarly(fd: number): void {
    const flush = this.#tools.durability.earlyFlush(fd);
    if (flush === null) return;
    this.#unflushed = 0;
    this.#flushing = flush
      .catch((error: unknown) => {
        this.#failure = { reason: storeFault(error) };
      })
      .then(() => {
        this.#flushing = null;
      });
  }
}
