import { timeLimit } from "../base/abort-race.ts";
import { forEachConcurrent } from "../base/map-concurrent.ts";
import type { Digest } from "../core/digest.ts";
import type { DocumentStore } from "../core/document-store.ts";
import { FixityError } from "../core/errors.ts";
import type { BlobStore } from "../core/store.ts";
import {
  DIGEST_PREFIXES,
  duePrefixes,
  type Passes,
  readPasses,
  recordPasses,
} from "../core/verification/verification-passes.ts";

/*
 * How `fixity verify` goes through all blobs: prefix by prefix, two hex digits of the digest each, so that a run that was
 * stopped leaves behind which prefixes it has completed. Blobs of neighbouring prefixes are read concurrently, so the listing
 * of one prefix does not wait for the last blob of the one before.
 */

/** Completed passes are recorded at most this often, and at the end: a write costs a flush or a request. */
const RECORD_INTERVAL_MS = 5_000;

/** How long an interrupted run waits until what it has completed is recorded. */
const LAST_WRITE_TIMEOUT_MS = 5_000;

/** What a walk reads, and how. */
export interface WalkOptions {
  /** From {@link planWalk}. */
  readonly prefixes: readonly string[];
  readonly concurrency: number;
  readonly signal: AbortSignal;
  /** Reads a blob. Returns whether it could be read, whatever was found. */
  readonly verify: (digest: Digest) => Promise<boolean>;
  /** Prefixes that hold something that cannot be read: their passes are not complete. */
  readonly unreadable: ReadonlySet<string>;
  /** Called when all blobs of a prefix have been read or tried. */
  readonly onPrefix: () => void;
  /** Receives failures to record passes, which do not end the walk. */
  readonly warn: (message: string, error: unknown) => void;
  /** @default {@link RECORD_INTERVAL_MS} */
  readonly recordIntervalMs?: number;
}

/**
 * The prefixes that a run reads: all, or those whose last complete pass is older than `olderThanMs`,
 * the oldest first.
 *
 * @returns `null` if the store can only be listed as a whole
 * @throws FixityError `invalid-option` if the store cannot keep the times of passes; `store-…` codes
 */
export async function planWalk(
  store: BlobStore,
  olderThanMs: number | null,
  signal: AbortSignal,
): Promise<readonly string[] | null> {
  const { documents, description } = store;
  const hasPrefixes = store.listPrefix !== undefined;
  if (olderThanMs === null) return hasPrefixes ? DIGEST_PREFIXES : null;
  if (hasPrefixes && documents !== undefined) {
    return duePrefixes(await readPasses(documents, signal), olderThanMs);
  }
  throw new FixityError(
    "invalid-option",
    `--older-than needs to know what was verified when, and this store cannot keep that: ${description}. Leave the flag out.`,
  );
}

/**
 * Reads all blobs of some prefixes, and records in the store's documents which of them were read
 * completely, also if the walk ends early.
 *
 * @throws the first failure of the listing or of `verify`, or the signal's reason
 */
export async function walkPrefixes(store: BlobStore, options: WalkOptions): Promise<void> {
  const { concurrency, signal, verify, onPrefix, unreadable } = options;
  await using recorder = new PassRecorder(store.documents, options);
  const onEnd = async ({ prefix, startedAt, isReadable }: PrefixPass): Promise<void> => {
    onPrefix();
    if (isReadable && !unreadable.has(prefix)) await recorder.add(prefix, startedAt);
  };
  const blobs = blobsOf(store, options, onEnd);
  await forEachConcurrent(
    blobs,
    concurrency,
    async ({ digest, pass }) => {
      const isReadable = await verify(digest);
      await pass.finish(isReadable);
    },
    signal,
  );
}

/** A blob, and the pass that it is read in. */
interface WalkedBlob {
  readonly digest: Digest;
  readonly pass: PrefixPass;
}

async function* blobsOf(
  store: BlobStore,
  { prefixes, signal }: WalkOptions,
  onEnd: (pass: PrefixPass) => Promise<void>,
): AsyncGenerator<WalkedBlob, void, undefined> {
  for (const prefix of prefixes) {
    const pass = new PrefixPass(prefix, onEnd);
    for await (const { digest } of store.listPrefix?.(prefix, signal) ?? []) {
      pass.begin();
      yield { digest, pass };
    }
    await pass.finish(true);
  }
}

/** One pass over a prefix. It ends when its listing and the reads of all its blobs have ended. */
class PrefixPass {
  readonly prefix: string;
  readonly startedAt: number = Date.now();
  readonly #onEnd: (pass: PrefixPass) => Promise<void>;
  /** The listing, and the blobs that are being read. */
  #running = 1;
  #isReadable = true;

  constructor(prefix: string, onEnd: (pass: PrefixPass) => Promise<void>) {
    this.prefix = prefix;
    this.#onEnd = onEnd;
  }

  /** Whether every blob so far could be read. */
  get isReadable(): boolean {
    return this.#isReadable;
  }

  begin(): void {
    this.#running += 1;
  }

  async finish(isReadable: boolean): Promise<void> {
    if (!isReadable) this.#isReadable = false;
    this.#running -= 1;
    if (this.#running === 0) await this.#onEnd(this);
  }
}

/** Writes completed passes into the store's documents, now and then and when it is disposed of. */
class PassRecorder implements AsyncDisposable {
  readonly #documents: DocumentStore | undefined;
  readonly #warn: WalkOptions["warn"];
  readonly #intervalMs: number;
  readonly #signal: AbortSignal;
  #pending = new Map<string, number>();
  #writtenAt = performance.now();
  #writing: Promise<void> | null = null;
  #hasWarned = false;

  constructor(documents: DocumentStore | undefined, options: WalkOptions) {
    const { warn, signal, recordIntervalMs = RECORD_INTERVAL_MS } = options;
    this.#documents = documents;
    this.#signal = signal;
    this.#warn = warn;
    this.#intervalMs = recordIntervalMs;
  }

  async add(prefix: string, startedAt: number): Promise<void> {
    this.#pending.set(prefix, startedAt);
    if (this.#writing === null && performance.now() - this.#writtenAt >= this.#intervalMs) await this.#write();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const recorded = this.#writeLast();
    // Whoever has interrupted the command does not wait for a store that does not answer.
    await (this.#signal.aborted ? timeLimit(recorded, LAST_WRITE_TIMEOUT_MS) : recorded);
  }

  async #writeLast(): Promise<void> {
    await this.#writing;
    await this.#write();
  }

  async #write(): Promise<void> {
    const passes: Passes = this.#pending;
    if (this.#documents === undefined || passes.size === 0) return;
    this.#pending = new Map();
    this.#writing = recordPasses(this.#documents, passes).catch((error: unknown) => this.#keep(passes, error));
    await this.#writing;
    this.#writing = null;
    this.#writtenAt = performance.now();
  }

  /** The next write tries again. */
  #keep(passes: Passes, error: unknown): void {
    this.#pending = new Map([...passes, ...this.#pending]);
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    this.#warn("it cannot be recorded what was verified, so --older-than will verify it again", error);
  }
}
