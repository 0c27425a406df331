import { FixityClientError, sourceChanged } from "../errors.ts";
import { hexOf } from "../formats.ts";
import type { FromWorker, ToWorker } from "../hash-messages.ts";
import type { Content, DigestOptions, Hashing, RunningHash } from "../platform.ts";
import { abortion } from "../service.ts";
import type { HashWorker } from "../types.ts";
import { browser, type WorkerMaker } from "./globals.ts";

/** Bytes that are hashed where they are, by the browser itself. */
const SMALL = 1024 * 1024;
/** Bytes that may be on their way to the worker. */
const ROOM = 4 * 1024 * 1024;

/** One hash in the worker. */
interface Job {
  readonly hashed: (bytes: number) => void;
  readonly done: (hex: string) => void;
  readonly failed: (error: FixityClientError) => void;
}

/** SHA-256 in a worker, which is made when the first hash is wanted. */
export class WorkerHashing implements Hashing {
  readonly #make: WorkerMaker;
  #worker: HashWorker | null = null;
  readonly #jobs = new Map<number, Job>();
  #lastId = 0;

  constructor(make: WorkerMaker) {
    this.#make = make;
  }

  async digest(content: Content, { signal, onHashed }: DigestOptions): Promise<string> {
    // the platform of browsers has no other content
    const blob = content as unknown as Blob;
    const { subtle } = browser.crypto; // on https and localhost only
    if (subtle !== undefined && blob.size <= SMALL) {
      return hexOf(new Uint8Array(await subtle.digest("SHA-256", await readWhole(blob))));
    }
    const { id, done } = this.#begin(onHashed);
    const stop = (): void => this.#drop(id, abortion(signal));
    signal.addEventListener("abort", stop);
    this.#post({ id, say: "hash", blob });
    return done.finally(() => signal.removeEventListener("abort", stop));
  }

  running(): RunningHash {
    let posted = 0;
    let hashed = 0;
    let hasRoom: ((value: unknown) => void) | null = null;
    const { id, done } = this.#begin((bytes) => {
      hashed = bytes;
      if (posted - hashed < ROOM) hasRoom?.(null);
    });
    return {
      update: async (bytes) => {
        posted += bytes.length;
        this.#post({ id, say: "update", bytes });
        if (posted - hashed < ROOM) return;
        const room = new Promise<unknown>((resolve) => {
          hasRoom = resolve;
        });
        // without a worker nobody makes room
        await Promise.race([room, done]).catch(() => null);
      },
      digest: () => {
        this.#post({ id, say: "digest" });
        return done;
      },
      drop: () => this.#drop(id, new FixityClientError("aborted", "The digest is not needed any more.")),
    };
  }

  close(): void {
    this.#worker?.terminate();
    this.#worker = null;
    for (const id of this.#jobs.keys()) this.#drop(id, new FixityClientError("aborted", "The client was closed."));
  }

  #begin(hashed: (bytes: number) => void): { readonly id: number; readonly done: Promise<string> } {
    this.#lastId += 1;
    const id = this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    promise.catch(() => null);
    this.#jobs.set(id, { hashed, done: resolve, failed: reject });
    return { id, done: promise };
  }

  #post(message: ToWorker): void {
    if (!this.#jobs.has(message.id)) return;
    try {
      this.#worker ??= this.#started();
      this.#worker.postMessage(message);
    } catch (cause) {
      this.#end(message.id)?.failed(unable(cause)); // a policy that allows no workers
    }
  }

  #started(): HashWorker {
    const worker = this.#make();
    worker.addEventListener("message", ({ data }) => this.#hear(data as FromWorker));
    // its script was not found, or may not run
    worker.addEventListener("error", (event) => {
      for (const id of this.#jobs.keys()) this.#end(id)?.failed(unable(event));
    });
    return worker;
  }

  #hear(message: FromWorker): void {
    const { id } = message;
    if ("hashed" in message) this.#jobs.get(id)?.hashed(message.hashed);
    else if ("hex" in message) this.#end(id)?.done(message.hex);
    else this.#end(id)?.failed(message.failed === "source" ? sourceChanged() : unable());
  }

  #drop(id: number, error: FixityClientError): void {
    this.#worker?.postMessage({ id, say: "drop" } satisfies ToWorker);
    this.#end(id)?.failed(error);
  }

  #end(id: number): Job | undefined {
    const job = this.#jobs.get(id);
    this.#jobs.delete(id);
    return job;
  }
}

async function readWhole(blob: Blob): Promise<ArrayBuffer> {
  try {
    return await blob.arrayBuffer();
  } catch (cause) {
    throw sourceChanged(cause);
  }
}

function unable(cause?: unknown): FixityClientError {
  return new FixityClientError("cannot-verify", "The worker that hashes cannot be run.", { cause });
}
