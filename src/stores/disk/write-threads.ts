import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import type { Digest } from "../../core/digest.ts";
import type { BatchBudget } from "./batch-writer.ts";
import { type FileSystem, folderFault } from "./file-system.ts";
import type { Layout } from "./layout.ts";
import type { Folders } from "./publisher.ts";
import type { Staging } from "./staging.ts";
import type { Batch, BatchAnswer, BatchedBlob, BlobOutcome, BlobPaths, CallFailure } from "./write-worker.ts";

/** The largest blob that goes to a thread. A larger one justifies calls of its own. */
const SMALL_BLOB_MAX_BYTES = 64 * 1024;

/**
 * Concurrent uploads from which threads pay off. A process that stores a file now and then never
 * starts them.
 */
const THREADED_UPLOADS_MIN = 4;

/**
 * One thread keeps up with everything that arrives; with two, a call that hangs does not block all
 * of it.
 */
const THREAD_COUNT = 2;

/** The limits of a batch, which is what one hanging call can block. */
const BATCH_MAX_BLOBS = 16;
const BATCH_MAX_BYTES = 256 * 1024;

/** Bytes that are to become a blob. */
export interface BlobBytes {
  readonly chunks: readonly Uint8Array[];
  /** The length of all chunks together. */
  readonly size: number;
}

/** What small blobs share with their store. */
export interface SmallBlobsOptions {
  readonly layout: Layout;
  readonly staging: Staging;
  readonly folders: Folders;
  readonly budget: BatchBudget;
}

/**
 * The fast path for small new blobs when many arrive together: one message to a thread and one back,
 * instead of five to ten calls that each pass through Node's thread pool. It handles only the common
 * case; `Publisher` handles all others.
 */
export class SmallBlobs implements AsyncDisposable {
  readonly #options: SmallBlobsOptions;
  readonly #files: FileSystem;
  readonly #threads: WriteThreads;

  constructor(options: SmallBlobsOptions) {
    this.#options = options;
    this.#files = options.staging.files;
    this.#threads = new WriteThreads(this.#files);
  }

  /** Whether the threads run. */
  get isReady(): boolean {
    return this.#threads.isReady;
  }

