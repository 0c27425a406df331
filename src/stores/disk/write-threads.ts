import type { Log } from "./options.ts";
import { type WriteJob, WriteThread } from "./write-thread.ts";

/** One keeps up with all that comes in; with two, a call that hangs does not hold up everything. */
const THREADS = 2;
/** Most blobs of a batch: what such a call holds up. */
const BATCH = 16;

/** Threads that write small blobs, in batches of what comes in together. */
export class WriteThreads implements AsyncDisposable {
  readonly #log: Log;
  readonly #queue: WriteJob[] = [];
  #threads: WriteThread[] | null = null;
  #sending = false;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Whether blobs are written: not before the threads run, and not where none can. */
  get ready(): boolean {
    return this.#threads?.some(({ state }) => state === "idle" || state === "busy") ?? false;
  }

  /** Starts the threads, the first time it is called. They run after some ten milliseconds. */
  start(): void {
    if (this.#threads !== null) return;
    this.#threads = [];
    const options = { log: this.#log, onChange: () => this.#send() };
    try {
      while (this.#threads.length < THREADS) {
        this.#threads.push(new WriteThread(options));
      }
    } catch (error) {
      // Node's permission model, for one, may forbid them
      this.#log("no thread for small files can be started; they are written without", error);
    }
  }

  /** Writes a blob, without flushing it; `false` as in `writeBlob`, and where no thread is left to do it. */
  write(job: Omit<WriteJob, "done">): Promise<boolean> {
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

  /** Ends the threads, with what they are doing. */
  async [Symbol.asyncDispose](): Promise<void> {
    const threads = this.#threads ?? [];
    this.#threads = [];
    await Promise.all(threads.map((thread) => thread.end()));
  }

  #send(): void {
    if (!this.ready) {
      for (const { done } of this.#queue.splice(0)) done(false);
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
