import { SharedTask } from "../../base/shared-task.ts";
import type { BlobIdentity, BlobStat } from "../../core/blob-stat.ts";
import { ByteRange, type ByteSpan } from "../../core/byte-range.ts";
import { publishVerification } from "../../core/diagnostics.ts";
import type { Digest } from "../../core/digest.ts";
import { FixityError } from "../../core/errors.ts";
import { receive } from "../../core/intake.ts";
import type { StagedBlob, StageOptions } from "../../core/staged-blob.ts";
import type { BlobReader, BlobStore, Collected, OpenOptions, StoreUsage } from "../../core/store.ts";
import type { Diagnosable } from "../doctor/finding.ts";
import { MemoryReader } from "../memory/memory-blobs.ts";
import { ByteCache } from "./byte-cache.ts";
import { HandedOverReader } from "./handed-over-reader.ts";
import type { ResolvedCacheOptions } from "./options.ts";
import { RecentDigests } from "./recent-digests.ts";

/** Larger blobs are not cached. Smaller ones are those that a response can carry in one write. */
export const CACHED_BLOB_MAX_BYTES: number = 256 * 1024;

/**
 * What an entry costs besides its bytes: key, map, list, identity, and the objects around the
 * buffer. Measured: 580 in the heap (`npm run bench -- cache`), 780 of resident memory.
 */
export const ENTRY_OVERHEAD_BYTES = 780;

/**
 * Bytes that are being loaded into the cache at a time, in addition to its budget. Further blobs are
 * read without the cache until there is room.
 */
const LOADING_MAX_BYTES = 8 * 1024 * 1024;

/** Digests of large blobs that are remembered, so that a range of one needs no look at its size. */
const LARGE_DIGESTS = 16_384;

/** A blob in the cache. Its bytes have been hashed here and have its digest. */
interface CachedBlob {
  /** Of exactly the blob's size, in memory of their own. Never changed: readers share them. */
  readonly bytes: Uint8Array;
  readonly identity: BlobIdentity | undefined;
  /** When the bytes were read and hashed, by `performance.now()`. */
  readonly verifiedAt: number;
  /** As the inner store reported it; `null` until it was asked, because readers do not. */
  modified: Date | null;
  /** When the inner store was asked for the blob, and had it. By the cache's clock. */
  checkedAt: number;
  revalidation: Shared<BlobStat | null> | null;
}

/** Work that concurrent callers share. */
interface Shared<Result> {
  readonly task: SharedTask<Result>;
  readonly startedAt: number;
}

/** What a load found: a blob in memory, or a reader of one that is not to be in memory. */
type Loaded =
  | { readonly kind: "verified"; readonly blob: CachedBlob }
  | { readonly kind: "damaged"; readonly bytes: Uint8Array; readonly identity: BlobIdentity | undefined }
  | { readonly kind: "not-buffered"; readonly reader: HandedOverReader };

/**
 * A store that keeps small blobs of another one in memory. Blobs never change, so what is cached
 * can only cease to exist.
 *
 *     open ──> ByteCache ── fresh ──────────────────────────────> the bytes, without the inner store
 *                  │ ├───── older than maxAgeMs ──> inner.stat ──> the bytes, or null, or a load
 *                  │ └───── absent ──> load: inner.open, hash ──> the bytes; cached if they have the digest
 *                  └─ large, or bypassCache ────────────────────> inner.open
 *
 * - **What is cached** was hashed by this process. Bytes that do not have the digest are passed on
 *   as they are and never cached: who reads them must verify them, as without a cache.
 * - **How old it may be.** An entry counts as existing for `maxAgeMs` after the inner store was last
 *   asked. Then the next caller asks for its identity. If that has changed, the blob is loaded again.
 *   Absence is never cached.
 * - **Removal** through this store removes the entry before the inner removal begins, and again
 *   after it has ended; loads that were running by then serve their callers but are not cached.
 *   Commits do not matter to the cache, since they store the same bytes.
 * - **Concurrent callers** share one load and one revalidation (`SharedTask`). They do not join one
 *   that began more than `maxAgeMs` ago.
 * - **Memory.** The bytes of all entries and what surrounds them stay within the budget
 *   (`ByteCache`). In addition there are up to {@link LOADING_MAX_BYTES} of running loads, and
 *   evicted blobs that responses are still sending.
 *
 * Everything else is the inner store's. Its optional members are forwarded by {@link capabilitiesOf}.
 */
export class CachedStore implements BlobStore {
  readonly #inner: BlobStore;
  readonly #maxAgeMs: number;
  readonly #now: () => number;
  readonly #budget: number;
  readonly #cache: ByteCache<CachedBlob>;
  readonly #large = new RecentDigests(LARGE_DIGESTS);
  /** Running loads that will be cached, by digest. */
  readonly #loads = new Map<string, Shared<Loaded | null>>();
  #loadingBytes = 0;
  #hits = 0;
  #misses = 0;