  /**
   * Writes and publishes a blob. `false` if it must take the slow path: then nothing was done, or
   * (by a thread that died) nothing that the slow path would not find. The chunks remain the
   * caller's.
   */
  async publish(digest: Digest, bytes: BlobBytes, signal: AbortSignal | undefined): Promise<boolean> {
    const { layout, staging, folders, budget } = this.#options;
    const { isDurable } = this.#files;
    if (bytes.size > SMALL_BLOB_MAX_BYTES) return false;
    if (budget.uploads >= THREADED_UPLOADS_MIN) this.#threads.start();
    if (!this.#threads.isReady) return false;
    // The first blob in a folder has to make the folder durable as well.
    if (isDurable && !folders.isSettled(digest)) return false;
    const { blob: mode, gid } = layout.modes;
    const paths = { staged: await staging.place(), place: layout.blob(digest), mode, gid };
    signal?.throwIfAborted();
    const outcome = await this.#threads.run(paths, bytes);
    if (outcome.is !== "unflushed") return outcome.is === "published";
    const failure = toError(outcome.failure);
    throw outcome.what === "file" ? failure : folderFault(failure);
  }

  /** Ends the threads, whatever they are doing. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#threads[Symbol.asyncDispose]();
  }
}

/** A blob that waits for a thread, or is in one. */
interface WriteJob extends BlobPaths, BlobBytes {
  readonly done: (outcome: BlobOutcome) => void;
}

/** A pool of threads that write small blobs, in batches of what arrives together. */
export class WriteThreads implements AsyncDisposable {
  readonly #files: FileSystem;
  readonly #queue: WriteJob[] = [];
  #threads: WriteThread[] | null = null;
  #isSending = false;

  constructor(files: FileSystem) {
    this.#files = files;
  }

  /** Whether blobs are written: not before the threads run, and not if none can run. */
  get isReady(): boolean {
    return this.#threads?.some(({ state }) => state === "idle" || state === "busy") ?? false;
  }

  /** Starts the threads on the first call. They run after about ten milliseconds. */
  start(): void {
    if (this.#threads !== null) return;
    this.#threads = [];
    try {
      while (this.#threads.length < THREAD_COUNT) this.#threads.push(new WriteThread(this.#files, () => this.#send()));
    } catch (error) {
      // Node's permission model may forbid threads.
      this.#files.log("no thread for small files can be started; they are written without", error);
    }
  }

  /** Writes and publishes a blob. `declined` also if no thread is left to do it. */
  run(paths: BlobPaths, bytes: BlobBytes): Promise<BlobOutcome> {
    return new Promise((done) => {
      this.#queue.push({ ...paths, ...bytes, done });
      if (this.#isSending) return;
      this.#isSending = true;
      // Batched with everything else that arrives in this turn of the event loop.
      setImmediate(() => {
        this.#isSending = false;
        this.#send();
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const threads = this.#threads ?? [];
    this.#threads = [];
    await Promise.all(threads.map((thread) => thread.terminate()));
  }

  #send(): void {
    if (!this.isReady) {
      for (const { done } of this.#queue.splice(0)) done({ is: "declined" });
      return;
    }
    const idle = (this.#threads ?? []).filter(({ state }) => state === "idle");
    const share = Math.min(BATCH_MAX_BLOBS, Math.ceil(this.#queue.length / idle.length));
    for (const thread of idle) {
      if (this.#queue.length === 0) return;
      thread.take(this.#queue, share);
    }
  }
}

/**
 * A thread that runs write-worker.ts, one batch at a time. It keeps the process alive only while it
 * is busy.
 */
class WriteThread {
  readonly #files: FileSystem;
  readonly #worker: Worker;
  readonly #memory: Uint8Array = new Uint8Array(new SharedArrayBuffer(BATCH_MAX_BYTES));
  readonly #onChange: () => void;
  #state: "starting" | "idle" | "busy" | "ended" = "starting";
  #jobs: readonly WriteJob[] = [];

  /**
   * @param onChange called when the thread has become idle, and when it has ended
   * @throws if threads are forbidden
   */
  constructor(files: FileSystem, onChange: () => void) {
    this.#files = files;
    this.#onChange = onChange;
    // The script stands beside this file, as source or built. The process's own flags (loaders,
    // hooks) do not apply to it.
    const script = new URL(`write-worker${extname(import.meta.url)}`, import.meta.url);
    this.#worker = new Worker(script, {
      workerData: this.#memory,
      execArgv: [],
      name: "fixity-write",
    });
    this.#worker.unref();
    this.#worker.on("online", () => this.#become("idle"));
    this.#worker.on("message", ({ outcomes, unremoved }: BatchAnswer) => {
      this.#worker.unref();
      for (const [path, error] of unremoved) files.noteUnremoved(path, "a staging file", error);
      this.#finish(outcomes);
      this.#become("idle");
    });
    this.#worker.on("error", (error) => files.log("a thread for small files has failed", error));
    this.#worker.on("exit", () => {
      this.#finish([]);
      this.#become("ended");
    });
  }

  get state(): "starting" | "idle" | "busy" | "ended" {
    return this.#state;
  }

  /**
   * Takes jobs from the queue, the oldest first, at most `count` and as far as there is room. For an
   * idle thread.
   */
  take(queue: WriteJob[], count: number): void {
    const blobs: BatchedBlob[] = [];
    let end = 0;
    for (const { chunks, size, staged, place, mode, gid } of queue) {
      if (blobs.length === count || end + size > BATCH_MAX_BYTES) break;
      const start = end;
      for (const chunk of chunks) {
        this.#memory.set(chunk, end);
        end += chunk.length;
      }
      blobs.push({ staged, place, mode, gid, start, end });
    }
    this.#jobs = queue.splice(0, blobs.length);
    this.#state = "busy";
    this.#worker.ref();
    const batch: Batch = { isDurable: this.#files.isDurable, blobs };
    this.#worker.postMessage(batch);
  }

  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }

  #become(state: "idle" | "ended"): void {
    this.#state = state;
    this.#onChange();
  }

  /**
   * A thread that has died may or may not have done its jobs. The caller then takes the slow path,
   * which finds out.
   */
  #finish(outcomes: readonly BlobOutcome[]): void {
    const jobs = this.#jobs;
    this.#jobs = [];
    for (const [index, { done }] of jobs.entries()) done(outcomes[index] ?? { is: "declined" });
  }
}

function toError({ message, ...facts }: CallFailure): Error {
  return Object.assign(new Error(message), facts);
}
