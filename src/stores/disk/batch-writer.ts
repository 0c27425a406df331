import { FixityError } from "../../core/errors.ts";
import { writev } from "./calls.ts";

/** Bytes that all uploads together should gather. */
const GATHERED_MAX_BYTES = 8 * 1024 * 1024;

/** Smaller batches cost throughput, larger ones gain none. */
const BATCH_MIN_BYTES = 64 * 1024;
const BATCH_MAX_BYTES = 256 * 1024;

/**
 * What a chunk costs besides its bytes. Counted so that a sender of single bytes cannot make a
 * batch long.
 */
const CHUNK_OVERHEAD_BYTES = 256;

/**
 * How many bytes an upload gathers before it writes them: the more uploads run, the fewer, so that
 * a hundred at once need little more memory than ten.
 */
export class BatchBudget {
  #uploads = 0;

  /** Uploads that are running. */
  get uploads(): number {
    return this.#uploads;
  }

  get batchBytes(): number {
    return Math.max(BATCH_MIN_BYTES, Math.min(BATCH_MAX_BYTES, Math.floor(GATHERED_MAX_BYTES / this.#uploads)));
  }

  enter(): void {
    this.#uploads += 1;
  }

  leave(): void {
    this.#uploads -= 1;
  }
}

/** Writes `length` bytes of chunks after what is there. Not called again before it has returned. */
export type BatchSink = (chunks: readonly Uint8Array[], length: number) => Promise<void>;

/**
 * Gathers chunks and writes them in batches. One batch may be on its way to the file while the next
 * one gathers, so a writer holds at most two.
 */
export class BatchWriter {
  readonly #budget: BatchBudget;
  readonly #sink: BatchSink;
  #chunks: Uint8Array[] = [];
  #length = 0;
  /** `#length` and {@link CHUNK_OVERHEAD_BYTES} for each chunk. */
  #cost = 0;
  /** The batch that is being written; never rejects. */
  #writing: Promise<void> | null = null;
  /** Resolves when the gathered batch is being written. */
  #room: PromiseWithResolvers<void> | null = null;
  #failure: { readonly reason: unknown } | null = null;

  constructor(budget: BatchBudget, sink: BatchSink) {
    this.#budget = budget;
    this.#sink = sink;
  }

  /** Chunks of which no write has begun. */
  get gathered(): readonly Uint8Array[] {
    return this.#chunks;
  }

  /** Takes the next bytes. A returned promise is backpressure. */
  write(bytes: Uint8Array): Promise<void> | void {
    this.#throwFailure();
    if (bytes.length === 0) return;
    this.#chunks.push(bytes);
    this.#length += bytes.length;
    this.#cost += bytes.length + CHUNK_OVERHEAD_BYTES;
    if (this.#cost < this.#budget.batchBytes) return;
    if (this.#writing === null) {
      this.#begin();
      return;
    }
    this.#room ??= Promise.withResolvers();
    return this.#room.promise;
  }

  /** Writes everything that was taken before this call; more may be taken meanwhile. */
  async flush(): Promise<void> {
    await this.#writing;
    this.#throwFailure();
    if (this.#writing === null && this.#length > 0) this.#begin();
    await this.#writing;
    this.#throwFailure();
  }

  /** Waits until no batch is being written. What has gathered since, less than a batch, stays. */
  async settle(): Promise<void> {
    while (this.#writing !== null) await this.#writing;
  }

  /** Forgets what has gathered, and waits for the batch that is being written. */
  async drop(): Promise<void> {
    this.#forget();
    await this.#writing;
  }

  #begin(): void {
    const chunks = this.#chunks;
    const length = this.#length;
    this.#forget();
    this.#writing = this.#sink(chunks, length).then(
      () => this.#ended(),
      (reason: unknown) => {
        this.#failure = { reason };
        this.#forget();
        this.#writing = null;
      },
    );
  }

  #ended(): void {
    this.#writing = null;
    // A caller that waits for room has filled a batch of the size it had then; batches may have
    // grown since.
    if (this.#room !== null || this.#cost >= this.#budget.batchBytes) this.#begin();
  }

  #forget(): void {
    this.#chunks = [];
    this.#length = 0;
    this.#cost = 0;
    this.#room?.resolve();
    this.#room = null;
  }

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure.reason;
  }
}

/**
 * Writes all chunks, `length` bytes, at `position`, or after what was written before if that is
 * `null`.
 */
export async function writeChunks(
  fd: number,
  chunks: readonly Uint8Array[],
  { length, position }: { readonly length: number; readonly position: number | null },
): Promise<void> {
  let rest = chunks;
  let written = 0;
  while (written < length) {
    // A call may take less than it was given: near a full disk, or after a signal. The next one
    // reports why.
    const taken = await writev(fd, rest, position === null ? null : position + written);
    if (taken === 0) throw new FixityError("store-unavailable", "The store takes no more bytes and reports no reason.");
    written += taken;
    if (written < length) rest = chunksAfter(rest, taken);
  }
}

/** The chunks without their first `taken` bytes. Copies nothing. */
export function chunksAfter(chunks: readonly Uint8Array[], taken: number): readonly Uint8Array[] {
  let skip = taken;
  for (const [index, chunk] of chunks.entries()) {
    if (skip < chunk.length) return [chunk.subarray(skip), ...chunks.slice(index + 1)];
    skip -= chunk.length;
  }
  return [];
}
