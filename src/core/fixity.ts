/**
 * The service without HTTP: everything that fixity does, over any store.
 *     fixity.ts       the public surface: uploads, reads, verification, collections; owns the rest
 *     plain-uploads.ts  uploads of one request, and claims of stored content
 *     admissions.ts   the running work, which closing the service interrupts and waits for
 *     hooks.ts        the calls to the app that embeds the service
 *     intake.ts       counts, limits and hashes incoming bytes
 *     store.ts        the port to a store of blobs; upload-store.ts is its part for resumable uploads
 *     uploads/        the engine for resumable uploads
 *     blocks.ts       what the operator has blocked; marks.ts is what instances share about blobs
 *     purges.ts       the calls to the hook that purges caches
 *     events/         what happens to blobs, delivered to other systems at least once
 *     verification/   reads that are verified, and what is done about damage
 *     errors.ts       the error catalogue
 *     diagnostics.ts  the channels on which the ends of uploads and collections are published
 * A plain upload is staged in the store while it is hashed, and committed under its digest. The
 * state of the service is in the store alone: it may be restarted, and run several times over one
 * store, at any moment.
 */
import { runAll } from "../base/run-all.ts";
import { type Permit, permitFor, type Permits, type PermitTerms } from "../access/permits.ts";
import { type LinkSigner, signedQueryOf, type SignOptions } from "../access/signed-links.ts";
import type { TypeList } from "../access/type-list.ts";
import { type Admission, Admissions, type CloseOptions, stoppedBy } from "./admissions.ts";
import { type Block, type BlockOptions, Blocks } from "./blocks.ts";
import { type CleanupEvent, cleanupEnded, type FixityUsage } from "./diagnostics.ts";
import { Digest } from "./digest.ts";
import type { ByteSource } from "./intake.ts";
import { Link, type Receipt } from "./link.ts";
import { Marks } from "./marks.ts";
import { type FixityOptions, type Reads, type ResolvedOptions, resolveOptions } from "./options.ts";
import { PlainUploads, type PutOptions } from "./plain-uploads.ts";
import { Purges } from "./purges.ts";
import type { BlobStat } from "./blob-stat.ts";
import { Events, type PendingEvents } from "./events/events.ts";
import type { BlobReader, BlobStore, Collected, OpenOptions } from "./store.ts";
import type { UploadId } from "./upload-id.ts";
import type { OpenUploadsBound, OpenUploadsStore } from "./uploads/open-uploads.ts";
import { Uploads } from "./uploads/uploads.ts";
import { VerifiedBlobs } from "./verification/verified-blobs.ts";
import { VerifiedReads } from "./verification/verified-reads.ts";
import type { Verification, VerifyOptions } from "./verification/whole-reads.ts";

/** The path segment between the prefix and the id of a resumable upload. No link has this form. */
export const UPLOADS_SEGMENT = "in-progress";

/** What the processes of one server keep together. */
export interface SharedMemory {
  readonly verified: VerifiedBlobs;
  /** Makes the bound on unfinished uploads. @param store this process's look at an upload */
  readonly openUploads: (store: OpenUploadsStore) => OpenUploadsBound;
}

/**
 * A service over one store. Made by {@link createFixity}.
 *
 * @template Context what the embedding app knows about a request, for its hooks
 */
export class Fixity<Context = unknown> implements AsyncDisposable {
  /** Resumable uploads; `null` if the store cannot keep them. */
  readonly uploads: Uploads | null;
  readonly #events: Events | null;
  readonly #options: ResolvedOptions;
  readonly #admissions = new Admissions();
  readonly #reads: VerifiedReads;
  readonly #plain: PlainUploads;
  readonly #purges: Purges;
  readonly #blocks: Blocks;

