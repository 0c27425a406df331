import type { Batches } from "./batches.ts";

/** What a chunk costs besides its bytes. Counted, so that a sender of single bytes cannot make the batch long. */
const CHUNK_COST = 256;

/** Writes chunks of so many bytes behind what is there. Not called again before it has ended. */
export type BatchSink = (chunks: readonly Uint8Array[], length: number) => Promise<void>;

/**
 * Gathers chunks and writes them by the batch. One batch may be on its way to the file while the next one gathers, so that
 * a writer holds twice a batch at most.
 */
export class BatchWriter {
  readonly #batches: Batches;
  readonly #sink: BatchSink;
  #chunks: Uint8Array[] = [];
  /** Bytes of `#chunks`, and what they cost with {@link CHUNK_COST}. */
  #length = 0;
  #cost = 0;
  /** The batch on its way; never rejects. */
  #writing: Promise<void> | null = null;
  /** Resolved when the batch that gathers has been taken up for writing. */
  #room: PromiseWithResolvers<void> | null = null;
  #failure: { readonly reason: unknown } | null = null;

  constructor(batches: Batches, sink: BatchSink) {
    this.#batches = batches;
    this.#sink = sink;
  }

  /** What has not been taken up for writing. */
  get gathered(): readonly Uint8Array[] {
    return this.#chunks;
  }

  /** Takes the next bytes; where a promise is returned, the caller waits for it before the next ones. */
  write(bytes: Uint8Array): Promise<void> | void {
    this.#throwFailure();
    if (bytes.length === 0) return;
    this.#chunks.push(bytes);
    this.#length += bytes.length;
    this.#cost += bytes.length + CHUNK_COST;
    if (this.#cost < this.#batches.size) return;
    if (this.#writing === null) {
      this.#begin();
      return;
    }
    this.#room ??= Promise.withResolvers();
    return this.#room.promise;
  }

  /** Writes all that was taken before this call, while more may be taken. */
  async flush(): Promise<void> {
    // the batch on its way, and behind it all that has gathered until now
    await this.#writing;
    this.#throwFailure();
    if (this.#writing === null && this.#length > 0) this.#begin();
    await this.#writing;
    this.#throwFailure();
  }

  /** Waits until no batch is on its way; what has gathered since, and is less than one, stays. */
  async settle(): Promise<void> {
    while (this.#writing !== null) await this.#writing;
  }

  /** Forgets what has gathered, and waits for the batch on its way. */
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
    // whoever waits for room has filled a batch as it was then; since, uploads may have ended, and batches have grown
    if (this.#room !== null || this.#cost >= this.#batches.size) this.#begin();
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
