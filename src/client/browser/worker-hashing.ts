import { abortError, FixityClientError, sourceChanged } from "../errors.ts";
import { hexOf } from "../formats.ts";
import type { FromWorker, ToWorker } from "../hash-worker.ts";
import type { Content, DigestOptions, Hashing, IncrementalHash } from "../platform.ts";
import type { HashWorker } from "../types.ts";
import { browser, type WorkerFactory } from "./globals.ts";

/** A blob up to this size is hashed by the browser itself, which needs all of it in memory. */
const SUBTLE_MAX_BYTES = 1024 * 1024;
/** Bytes that may be posted to the worker and not yet hashed. */
const IN_FLIGHT_MAX_BYTES = 4 * 1024 * 1024;

/** One hash in the worker. */
interface PendingHash {
  readonly onHashed: (bytes: number) => void;
  readonly resolve: (hex: string) => void;
  readonly reject: (error: FixityClientError) => void;
}

/** SHA-256 in a worker, which is created for the first hash. */
export class WorkerHashing implements Hashing {
  readonly #createWorker: WorkerFactory;
  #worker: HashWorker | null = null;
  readonly #pending = new Map<number, PendingHash>();
  #lastId = 0;

  constructor(createWorker: WorkerFactory) {
    this.#createWorker = createWorker;
  }

  async digest(content: Content, { signal, onHashed }: DigestOptions): Promise<string> {
    // in browsers all content is in blobs
    const blob = content as unknown as Blob;
    const { subtle } = browser.crypto; // on https and localhost only
    if (subtle !== undefined && blob.size <= SUBTLE_MAX_BYTES) {
      return hexOf(new Uint8Array(await subtle.digest("SHA-256", await readWhole(blob))));
    }
    const { id, digest } = this.#begin(onHashed);
    const stop = (): void => this.#drop(id, abortError(signal));
    signal.addEventListener("abort", stop);
    this.#post({ id, type: "hash", blob });
    return digest.finally(() => signal.removeEventListener("abort", stop));
  }

  incremental(): IncrementalHash {
    let posted = 0;
    let hashed = 0;
    let onCapacity: ((value: unknown) => void) | null = null;
    const { id, digest } = this.#begin((bytes) => {
      hashed = bytes;
      if (posted - hashed < IN_FLIGHT_MAX_BYTES) onCapacity?.(null);
    });
    return {
      update: async (bytes) => {
        posted += bytes.length;
        this.#post({ id, type: "update", bytes });
        if (posted - hashed < IN_FLIGHT_MAX_BYTES) return;
        const capacity = new Promise<unknown>((resolve) => {
          onCapacity = resolve;
        });
        // after a failure the worker reports no progress, but rejects the digest
        await Promise.race([capacity, digest]).catch(() => null);
      },
      digest: () => {
        this.#post({ id, type: "digest" });
        return digest;
      },
      drop: () => this.#drop(id, new FixityClientError("aborted", "The digest is no longer needed.")),
    };
  }

  close(): void {
    this.#worker?.terminate();
    this.#worker = null;
    for (const id of this.#pending.keys()) this.#drop(id, new FixityClientError("aborted", "The client was closed."));
  }

  #begin(onHashed: (bytes: number) => void): { readonly id: number; readonly digest: Promise<string> } {
    this.#lastId += 1;
    const id = this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    promise.catch(() => null);
    this.#pending.set(id, { onHashed, resolve, reject });
    return { id, digest: promise };
  }

  #post(message: ToWorker): void {
    if (!this.#pending.has(message.id)) return;
    try {
      this.#worker ??= this.#start();
      this.#worker.postMessage(message);
    } catch (cause) {
      this.#end(message.id)?.reject(cannotVerify(cause)); // a policy that allows no worker
    }
  }

  #start(): HashWorker {
    const worker = this.#createWorker();
    worker.addEventListener("message", ({ data }) => this.#onMessage(data as FromWorker));
    // the script was not found, or may not run
    worker.addEventListener("error", (event) => {
      for (const id of this.#pending.keys()) this.#end(id)?.reject(cannotVerify(event));
    });
    return worker;
  }

  #onMessage(message: FromWorker): void {
    const { id } = message;
    if ("hashed" in message) this.#pending.get(id)?.onHashed(message.hashed);
    else if ("hex" in message) this.#end(id)?.resolve(message.hex);
    else this.#end(id)?.reject(message.failed === "source" ? sourceChanged() : cannotVerify());
  }

  #drop(id: number, error: FixityClientError): void {
    this.#worker?.postMessage({ id, type: "drop" } satisfies ToWorker);
    this.#end(id)?.reject(error);
  }

  #end(id: number): PendingHash | undefined {
    const hash = this.#pending.get(id);
    this.#pending.delete(id);
    return hash;
  }
}

async function readWhole(blob: Blob): Promise<ArrayBuffer> {
  try {
    return await blob.arrayBuffer();
  } catch (cause) {
    throw sourceChanged(cause);
  }
}

function cannotVerify(cause?: unknown): FixityClientError {
  return new FixityClientError("cannot-verify", "The worker that hashes cannot run.", { cause });
}
