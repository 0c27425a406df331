import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import type { Log } from "./options.ts";
import type { BlobPaths } from "./write-blob.ts";
import type { BatchAnswer, BatchedBlob } from "./write-worker.ts";

/** Most bytes of a batch. */
const BATCH_BYTES = 256 * 1024;

/** Bytes that are to become a blob, and who waits for that. */
export interface WriteJob extends BlobPaths {
  /** `size` bytes in all, and no more than a batch has. */
  readonly chunks: readonly Uint8Array[];
  readonly size: number;
  /** Told whether the blob was published. */
  readonly done: (published: boolean) => void;
}

/** What a thread is made with. */
export interface WriteThreadOptions {
  readonly log: Log;
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
  constructor({ log, onChange }: WriteThreadOptions) {
    this.#log = log;
    // this file's neighbour, as source or built; what the process was started with (loaders, hooks) is nothing to it
    const script = new URL(`write-worker${extname(import.meta.url)}`, import.meta.url);
    this.#worker = new Worker(script, { workerData: this.#memory, execArgv: [], name: "fixity-write" });
    this.#worker.unref();
    this.#worker.on("online", () => this.#become("idle", onChange));
    this.#worker.on("message", ({ published, troubles }: BatchAnswer) => {
      this.#worker.unref();
      for (const [message, error] of troubles) log(message, error);
      this.#finish(published);
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

  /** For an idle thread: takes jobs from the front of the queue, at most so many, as far as there is room. */
  take(queue: WriteJob[], most: number): void {
    const batch: BatchedBlob[] = [];
    let end = 0;
    for (const { staged, place, chunks, size } of queue) {
      if (batch.length === most || end + size > BATCH_BYTES) break;
      const start = end;
      for (const chunk of chunks) {
        this.#memory.set(chunk, end);
        end += chunk.length;
      }
      batch.push({ staged, place, start, end });
    }
    this.#jobs = queue.splice(0, batch.length);
    this.#state = "busy";
    this.#worker.ref();
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

  #finish(published: readonly boolean[]): void {
    const jobs = this.#jobs;
    this.#jobs = [];
    for (const [index, { done }] of jobs.entries()) done(published[index] ?? false);
  }
}
