/**
 * Resumable uploads: the engine beneath both protocols, over any `UploadStore`.
 *
 *     uploads.ts        create, find, append, cancel, collect: who holds an upload, and what becomes of it
 *     announcements.ts  what requests announce, and whether it fits together
 *     append.ts         one append, from the checks of its announcements to the saved bytes
 *     completion.ts     sealed bytes become a blob; the response to a lost last append is repeated
 *     upload-hashes.ts  the hashes of the bytes that an upload already has
 *     upload-record.ts  the record that is saved with the bytes: its format and its expiry
 *     open-uploads.ts   the bound on unfinished uploads, and each client's share of it
 *
 * The life of an upload, as its record shows it:
 *
 *     created ── append … append ── sealed ── blob committed ── concluded with an outcome ── expired, removed
 *
 * Offsets are acknowledged only after a save that covers them, so they never decrease. The last
 * byte seals the upload; from then on it can only become a blob. A concluded upload keeps its
 * record, without bytes, so that a client can ask for the outcome again.
 *
 * A request takes an upload over from its holder, here or on another instance, who saves what it
 * has or is fenced off. Only `cancel`, an expiry and an eviction (`open-uploads.ts`) remove
 * uploads, each as the holder and after reading the record once more. A crash loses the bytes since
 * the last save. The next request for a sealed upload, or a collection, completes it.
 */
import { forEachConcurrent } from "../../base/map-concurrent.ts";
import { type Admissions, stoppedBy } from "../admissions.ts";
import { publishUpload } from "../diagnostics.ts";
import { asFixityError, type FixityError } from "../errors.ts";
import { type Hashes, sizeLimitExceeded } from "../intake.ts";
import { InterruptibleSource } from "../interruptible-source.ts";
import { mediaTypeOf } from "../media-type.ts";
import type { Collected } from "../store.ts";
import { UploadId, uploadNotFound } from "../upload-id.ts";
import type { EndedUpload, HeldUpload, ReadUpload, UploadStore } from "../upload-store.ts";
import type { VerifiedReads } from "../verification/verified-reads.ts";
import { assertAnnounced } from "./announcements.ts";
import { Append } from "./append.ts";
import { assertReplay, Completions } from "./completion.ts";
import { isEvictable, OpenUploads } from "./open-uploads.ts";
import { UploadHashes } from "./upload-hashes.ts";
import type { AppendLimits, AppendOptions, CreateOptions, UploadsOptions } from "./upload-options.ts";
import {
  failedRecord,
  formatRecord,
  type HeldRecord,
  isAbandoned,
  isDamaged,
  isExpired,
  isFinalFailure,
  isUnfinished,
  mayBeDue,
  newRecord,
  parseRecord,
  readableRecord,
  recordOfEnded,
  stateOf,
  uploadDamaged,
  type UploadRecord,
  type UploadState,
} from "./upload-record.ts";

/** Uploads that a collection examines concurrently. Each waits for the store most of the time. */
const COLLECTION_CONCURRENCY = 16;

/** What reading an upload shows, without taking it from its holder. */
type Sighting =
  | { readonly status: "ended"; readonly record: UploadRecord }
  /** It has no holder, so its offset is final until a request takes it. */
  | { readonly status: "idle"; readonly record: UploadRecord; readonly read: ReadUpload }
  /** To know more, or to conclude a damaged upload, it must be held. */
  | { readonly status: "unsettled"; readonly read: ReadUpload };

/** The engine over one store. Its calls may run concurrently, here and on other instances. */
export class Uploads {
  readonly limits: AppendLimits;
  readonly #reads: VerifiedReads;
  readonly #store: UploadStore;
  readonly #linkBase: string;
  readonly #hashes = new UploadHashes();
  readonly #completions: Completions;
  readonly #open: OpenUploads;
  readonly #admissions: Admissions;