  /** Wraps a store; what it lacks, the result lacks too. */
  static over(inner: BlobStore & Partial<Diagnosable>, options: ResolvedCacheOptions): BlobStore {
    return Object.defineProperties(new CachedStore(inner, options), capabilitiesOf(inner));
  }

  private constructor(inner: BlobStore, { budget, maxAgeMs, now }: ResolvedCacheOptions) {
    this.#inner = inner;
    this.#maxAgeMs = maxAgeMs;
    this.#now = now;
    this.#budget = budget;
    this.#cache = new ByteCache(budget);
  }

  get kind(): string {
    return this.#inner.kind;
  }

  get description(): string {
    return this.#inner.description;
  }

  usage(): StoreUsage {
    const { cost: used, count: entries } = this.#cache;
    const cache = { used, budget: this.#budget, entries, hits: this.#hits, misses: this.#misses };
    return { ...this.#inner.usage?.(), cache };
  }

  async check(signal?: AbortSignal): Promise<void> {
    return this.#inner.check(signal);
  }

  async stat(digest: Digest, signal?: AbortSignal): Promise<BlobStat | null> {
    signal?.throwIfAborted();
    const blob = this.#cache.get(digest.hex);
    if (blob === undefined) return this.#inner.stat(digest, signal);
    const { bytes, identity, modified } = blob;
    if (modified === null || !this.#isRecent(blob.checkedAt)) return this.#revalidate(digest, blob, signal);
    return { digest, size: bytes.length, modified, ...(identity !== undefined && { identity }) };
  }

  async confirm(digest: Digest, signal?: AbortSignal): Promise<BlobStat | null> {
    return this.#inner.confirm(digest, signal);
  }

  async open(digest: Digest, options: OpenOptions = {}): Promise<BlobReader | null> {
    const { range, signal, bypassCache = false } = options;
    signal?.throwIfAborted();
    if (bypassCache) return this.#inner.open(digest, options);
    const blob = this.#cache.get(digest.hex);
    if (blob !== undefined) {
      const stat = this.#isRecent(blob.checkedAt) ? "unchanged" : await this.#revalidate(digest, blob, signal);
      if (stat === null) return null;
      if (stat === "unchanged" || isCopyOf(blob, stat)) {
        this.#hits += 1;
        return readerOf(blob, range, signal);
      }
    }
    if (this.#large.has(digest.hex)) return this.#inner.open(digest, options);
    this.#misses += 1;
    const found = await this.#load(digest).use((loaded) => taken(loaded, range, signal), signal);
    return found === "not-taken" ? this.#inner.open(digest, options) : found;
  }

  list(signal?: AbortSignal): AsyncIterable<BlobStat> {
    return this.#inner.list(signal);
  }

  async remove(digest: Digest, signal?: AbortSignal): Promise<boolean> {
    signal?.throwIfAborted();
    this.#forget(digest);
    try {
      return await this.#inner.remove(digest, signal);
    } finally {
      this.#forget(digest);
    }
  }

  async stage(options?: StageOptions): Promise<StagedBlob> {
    return this.#inner.stage(options);
  }

  async collect(signal?: AbortSignal): Promise<Collected> {
    return this.#inner.collect(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cache.clear();
    await this.#inner[Symbol.asyncDispose]();
  }

  #isRecent(time: number): boolean {
    return this.#now() - time < this.#maxAgeMs;
  }

  #forget(digest: Digest): void {
    this.#cache.delete(digest.hex);
    this.#loads.delete(digest.hex);
    this.#large.delete(digest.hex);
  }

  /** Asks the inner store for a blob that is cached, and drops the entry if it is another copy. */
  #revalidate(digest: Digest, blob: CachedBlob, signal: AbortSignal | undefined): Promise<BlobStat | null> {
    const running = blob.revalidation;
    if (running !== null && this.#mayJoin(running)) return running.task.wait(signal);
    const startedAt = this.#now();
    const task = new SharedTask(async (signal) => {
      try {
        const stat = await this.#inner.stat(digest, signal);
        if (stat === null || !isCopyOf(blob, stat)) {
          this.#cache.delete(digest.hex, blob);
        } else {
          blob.modified = stat.modified;
          blob.checkedAt = Math.max(blob.checkedAt, startedAt);
        }
        return stat;
      } finally {
        if (blob.revalidation?.task === task) blob.revalidation = null;
      }
    });
    blob.revalidation = { task, startedAt };
    return task.wait(signal);
  }

  /** The running load of a blob, or a new one. */
  #load(digest: Digest): SharedTask<Loaded | null> {
    const running = this.#loads.get(digest.hex);
    if (running !== undefined && this.#mayJoin(running)) return running.task;
    const startedAt = this.#now();
    // Removals and later loads take the load out of the map: then its result is not cached.
    const isCurrent = (): boolean => this.#loads.get(digest.hex)?.task === task;
    const task = new SharedTask(async (signal) => {
      try {
        const loaded = await this.#read(digest, startedAt, signal);
        if (loaded?.kind === "verified" && isCurrent()) {
          const { blob } = loaded;
          this.#cache.set(digest.hex, blob, blob.bytes.length + ENTRY_OVERHEAD_BYTES);
        }
        return loaded;
      } finally {
        if (isCurrent()) this.#loads.delete(digest.hex);
      }
    }, freeUnused);
    this.#loads.set(digest.hex, { task, startedAt });
    return task;
  }

  #mayJoin<Result>({ task, startedAt }: Shared<Result>): boolean {
    return !task.isAbandoned && this.#now() - startedAt <= this.#maxAgeMs;
  }

  async #read(digest: Digest, startedAt: number, signal: AbortSignal): Promise<Loaded | null> {
    const handedOver = await HandedOverReader.open(this.#inner, digest, signal);
    if (handedOver === null) return null;
    const { size, identity } = handedOver;
    if (size > CACHED_BLOB_MAX_BYTES) this.#large.add(digest.hex);
    if (size > CACHED_BLOB_MAX_BYTES || this.#loadingBytes + size > LOADING_MAX_BYTES) {
      return { kind: "not-buffered", reader: handedOver };
    }
    this.#loadingBytes += size;
    try {
      await using reader = handedOver;
      // In memory of its own: a slice would keep the rest of Node's pool of small buffers.
      const bytes = Buffer.allocUnsafeSlow(size);
      let position = 0;
      const { digest: found } = await receive(
        reader,
        (chunk) => {
          bytes.set(chunk, position);
          position += chunk.length;
        },
        { maxSize: size },
      );
      if (position < size) throw new FixityError("blob-damaged", "The store returned fewer bytes than the blob has.");
      if (!found.equals(digest)) return { kind: "damaged", bytes, identity };
      publishVerification(digest, "intact");
      const verifiedAt = performance.now();
      const blob = { bytes, identity, verifiedAt, modified: null, checkedAt: startedAt, revalidation: null };
      return { kind: "verified", blob };
    } finally {
      this.#loadingBytes -= size;
    }
  }
}

/** The optional members of a store. */
type CapabilityOf<Store> = { [Name in keyof Store]-?: object extends Pick<Store, Name> ? Name : never }[keyof Store];

/**
 * The optional members of the port, and of what this package's stores can do besides. A new one
 * does not compile until it is listed here, because whoever adds it must decide whether it changes
 * what is stored; a `Proxy` or a loop over all members would forward it unseen.
 */
const CAPABILITIES: Readonly<Record<Exclude<CapabilityOf<BlobStore & Partial<Diagnosable>>, "usage">, true>> = {
  uploads: true,
  documents: true,
  replacesCheaply: true,
  isLocal: true,
  collectionMark: true,
  filePath: true,
  presign: true,
  listPrefix: true,
  misplaced: true,
  stageFile: true,
  removeDamaged: true,
  diagnose: true,
};

/** Getters for the optional members that a store has. Methods keep the store as their `this`. */
function capabilitiesOf(inner: BlobStore & Partial<Diagnosable>): PropertyDescriptorMap {
  const descriptors: PropertyDescriptorMap = {};
  for (const name of Object.keys(CAPABILITIES) as (keyof typeof CAPABILITIES)[]) {
    const member: unknown = inner[name];
    if (member === undefined) continue;
    const method: unknown = typeof member === "function" ? member.bind(inner) : null;
    descriptors[name] = { get: () => method ?? inner[name], enumerable: true };
  }
  return descriptors;
}

/** A reader of bytes that are known to have the digest. */
class VerifiedReader extends MemoryReader {
  readonly verifiedBytes: Uint8Array;
  readonly verifiedAt: number;