  /** @param shared for one of several processes of a server. @default memory of its own */
  constructor(options: FixityOptions<Context>, shared?: SharedMemory) {
    this.#options = resolveOptions(options);
    const { store, verifyReads, linkBase, eventOptions, onPurge, log } = this.#options;
    const admissions = this.#admissions;
    const marks = new Marks(store.documents, log);
    const purges = new Purges(onPurge, log);
    const { verified = new VerifiedBlobs(), openUploads } = shared ?? {};
    const blocks = new Blocks(marks, purges);
    const onRecovered = (digest: Digest): Promise<void> => this.#reads.noteCommitted(digest);
    const events = eventOptions && new Events({ ...eventOptions, store, linkBase, log, onRecovered });
    this.#reads = new VerifiedReads(store, { mode: verifyReads, admissions, marks, events, purges, log, verified });
    this.#purges = purges;
    this.#blocks = blocks;
    this.#events = events;
    const uploadOptions = { ...this.#options, admissions, reads: this.#reads, blocks, events, openUploads };
    this.#plain = new PlainUploads(uploadOptions);
    this.uploads = store.uploads === undefined ? null : new Uploads(store.uploads, uploadOptions);
  }

  /** Events that wait for their delivery; `null` without the option `events`. */
  get events(): PendingEvents | null {
    return this.#events;
  }

  /** The store that the service was created with. */
  get store(): BlobStore {
    return this.#options.store;
  }

  /** The largest size of a file, in bytes. */
  get maxSize(): number {
    return this.#options.maxSize;
  }

  /** The types of files that are accepted; `null` for all. */
  get types(): TypeList | null {
    return this.#options.types;
  }

  /** Who may read. */
  get reads(): Reads {
    return this.#options.readPolicy;
  }

  /** Whether uploaders learn that their content was stored before. */
  get revealsExisting(): boolean {
    return this.#options.revealExisting;
  }

  /** The path in front of links, such as `/uploads`. */
  get prefix(): string {
    return this.#options.prefix;
  }

  /**
   * The origin of the public URL, such as `https://files.example.com`; `null` if links are
   * relative.
   */
  get publicOrigin(): string | null {
    return this.#options.publicOrigin;
  }

  /** Mints and verifies permits; `null` without `permitKeys`. */
  get permits(): Permits | null {
    return this.#options.permits;
  }

  /** Signs and verifies links; `null` without `linkKeys`. */
  get links(): LinkSigner | null {
    return this.#options.links;
  }

  /**
   * Stores the bytes of `source`. When it returns, they are complete, verified and durable; when it
   * throws, nothing is stored and the source has been closed.
   *
   * @throws FixityError `size-limit-exceeded`, `length-mismatch`, `digest-mismatch`,
   *   `type-not-allowed`, `access-expired`, `blob-blocked`, or a `store-…` code
   */
  put(source: ByteSource | Uint8Array | Blob, options: PutOptions = {}): Promise<Receipt> {
    return this.#plain.put(source, options);
  }

  /**
   * The receipt for content that is already stored, or `null` (always with `revealExisting: false`): an upload that announces its digest
   * and its length need not send its bytes. The blob is durable and verified when this returns. If
   * its verification is due, this waits for it for up to 10 seconds; then there is no receipt.
   */
  async claim(digest: Digest, options: PutOptions = {}): Promise<Receipt | null> {
    const found = await this.lookUp(digest, options);
    return typeof found === "string" ? null : found;
  }

  /**
   * Like {@link claim}, but distinguishes why there is no receipt: `absent` if the store has no
   * such blob (pass `isKnownAbsent` to {@link put} then), `unknown` without a length, or if the blob
   * has another size, is damaged, or was not verified in time.
   */
  lookUp(digest: Digest, options: PutOptions = {}): Promise<Receipt | "absent" | "unknown"> {
    return this.#plain.lookUp(digest, options);
  }

  /**
   * Opens a blob, or one range of it, for reading; `null` if there is none. The bytes are verified
   * as `verifyReads` demands: a reader of a damaged blob fails before its last byte.
   *
   * @throws FixityError `blob-blocked`, `blob-damaged`, `range-not-satisfiable`, or a `store-…` code
   */
  async open(digest: Digest, options?: OpenOptions): Promise<BlobReader | null> {
    this.#admissions.assertOpen();
    await this.#blocks.assertNone(digest, options?.signal);
    const reader = await this.#reads.open(digest, options);
    return reader === null || reader.verifiedBytes !== undefined ? reader : this.#blocks.guard(digest, reader);
  }

  /**
   * The facts of a blob, or `null`. A blob of up to 256 KiB is verified as by {@link open}; of a
   * larger one, only that it is stored is stated.
   *
   * @throws FixityError `blob-blocked`, `blob-damaged`, or a `store-…` code
   */
  async stat(digest: Digest, signal?: AbortSignal): Promise<BlobStat | null> {
    this.#admissions.assertOpen();
    await this.#blocks.assertNone(digest, signal);
    return this.#reads.stat(digest, signal);
  }

  /**
   * Like {@link stat}, before several ranges of a blob are read, or another server sends it:
   * verifies as much as {@link open} does for a range.
   */
  async statForRanges(digest: Digest, signal?: AbortSignal): Promise<BlobStat | null> {
    this.#admissions.assertOpen();
    await this.#blocks.assertNone(digest, signal);
    return this.#reads.statForRanges(digest, signal);
  }

  /** All blobs, in no particular order. */
  list(signal?: AbortSignal): AsyncIterable<BlobStat> {
    this.#admissions.assertOpen();
    return this.store.list(signal);
  }

  /**
   * Removes a blob, and with it every link to it; `false` if there was none. Caches are purged in
   * either case, so that a removal that was interrupted can be repeated.
   */
  async remove(digest: Digest, signal?: AbortSignal): Promise<boolean> {
    using _ = this.#admissions.admit("in-time");
    const remove = (): Promise<boolean> => this.store.remove(digest, signal);
    const isRemoved = await (this.#events?.removing(digest, remove) ?? remove());
    if (isRemoved) await this.#reads.noteRemoved(digest);
    await this.#purges.now(digest, "removed");
    return isRemoved;
  }

  /**
   * Blocks a digest, whether it is stored or not: it is neither read nor uploaded, here from now on
   * and on the other instances within 10 seconds. Its stored bytes stay. A second call replaces the
   * reason.
   *
   * @throws FixityError `invalid-option` for invalid options, or if the store keeps no documents; or
   *   a `store-…` code
   */
  block(digest: Digest, options: BlockOptions): Promise<Block> {
    return this.#blocks.add(digest, options);
  }

  /** Ends the block of a digest. @returns `false` if there was none @throws as {@link block} does */
  unblock(digest: Digest): Promise<boolean> {
    return this.#blocks.remove(digest);
  }

  /** Whether a digest is blocked, as known for at most 10 seconds. @throws FixityError `store-…` */
  isBlocked(digest: Digest, signal?: AbortSignal): Promise<boolean> {
    return this.#blocks.has(digest, signal);
  }

  /** @throws FixityError `blob-blocked` if a digest is blocked, or a `store-…` code */
  assertNotBlocked(digest: Digest, signal?: AbortSignal): Promise<void> {
    return this.#blocks.assertNone(digest, signal);
  }

  /** All blocks, by digest. @throws as {@link block} does */
  blocks(signal?: AbortSignal): Promise<Block[]> {
    return this.#blocks.list(signal);
  }

  /**
   * Reads a blob again and compares its digest; `null` if there is none. A blob that differs twice
   * is damaged: it is no longer served, by any instance, until it is uploaded again.
   *
   * @param options `marks: false` only reports damage
   */
  async verify(digest: Digest, signal?: AbortSignal, options: VerifyOptions = {}): Promise<Verification | null> {
    using admission = this.#admissions.admit("at-once");
    const reading = await this.#reads.verify(digest, { ...options, signal: stoppedBy(admission, signal) });
    if (reading === null || reading.isIntact) return reading && { intact: true, size: reading.size };
    return { intact: false, size: reading.damage.size, found: reading.damage.found };
  }

  /**
   * Removes what dead processes have left behind and expired uploads, and completes uploads whose
   * server died after their last byte. If all of it succeeds, the store is marked for other
   * servers.
   *
   * @throws FixityError the first failure, once everything has been tried
   */
  async collect(signal?: AbortSignal): Promise<Collected> {
    using admission = this.#admissions.admit("at-once");
    const startedAt = performance.now();
    let event: Omit<CleanupEvent, "durationMs"> = { outcome: "failed", staged: 0, bytes: 0 };
    try {
      const collected = await this.#collect(stoppedBy(admission, signal));
      event = { outcome: "ok", ...collected };
      return collected;
    } finally {
      if (cleanupEnded.isObserved) cleanupEnded.publish({ ...event, durationMs: performance.now() - startedAt });
    }
  }

  async #collect(stopped: AbortSignal): Promise<Collected> {
    const none: Collected = { staged: 0, bytes: 0 };
    const { documents } = this.store;
    const tasks = [
      async () => (await this.uploads?.collect(stopped)) ?? none,
      () => this.store.collect(stopped),
      async () => {
        if (documents !== undefined) await this.permits?.collectRedemptions(documents, stopped);
        return none;
      },
    ];
    const collected = await runAll(tasks, stopped);
    await this.store.collectionMark?.set(stopped);
    return collected.reduce((one, other) => ({ staged: one.staged + other.staged, bytes: one.bytes + other.bytes }));
  }

  /** For metrics. */
  usage(): FixityUsage {
    const damagedBlobs = this.#reads.damagedCount;
    return { ...this.store.usage?.(), openUploads: this.uploads?.openCount ?? 0, damagedBlobs };
  }

  /** The service is closing or closed: it accepts no new work. */
  get isClosing(): boolean {
    return this.#admissions.isClosing;
  }

  /**
   * Admits a request, for a protocol handler. Calls with the admission belong to the request:
   * {@link close} does not refuse them, and waits until the admission is disposed of. When the time
   * to finish is up, the admission's listener must end the request.
   *
   * @throws FixityError `shutting-down`
   */
  admit(): Admission {
    return this.#admissions.admit("in-time");
  }

  /**
   * Shuts the service down, before its process exits or its store is disposed of:
   *
   * 1. New work is refused with `shutting-down` from now on.
   * 2. Appends to resumable uploads are interrupted at once: the bytes that have arrived are saved,
   *    and the appends fail with `shutting-down` and the durable offset.
   * 3. Plain uploads may finish within `timeout`. Then they are interrupted too, and nothing of
   *    them is stored.
   *
   * 4. Events that are due are delivered for up to 2 s. Other instances deliver the rest.
   *
   * Resolves when all of them have ended. It does not wait for downloads, which the server has to
   * drain, and does not dispose of the store, which belongs to its creator. A second call waits for
   * the first.
   *
   * @throws FixityError `store-unavailable` if the store has not saved everything 10 s after the
   *   interruption: a store that does not respond cannot keep the process from exiting
   */
  async close({ timeout = 30_000 }: CloseOptions = {}): Promise<void> {
    try {
      await this.#admissions.close(timeout);
    } finally {
      await this.#events?.close();
    }
  }

  /** {@link close}, with its defaults. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The URL of a link, as clients receive it. */
  urlOf(link: Link): string {
    return this.#options.linkBase + link.toString();
  }

  /**
   * The URL with which a link can be read until it expires, also where reads are not public.
   *
   * @param target a digest is a link without an extension
   * @throws FixityError `invalid-option` without `linkKeys`, or for invalid options
   */
  sign(target: Link | Digest, options: SignOptions): string {
    const link = target instanceof Digest ? Link.to(target) : target;
    return `${this.urlOf(link)}?${signedQueryOf(link, this.links, options)}`;
  }

  /**
   * A permit: lets its bearer upload within limits until it expires.
   *
   * @throws FixityError `invalid-option` without `permitKeys`, or for invalid terms
   */
  permit(terms: PermitTerms): Permit {
    return permitFor(this.#options.linkBase.slice(0, -1), this.permits, terms);
  }

  /** The URL of a resumable upload, as clients receive it. */
  urlOfUpload(id: UploadId): string {
    return `${this.#options.linkBase}${UPLOADS_SEGMENT}/${id.hex}`;
  }
}

/** Makes a service over a store. */
export function createFixity<Context = unknown>(options: FixityOptions<Context>): Fixity<Context> {
  return new Fixity(options);
}