  constructor(store: UploadStore, { linkBase, maxSize, uploads, admissions, reads }: UploadsOptions) {
    this.limits = { maxSize, ...uploads };
    this.#reads = reads;
    this.#store = store;
    this.#linkBase = linkBase;
    this.#admissions = admissions;
    this.#completions = new Completions({ hashes: this.#hashes, reads, expiryMs: uploads.expiry });
    this.#open = new OpenUploads(uploads.maxOpen, {
      isOpen: async (id) => isUnfinished(await store.read(id)),
      evict: (id) => this.#evict(id),
    });
  }

  /**
   * Creates an upload. If content with the announced digest and length is stored already, the
   * upload is complete at once.
   *
   * @throws FixityError `size-limit-exceeded`, `append-limit-exceeded`, `append-too-small`,
   *   `inconsistent-length`, `too-many-uploads`, or a `store-…` code
   */
  async create(options: CreateOptions): Promise<UploadState> {
    return (await this.#create(options, "release")).state;
  }

  /**
   * Creates an upload and appends the bytes that come with its creation.
   *
   * @param onCreated called with the new upload before its bytes are received; not if it is
   *   complete at once
   * @throws as {@link create} and {@link append} do; the latter only after `onCreated` was called
   */
  async createAndAppend(
    options: CreateOptions,
    first: AppendOptions,
    onCreated: (created: UploadState) => void,
  ): Promise<UploadState> {
    const { state, held } = await this.#create(options, "hold");
    try {
      if (state.outcome !== null) return state;
      onCreated(state);
      return await this.append(state.id, first, held ?? undefined);
    } finally {
      await held?.[Symbol.asyncDispose]();
    }
  }

  /** @returns `held` only if it is to be held and the store can create it so */
  async #create(
    options: CreateOptions,
    then: "hold" | "release",
  ): Promise<{ readonly state: UploadState; readonly held: HeldUpload | null }> {
    using _ = this.#admissions.admit("in-time");
    const startedAt = performance.now();
    const { length, digest, sha512, first, keepsComplete = true, client = null } = options;
    if (length !== undefined && length > this.limits.maxSize) throw sizeLimitExceeded(this.limits.maxSize);
    const isClaimable = digest !== undefined && sha512 === undefined;
    const found = isClaimable ? await this.#reads.findStored(digest, { length }) : "unknown";
    const existing = typeof found === "string" ? null : found;
    if (existing === null && first !== undefined) assertAnnounced({ ...first, length: length ?? null }, this.limits);
    const id = UploadId.random();
    const record = newRecord(options, existing, this.limits.expiry);
    const hints = {
      mediaType: mediaTypeOf(record.extension),
      ...(digest !== undefined && { digest, isKnownAbsent: found === "absent" }),
      ...(length !== undefined && { length }),
    };
    if (existing !== null) {
      if (keepsComplete) await this.#store.create(id, formatRecord(record), { ...hints, isEnded: true });
      return { state: this.#ended(id, record, startedAt), held: null };
    }
    await this.#open.admit(id, record.expires, client);
    try {
      const held = then === "hold" ? await this.#store.createHeld?.(id, formatRecord(record), hints) : undefined;
      if (held === undefined) await this.#store.create(id, formatRecord(record), { ...hints, isEnded: false });
      this.#open.note(id, { expires: record.expires, offset: 0 });
      return { state: this.#stateOf(id, record, 0), held: held ?? null };
    } catch (error) {
      this.#open.forget(id);
      throw error;
    }
  }

  /**
   * The state of an upload. A request that is still sending bytes for it is ended, so that the
   * returned offset is the one to continue from. A sealed upload is completed first.
   *
   * @throws FixityError `upload-not-found`, or a `store-…` code
   */
  async find(id: UploadId, signal?: AbortSignal): Promise<UploadState> {
    using _ = this.#admissions.admit("in-time");
    return await this.#find(id, signal);
  }

  async #find(id: UploadId, signal: AbortSignal | undefined): Promise<UploadState> {
    const startedAt = performance.now();
    const seen = await this.#look(id, signal);
    if (seen.status === "ended") return this.#stateOf(id, seen.record, 0);
    if (seen.status === "idle") return this.#stateOf(id, seen.record, seen.read.offset);
    const taken = await this.#hold(id, signal, seen.read);
    if (taken.status === "ended") return this.#stateOf(id, await recordOfEnded(taken, this.limits.expiry), 0);
    await using held = taken;
    if (isDamaged(held)) return await this.#endDamaged({ id, held }, uploadDamaged(), startedAt);
    const record = parseRecord(held.record);
    if (record.sealed && record.outcome === null) return await this.#complete({ id, held, record }, null, startedAt);
    return this.#stateOf(id, record, held.offset);
  }

  /**
   * Appends a request's bytes, and makes a blob of the upload if they are the last ones. To an
   * upload that is already complete, an append of no bytes at its end returns the outcome again;
   * any other is an `offset-mismatch`.
   *
   * @param created the upload, if this request has created it and still holds it
   * @throws FixityError `upload-not-found`, `offset-mismatch`, `inconsistent-length`,
   *   `size-limit-exceeded`, `append-limit-exceeded`, `append-too-small`, `upload-superseded`, what
   *   the source or the check throws, or a `store-…` code; `shutting-down` if the service is
   *   closing, with the durable offset as its fact `upload-offset`
   */
  async append(id: UploadId, options: AppendOptions, created?: HeldUpload): Promise<UploadState> {
    using own = options.admission === undefined ? this.#admissions.admit("at-once") : null;
    using _ = this.#open.beginAppend(id);
    const stop = new AbortController();
    (own ?? options.admission)?.endAtOnce((reason) => stop.abort(reason));
    return await this.#append(id, options, { closing: stop.signal, created });
  }

  async #append(
    id: UploadId,
    options: AppendOptions,
    { closing, created }: { readonly closing: AbortSignal; readonly created: HeldUpload | undefined },
  ): Promise<UploadState> {
    const startedAt = performance.now();
    const replay = (ended: UploadRecord): Promise<UploadState> =>
      this.#replay(this.#stateOf(id, ended, 0), options, closing);
    const seen = created === undefined ? await this.#look(id) : null;
    if (seen?.status === "ended") return await replay(seen.record);
    const taken = created ?? (await this.#hold(id, undefined, seen?.read));
    if (taken.status === "ended") return await replay(await recordOfEnded(taken, this.limits.expiry));
    await using held = taken;
    if (isDamaged(held)) return await this.#endDamaged({ id, held }, uploadDamaged(), startedAt);
    const upload: HeldRecord = { id, held, record: parseRecord(held.record) };
    if (upload.record.outcome !== null) return await replay(upload.record);
    if (upload.record.sealed) {
      return await this.#replay(await this.#complete(upload, null, startedAt), options, closing);
    }

    const append = new Append(upload, options, { limits: this.limits, hashes: this.#hashes, closing });
    try {
      const { record, offset, unsaved } = await append.run();
      this.#open.note(id, { expires: record.expires, offset });
      if (record.sealed) return await this.#complete({ id, held, record }, unsaved, startedAt);
      return this.#stateOf(id, record, offset);
    } catch (error) {
      if (append.hasFailed) {
        this.#forget(id);
        publishUpload("resumable", asFixityError(error), { size: held.offset, startedAt });
      }
      if (isFinalFailure(error) && error.code === "upload-damaged") {
        return await this.#endDamaged({ id, held }, error, startedAt);
      }
      if (!append.hasFailed) options.onFailure?.(held.offset);
      throw error;
    }
  }

  /** The state of an ended upload, for a client that has lost the response to its last append. */
  async #replay(ended: UploadState, options: AppendOptions, closing: AbortSignal): Promise<UploadState> {
    const { outcome } = ended;
    if (outcome !== null && !(outcome instanceof Error)) {
      const source = new InterruptibleSource(options.source, { closing });
      await assertReplay(outcome, { ...options, source }, this.#reads);
    }
    return ended;
  }

  async #complete(upload: HeldRecord, unsaved: Hashes | null, startedAt: number): Promise<UploadState> {
    const record = await this.#completions.complete(upload, unsaved);
    this.#open.forget(upload.id);
    return this.#ended(upload.id, record, startedAt);
  }

  /** Concludes an upload that can never become a blob, which frees the space of its bytes. */
  async #endDamaged(
    { id, held }: Pick<HeldRecord, "id" | "held">,
    error: FixityError,
    startedAt: number,
  ): Promise<UploadState> {
    const record = failedRecord(readableRecord(held.record), error, this.limits.expiry);
    await held.conclude(formatRecord(record));
    this.#forget(id);
    return this.#ended(id, record, startedAt);
  }

  /** Removes an upload in any state; its blob stays. @throws FixityError `upload-not-found` */
  async cancel(id: UploadId): Promise<void> {
    using _ = this.#admissions.admit("in-time");
    await this.#completions.running(id);
    const taken = await this.#hold(id);
    await using held = taken.status === "held" ? taken : null;
    await (held ?? taken).remove();
    this.#forget(id);
  }

  /**
   * Removes expired uploads and completes abandoned ones; reads only records whose age suggests it.
   *
   * @throws the first failure, once all uploads have been examined
   */
  async collect(signal?: AbortSignal): Promise<Collected> {
    using admission = this.#admissions.admit("at-once");
    return await this.#collect(stoppedBy(admission, signal));
  }

  async #collect(signal: AbortSignal): Promise<Collected> {
    let total: Collected = { staged: 0, bytes: 0 };
    const failures: unknown[] = [];
    await forEachConcurrent(this.#store.list(signal), COLLECTION_CONCURRENCY, async (summary) => {
      if (!mayBeDue(summary, this.limits.expiry)) return;
      try {
        const { staged, bytes } = await this.#collectOne(summary.id, signal);
        total = { staged: total.staged + staged, bytes: total.bytes + bytes };
      } catch (reason) {
        signal.throwIfAborted();
        failures.push(reason);
      }
    });
    if (failures.length > 0) throw failures[0];
    return total;
  }

  async #collectOne(id: UploadId, signal: AbortSignal): Promise<Collected> {
    // Its append renews it, even if it looks expired at the moment.
    if (this.#open.isAppending(id)) return { staged: 0, bytes: 0 };
    const read = await this.#store.read(id, signal);
    if (read === null) return { staged: 0, bytes: 0 };
    const record = readableRecord(read.record);
    if (record !== null && isExpired(record)) {
      const bytes = await this.#removeIf(id, isExpired, { read, signal });
      if (bytes !== null && record.outcome === null) return { staged: 1, bytes };
    } else if (record === null || isAbandoned(record)) await this.#find(id, signal);
    return { staged: 0, bytes: 0 };
  }

  /** Reads an upload without taking it from its holder. @throws FixityError `upload-not-found` */
  async #look(id: UploadId, signal?: AbortSignal): Promise<Sighting> {
    const completed = await this.#completions.running(id);
    if (completed !== null) return { status: "ended", record: completed };
    const read = await this.#store.read(id, signal);
    const record = read === null || read.isDamaged === true ? null : readableRecord(read.record);
    if (read === null || (record !== null && record.outcome !== null)) this.#open.forget(id);
    if (read === null) throw uploadNotFound();
    if (record === null || isExpired(record)) return { status: "unsettled", read };
    if (record.outcome !== null) return { status: "ended", record };
    return read.isHeld || record.sealed ? { status: "unsettled", read } : { status: "idle", record, read };
  }

  /** @throws FixityError `upload-not-found`, also for an expired upload, which is removed */
  async #hold(id: UploadId, signal?: AbortSignal, read?: ReadUpload): Promise<HeldUpload | EndedUpload> {
    const taken = await this.#store.hold(id, signal, read);
    if (taken === null) throw uploadNotFound();
    await using stack = new AsyncDisposableStack();
    if (taken.status === "held") stack.use(taken);
    const record = readableRecord(taken.record);
    if (record !== null && isExpired(record)) {
      await taken.remove();
      this.#forget(id);
      throw uploadNotFound();
    }
    stack.move();
    return taken;
  }

  /** @returns whether the upload is gone */
  async #evict(id: UploadId): Promise<boolean> {
    const read = await this.#store.read(id);
    if (read === null) return true;
    const record = readableRecord(read.record);
    if (record === null || this.#open.isAppending(id) || !isEvictable(record, read.offset)) return false;
    return (await this.#removeIf(id, isEvictable, { read })) !== null;
  }

  /** @returns the number of removed bytes; `null` if the upload stays */
  async #removeIf(
    id: UploadId,
    isWanted: (record: UploadRecord, offset: number) => boolean,
    { read, signal }: { readonly read: ReadUpload; readonly signal?: AbortSignal },
  ): Promise<number | null> {
    const taken = await this.#store.hold(id, signal, read);
    await using held = taken?.status === "held" ? taken : null;
    const offset = held?.offset ?? 0;
    if (taken === null || !isWanted(parseRecord(taken.record), offset)) return null;
    await taken.remove();
    this.#forget(id);
    return offset;
  }

  /** The state of an upload that has just ended. */
  #ended(id: UploadId, record: UploadRecord, startedAt: number): UploadState {
    const state = this.#stateOf(id, record, 0);
    if (state.outcome !== null) publishUpload("resumable", state.outcome, { size: state.offset, startedAt });
    return state;
  }

  #stateOf(id: UploadId, record: UploadRecord, offset: number): UploadState {
    return stateOf(id, record, { offset, linkBase: this.#linkBase });
  }

  #forget(id: UploadId): void {
    this.#open.forget(id);
    this.#hashes.forget(id);
  }
}