  constructor(blob: CachedBlob, span: ByteSpan, signal: AbortSignal | undefined) {
    super(blob, span, signal);
    this.verifiedBytes = blob.bytes.subarray(span.start, span.end);
    this.verifiedAt = blob.verifiedAt;
  }
}

function readerOf(blob: CachedBlob, range: ByteRange | undefined, signal: AbortSignal | undefined): BlobReader {
  return new VerifiedReader(blob, ByteRange.resolve(range, blob.bytes.length), signal);
}

/**
 * What one caller receives of a load. Of a blob that is not in memory only one receives the reader,
 * if it wants all bytes.
 */
function taken(
  loaded: Loaded | null,
  range: ByteRange | undefined,
  signal: AbortSignal | undefined,
): BlobReader | null | "not-taken" {
  if (loaded === null) return null;
  if (loaded.kind === "verified") return readerOf(loaded.blob, range, signal);
  if (loaded.kind === "damaged") return new MemoryReader(loaded, ByteRange.resolve(range, loaded.bytes.length), signal);
  const { reader } = loaded;
  const { start, end } = ByteRange.resolve(range, reader.size);
  const isWhole = start === 0 && end === reader.size;
  return isWhole && reader.take(signal) ? reader : "not-taken";
}

function freeUnused(loaded: Loaded | null): void {
  if (loaded?.kind === "not-buffered") loaded.reader.freeUnlessTaken();
}

function isCopyOf(blob: CachedBlob, stat: BlobStat): boolean {
  return blob.bytes.length === stat.size && blob.identity === stat.identity;
}
