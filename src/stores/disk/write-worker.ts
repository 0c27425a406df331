import { dirname } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { flushFolderBlocking } from "./folder-flush.ts";
import { type BlobPaths, type OnUnremoved, publishBlob, stageBlob } from "./write-blob.ts";

/**
 * What is done with the blobs of a batch. `make`: all, without a flush. `stage`: their bytes are written, for the caller to flush.
 * `publish`: what was staged and flushed gets its place, and the folders are flushed.
 */
export type WriteStep = "make" | "stage" | "publish";

/** A blob of a batch. */
export interface BatchedBlob extends BlobPaths {
  /** Of the staging file, to be published; `null` before it is made. */
  readonly fd: number | null;
  /** Where its bytes begin and end in the memory that both threads share. */
  readonly start: number;
  readonly end: number;
}

/** What a thread is asked. */
export interface Batch {
  readonly step: WriteStep;
  readonly blobs: readonly BatchedBlob[];
}

/** What of a failed system call passes from thread to thread. */
export interface CallFailure {
  readonly message: string;
  readonly code: string | undefined;
  readonly errno: number | undefined;
  readonly syscall: string | undefined;
}

/** What has become of a blob. `declined`: nothing was done, and nothing is left of it. */
export type BlobOutcome =
  | { readonly is: "declined" }
  | { readonly is: "staged"; readonly fd: number }
  | { readonly is: "published" }
  | { readonly is: "unflushed"; readonly failure: CallFailure };

/** What a thread answers. */
export interface BatchAnswer {
  /** In the order of the request. */
  readonly outcomes: readonly BlobOutcome[];
  /** Staging files that could not be removed, and why. */
  readonly unremoved: readonly (readonly [path: string, error: unknown])[];
}

const memory = workerData as Uint8Array;

parentPort?.on("message", ({ step, blobs }: Batch) => {
  const unremoved: [string, unknown][] = [];
  const onUnremoved = (path: string, error: unknown): void => void unremoved.push([path, error]);
  const outcomes =
    step === "publish" ? publish(blobs, onUnremoved) : blobs.map((blob) => write(step, blob, onUnremoved));
  const answer: BatchAnswer = { outcomes, unremoved };
  parentPort?.postMessage(answer);
});

function write(step: "make" | "stage", blob: BatchedBlob, onUnremoved: OnUnremoved): BlobOutcome {
  const fd = stageBlob(blob, memory.subarray(blob.start, blob.end), onUnremoved);
  if (fd === null) return { is: "declined" };
  if (step === "stage") return { is: "staged", fd };
  return { is: publishBlob(blob, fd, onUnremoved) ? "published" : "declined" };
}

/** First all get their places: the first flush behind them brings most of it to the disk, the others find little to do. */
function publish(blobs: readonly BatchedBlob[], onUnremoved: OnUnremoved): BlobOutcome[] {
  const published = blobs.map((blob) => blob.fd !== null && publishBlob(blob, blob.fd, onUnremoved));
  const flushes = new Map<string, CallFailure | null>();
  return blobs.map(({ place }, index) => {
    if (published[index] !== true) return { is: "declined" };
    const folder = dirname(place);
    let failure = flushes.get(folder);
    if (failure === undefined) {
      failure = failureOfFlush(folder);
      flushes.set(folder, failure);
    }
    return failure === null ? { is: "published" } : { is: "unflushed", failure };
  });
}

function failureOfFlush(folder: string): CallFailure | null {
  try {
    flushFolderBlocking(folder);
    return null;
  } catch (error) {
    const { message, code, errno, syscall } = error as NodeJS.ErrnoException;
    return { message, code, errno, syscall };
  }
}
