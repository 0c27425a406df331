import type { Leftovers } from "./leftovers.ts";
import type { Log } from "./options.ts";
import type { BlobPaths } from "./write-blob.ts";
import { type WriteJob, WriteThread } from "./write-thread.ts";
import type { BlobOutcome } from "./write-worker.ts";

/** One keeps up with all that comes in; with two, a call that hangs does not hold up everything. */
const THREADS = 2;
/** Most blobs of a batch: what such a call holds up. */
const BATCH = 16;

/** Bytes that are to become a blob. */
export interface BlobBytes {
  readonly chunks: readonly Uint8Array[];
  /** Of all chunks together. */
  readonly size: number;
}

/** Threads that write small blobs, in batches of what comes in together. */
export class WriteThreads implements AsyncDisposable {
  readonly #log: Log;
  readonly #leftovers: Leftovers;
  readonly #queue: WriteJob[] = [];
  #threads: WriteThread[] | null = null;
  #sending = false;

  constructor(log: Log, leftovers: Leftovers) {
    this.#log = log;
    this.#leftovers = leftovers;
  }

  /** Whether blobs are written: not before the threads run, and not where none can. */
  get ready(): boolean {
    return this.#threads?.some(({ state }) => state === "idle" || state === "busy") ?? false;
  }

  /** Starts the threads, the first time it is called. They run after some ten milliseconds. */
  start(): void {
    if (this.#threads !== null) return;
    this.#threads = [];
    const options = { log: this.#log, leftovers: this.#leftovers, onChange: () => this.#send() };
    try {
      while (this.#threads.length < THREADS) {
        this.#threads.push(new WriteThread(options));
      }
    } catch (error) {
      // Node's permission model, for one, may forbid them
      this.#log("no thread for small files can be started; they are written without", error);
    }
  }

  /** Writes and publishes a blob without flushing it. `declined` also where no thread is left to do it. */
  make(paths: BlobPaths, bytes: BlobBytes): Promise<BlobOutcome> {
    return this.#do({ ...paths, ...bytes, step: "make", fd: null });
  }

  /** Writes a staging file; its descriptor is the caller's then. `declined` also where no thread is left to do it. */
  stage(paths: BlobPaths, bytes: BlobBytes): Promise<BlobOutcome> {
    return this.#do({ ...paths, ...bytes, step: "stage", fd: null });
  }

  /**
   * Publishes a staging file that the caller has flushed, and flushes the folder. The descriptor is the thread's from now on.
   * `declined` also where no thread is left to do it: the file may then still be there.
   */
  publish(paths: BlobPaths, fd: number): Promise<BlobOutcome> {
    return this.#do({ ...paths, chunks: [], size: 0, step: "publish", fd });
  }

  /** Ends the threads, with what they are doing. */
  async [Symbol.asyncDispose](): Promise<void> {
    const threads = this.#threads ?? [];
    this.#threads = [];
    await Promise.all(threads.map((thread) => thread.end()));
  }

  #do(job: Omit<WriteJob, "done">): Promise<BlobOutcome> {
    return new Promise((done) => {
      this.#queue.push({ ...job, done });
      if (this.#sending) return;
      this.#sending = true;
      // whatever else has just come in goes with it
      setImmediate(() => {
        this.#sending = false;
        this.#send();
      });
    });
  }

  #send(): void {
    if (!this.ready) {
      for (const { done } of this.#queue.splice(0)) done({ is: "declined" });
      return;
    }
    const idle = (this.#threads ?? []).filter(({ state }) => state === "idle");
    const share = Math.min(BATCH, Math.ceil(this.#queue.length / idle.length));
    for (const thread of idle) {
      if (this.#queue.length === 0) return;
      thread.take(this.#queue, share);
    }
  }
}
