import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import type { Leftovers } from "./leftovers.ts";
import type { Log } from "./options.ts";
import type { BlobPaths } from "./write-blob.ts";
import type { Batch, BatchAnswer, BatchedBlob, BlobOutcome, WriteStep } from "./write-worker.ts";

/** Most bytes of a batch. */
const BATCH_BYTES = 256 * 1024;

/** A step on the way of a blob, and who waits for it. */
export interface WriteJob extends BlobPaths {
  readonly step: WriteStep;
  /** Of the staging file, to be published. */
  readonly fd: number | null;
  /** What is to be written: `size` bytes in all, and no more than a batch has. */
  readonly chunks: readonly Uint8Array[];
  readonly size: number;
  readonly done: (outcome: BlobOutcome) => void;
}

/** What a thread is made with. */
export interface WriteThreadOptions {
  readonly log: Log;
  readonly leftovers: Leftovers;
  /** Called when the thread has become idle, and when it has ended. */
  readonly onChange: () => void;
}

/** A thread that writes small blobs, one batch at a time. It keeps the process alive only while it does. */
export class WriteThread {
  readonly #worker: Worker;
  readonly #log: Log;
  readonly #memory: Uint8Array = new Uint8Array(new SharedArrayBuffer(BATCH_BYTES));
  #state: "starting" | "idle" | "busy" | "ended" = "starting";
  #jobs: readonly WriteJob[] = [];

  /** @throws where threads are forbidden */
  constructor({ log, leftovers, onChange }: WriteThreadOptions) {
    this.#log = log;
    // this file's neighbour, as source or built; what the process was started with (loaders, hooks) is nothing to it
    const script = new URL(`write-worker${extname(import.meta.url)}`, import.meta.url);
    this.#worker = new Worker(script, {
      workerData: this.#memory,
      execArgv: [],
      name: "fixity-write",
      // descriptors go from thread to thread
      trackUnmanagedFds: false,
    });
    this.#worker.unref();
    this.#worker.on("online", () => this.#become("idle", onChange));
    this.#worker.on("message", ({ outcomes, unremoved }: BatchAnswer) => {
      this.#worker.unref();
      for (const [path, error] of unremoved) leftovers.add(path, "a staging file", error);
      this.#finish(outcomes);
      this.#become("idle", onChange);
    });
    this.#worker.on("error", (error) => this.#log("a thread for small files has failed", error));
    this.#worker.on("exit", () => {
      this.#finish([]);
      this.#become("ended", onChange);
    });
  }

  get state(): "starting" | "idle" | "busy" | "ended" {
    return this.#state;
  }

  /** For an idle thread: takes jobs of one step off the queue, the oldest first, at most so many, as far as there is room. */
  take(queue: WriteJob[], most: number): void {
    const step = queue[0]?.step ?? "make";
    const jobs: WriteJob[] = [];
    const blobs: BatchedBlob[] = [];
    let end = 0;
    for (const job of queue) {
      if (blobs.length === most) break;
      if (job.step !== step || end + job.size > BATCH_BYTES) continue;
      const start = end;
      for (const chunk of job.chunks) {
        this.#memory.set(chunk, end);
        end += chunk.length;
      }
      const { staged, place, mode, gid, fd } = job;
      jobs.push(job);
      blobs.push({ staged, place, mode, gid, fd, start, end });
    }
    const taken = new Set(jobs);
    queue.splice(0, queue.length, ...queue.filter((job) => !taken.has(job)));
    this.#jobs = jobs;
    this.#state = "busy";
    this.#worker.ref();
    const batch: Batch = { step, blobs };
    this.#worker.postMessage(batch);
  }

  /** Ends the thread, whatever it is doing. */
  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #become(state: "idle" | "ended", onChange: () => void): void {
    this.#state = state;
    onChange();
  }

  /** A thread that has died may have done what it was asked or not; who asked goes another way, which finds out. */
  #finish(outcomes: readonly BlobOutcome[]): void {
    const jobs = this.#jobs;
    this.#jobs = [];
    for (const [index, { done }] of jobs.entries()) done(outcomes[index] ?? { is: "declined" });
  }
}
