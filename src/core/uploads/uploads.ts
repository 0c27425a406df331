/**
 * Resumable uploads: the engine beneath both protocols, over any `UploadStore`.
 *     uploads.ts        create, look, find, append, cancel: who holds an upload, and what becomes of it
 *     sightings.ts      what a read shows of an upload, before a request changes anything
 *     announcements.ts  what requests announce, and whether it fits together
 *     append.ts         one append, from the checks of its announcements to the saved bytes
 *     completion.ts     sealed bytes become a blob; the response to a lost last append is repeated
 *     upload-hashes.ts  the hashes of the bytes that an upload already has
 *     upload-record.ts  the record that is saved with the bytes: its format and its expiry
 *     open-uploads.ts   the bound on unfinished uploads, each client's share of it, each owner's limit
 *     removals.ts       what nobody continues: expired, abandoned and evicted uploads
 *
 * The life of an upload, as its record shows it:
 *
 *     created ── append … append ── sealed ── blob committed ── concluded with an outcome ── expired, removed
 *                                                  └── hook pending ──┘
 *
 * Offsets are acknowledged only after a save that covers them, so they never decrease. The last
 * byte seals the upload; from then on it can only become a blob. If the app has a hook (`onStored`),
 * the upload stays "hook pending" until the hook has succeeded, and is acknowledged only then. A concluded upload keeps its
 * record, without bytes, so that a client can ask for the outcome again.
 *
 * A request takes an upload over from its holder, here or on another instance, who saves what it
 * has or is fenced off. Only `cancel`, an expiry and an eviction (`removals.ts`) remove
 * uploads, each as the holder and after reading the record once more. A crash loses the bytes since
 * the last save. The next request for a sealed upload, or a collection, completes it.
 */
import { type Admissions, stoppedBy } from "../admissions.ts";
import { UploadTrace } from "../diagnostics.ts";
import { asFixityError, type FixityError } from "../errors.ts";
import { sizeLimitExceeded } from "../intake.ts";
import { mediaTypeOf } from "../media-type.ts";
import type { Collected } from "../store.ts";
import { UploadId, uploadNotFound } from "../upload-id.ts";
import { NO_TERMS } from "../upload-terms.ts";
import type { EndedUpload, HeldUpload, ReadUpload, UploadStore } from "../upload-store.ts";
import type { VerifiedReads } from "../verification/verified-reads.ts";
import { assertAnnounced, limitedBy } from "./announcements.ts";
import { Append } from "./append.ts";
import { assertReplay, type CompletionOptions, Completions } from "./completion.ts";
import { OpenUploads, type OpenUploadsBound, type OpenUploadsStore, RunningAppends } from "./open-uploads.ts";
import { Removals } from "./removals.ts";
import type { SeenUpload } from "./seen-upload.ts";
import { seenUpload, type SettledSighting, type Sighting, sightingIn, sightingOf } from "./sightings.ts";
import { UploadHashes } from "./upload-hashes.ts";
import type { AppendLimits, AppendOptions, CreateOptions, FindOptions, UploadsOptions } from "./upload-options.ts";
import {
  digestIn,
  failedRecord,
  formatRecord,
  type HeldRecord,
  isDamaged,
  isExpired,
  isFinalFailure,
  isUnfinished,
  newRecord,
  parseRecord,
  readableRecord,
  recordOfEnded,
  stateOf,
  type StoredOutcome,
  uploadDamaged,
  type UploadRecord,
  type UploadState,
} from "./upload-record.ts";

/** The engine over one store. Its calls may run concurrently, here and on other instances. */
export class Uploads {
  readonly limits: AppendLimits;
  readonly #reads: VerifiedReads;
  readonly #store: UploadStore;
  readonly #options: UploadsOptions;
  readonly #hashes = new UploadHashes();
  readonly #completions: Completions;
  readonly #open: OpenUploadsBound;
  readonly #appends = new RunningAppends();
  readonly #removals: Removals;
  readonly #admissions: Admissions;

  constructor(store: UploadStore, options: UploadsOptions) {
    const { linkBase, maxSize, uploads, hooks, admissions, reads, blocks, events } = options;
    this.limits = { maxSize, ...uploads };
    this.#reads = reads;
    this.#store = store;
    this.#options = options;
    this.#admissions = admissions;
    const hashes = this.#hashes;
    const expiryMs = uploads.expiry;
    this.#completions = new Completions({ hashes, reads, blocks, hooks, events, linkBase, expiryMs });
    const openStore: OpenUploadsStore = {
      isOpen: async (id) => isUnfinished(await store.read(id)),
      evict: (id) => this.#removals.evict(id),
    };
    this.#open = options.openUploads?.(openStore) ?? new OpenUploads(uploads.maxOpen, openStore);
    this.#removals = new Removals(store, {
      expiryMs,
      appends: this.#appends,
      runsHook: hooks.hasOnStored,
      complete: (id, signal) => this.#find(id, { signal, retriesHook: true }),
      onRemoved: (id) => this.#forget(id),
    });
  }

  /**
   * Creates an upload for the owner in its terms. If content with the announced digest and length
   * is stored already, the upload is complete at once.
   *
   * @throws FixityError `size-limit-exceeded`, `append-limit-exceeded`, `append-too-small`,
   *   `inconsistent-length`, `too-many-uploads`, `principal-limit-exceeded`, `type-not-allowed`,
   *   `digest-mismatch`, `blob-blocked`, or a `store-…` code
   */
  async create(options: CreateOptions): Promise<UploadState> {
    return (await this.#create(options, "release")).state;
  }

  /**
   * Creates an upload and appends the bytes that come with its creation, under the same terms.
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
      return await this.append(state.id, { ...first, terms: first.terms ?? options.terms }, held ?? undefined);
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
    const trace = new UploadTrace("resumable", options.terms?.source);
    const { length, digest, sha512, first, keepsComplete = true, client = null, terms = NO_TERMS } = options;
    if (length !== undefined && length > this.limits.maxSize) throw sizeLimitExceeded(this.limits.maxSize);
    const { hooks, types, revealExisting, blocks } = this.#options;
    const record = newRecord(options, { expiryMs: this.limits.expiry, hooked: hooks.hasOnStored, types });
    // Otherwise a digest alone would reveal something: the bytes have to arrive first.
    if (record.sha256 !== null && revealExisting) await blocks.assertNone(digestIn(record.sha256));
    const isClaimable = digest !== undefined && sha512 === undefined && revealExisting;
    const found = isClaimable ? await this.#reads.findStored(digest, { length }) : "unknown";
    const id = UploadId.random();
    const complete = typeof found === "string" ? null : await this.#completions.claim({ id, record, terms }, found);
    const limits = limitedBy(this.limits, terms);
    if (complete === null && first !== undefined) assertAnnounced({ ...first, length: length ?? null }, limits);
    const hints = {
      mediaType: mediaTypeOf(record.extension),
      ...(record.sha256 !== null && { digest: digestIn(record.sha256), isKnownAbsent: found === "absent" }),
      ...(length !== undefined && { length }),
    };
    if (complete !== null) {
      if (keepsComplete) await this.#store.create(id, formatRecord(complete), { ...hints, isEnded: true });
      return { state: this.#ended(id, complete, trace), held: null };
    }
    const { expires, owner } = record;
    await this.#open.admit(id, { expires, client, owner, maxOpen: terms.maxOpen });
    try {
      const held = then === "hold" ? await this.#store.createHeld?.(id, formatRecord(record), hints) : undefined;
      if (held === undefined) await this.#store.create(id, formatRecord(record), { ...hints, isEnded: false });
      this.#open.note(id, record, 0);
      return { state: this.#stateOf(id, record, 0), held: held ?? null };
    } catch (error) {
      this.#open.forget(id);
      throw error;
    }
  }

  /**
   * What one read shows of an upload, without changing anything; not even a read if this process is
   * making a blob of the upload. For a decision about a request.
   *
   * @throws FixityError `upload-not-found`, or a `store-…` code
   */
  async look(id: UploadId, signal?: AbortSignal): Promise<SeenUpload> {
    using _ = this.#admissions.admit("in-time");
    const record = this.#completions.recordOf(id);
    const sighting: Sighting =
      record === null ? await this.#read(id, signal) : { status: "completing", record, read: null };
    return seenUpload(id, sighting);
  }

  /**
   * The state of an upload. A request that is still sending bytes for it is ended, so that the
   * returned offset is the one to continue from. A sealed upload is completed first.
   *
   * @throws FixityError `upload-not-found`, a `store-…` code, or the failure of the hook
   */
  async find(id: UploadId, options: FindOptions = {}): Promise<UploadState> {
    using _ = this.#admissions.admit("in-time");
    return await this.#find(id, options);
  }

  async #find(id: UploadId, options: FindOptions): Promise<UploadState> {
    const { signal, retriesHook = false, terms = NO_TERMS } = options;
    const trace = new UploadTrace("resumable", terms.source);
    const { status, record: known, read } = await this.#settled(id, options);
    if (status === "ended") return this.#stateOf(id, known, 0);
    if (status === "idle" || (status === "pending" && !retriesHook)) return this.#stateOf(id, known, read.offset);
    const taken = await this.#hold(id, signal, read);
    if (taken.status === "ended") return this.#stateOf(id, await recordOfEnded(taken, this.limits.expiry), 0);
    await using held = taken;
    if (isDamaged(held)) return await this.#endDamaged({ id, held }, uploadDamaged(), trace);
    const upload: HeldRecord = { id, held, record: parseRecord(held.record) };
    const { sealed, outcome, pending } = upload.record;
    if (!sealed || outcome !== null || (pending !== null && !retriesHook)) {
      return this.#stateOf(id, upload.record, held.offset);
    }
    const ended = await this.#complete(upload, { unsaved: null, context: terms.context }, trace);
    return this.#stateOf(id, ended, 0);
  }

  /**
   * Appends a request's bytes, and makes a blob of the upload if they are the last ones. To an
   * upload that is already complete, an append of no bytes at its end returns the outcome again, and
   * calls a hook again that has not succeeded; any other is an `offset-mismatch`.
   *
   * @param created the upload, if this request has created it and still holds it
   * @throws FixityError `upload-not-found`, `offset-mismatch`, `inconsistent-length`,
   *   `size-limit-exceeded`, `append-limit-exceeded`, `append-too-small`, `upload-superseded`, what
   *   the source or the check throws, or a `store-…` code; `shutting-down` if the service is
   *   closing, with the durable offset as its fact `upload-offset`
   */
  async append(id: UploadId, options: AppendOptions, created?: HeldUpload): Promise<UploadState> {
    using own = options.admission === undefined ? this.#admissions.admit("at-once") : null;
    using _ = this.#appends.begin(id);
    const stop = new AbortController();
    (own ?? options.admission)?.endAtOnce((reason) => stop.abort(reason));
    return await this.#append(id, options, { closing: stop.signal, created });
  }

  async #append(
    id: UploadId,
    options: AppendOptions,
    { closing, created }: { readonly closing: AbortSignal; readonly created: HeldUpload | undefined },
  ): Promise<UploadState> {
    const { context, source } = options.terms ?? NO_TERMS;
    const trace = new UploadTrace("resumable", source);
    let isChecked = false;
    const check = async (stored: StoredOutcome): Promise<void> => {
      if (!isChecked) await assertReplay(stored, options, { blobs: this.#reads, closing });
      isChecked = true;
    };
    const replay = async (ended: UploadRecord): Promise<UploadState> => {
      if (ended.outcome !== null && !("failed" in ended.outcome)) await check(ended.outcome);
      return this.#stateOf(id, ended, 0);
    };
    const known = created === undefined ? await this.#settled(id, { seen: options.seen }) : null;
    if (known?.status === "ended") return await replay(known.record);
    if (known?.status === "pending") await check(known.record.pending);
    const taken = created ?? (await this.#hold(id, undefined, known?.read ?? undefined));
    if (taken.status === "ended") return await replay(await recordOfEnded(taken, this.limits.expiry));
    await using held = taken;
    if (isDamaged(held)) return await this.#endDamaged({ id, held }, uploadDamaged(), trace);
    const upload: HeldRecord = { id, held, record: parseRecord(held.record) };
    if (upload.record.outcome !== null) return await replay(upload.record);
    if (upload.record.sealed) {
      if (upload.record.pending !== null) await check(upload.record.pending);
      return await replay(await this.#complete(upload, { unsaved: null, context }, trace));
    }

    const { types, hooks } = this.#options;
    const engine = { limits: this.limits, types, keepsHead: hooks.hasInspect, hashes: this.#hashes, closing };
    const append = new Append(upload, options, engine);
    try {
      const { record, offset, unsaved } = await append.run(trace);
      trace.appended({ offset: options.offset, reached: offset });
      this.#open.note(id, record, offset);
      if (!record.sealed) return this.#stateOf(id, record, offset);
      const ended = await this.#complete({ id, held, record }, { unsaved, context }, trace);
      return this.#stateOf(id, ended, 0);
    } catch (error) {
      trace.appended({ offset: options.offset, reached: held.offset }, error);
      if (append.hasFailed) {
        this.#forget(id);
        trace.ended(asFixityError(error), held.offset);
      }
      // once the blob is stored, the failure is that of the hook, whatever its code
      const stored = readableRecord(held.record)?.pending ?? null;
      if (stored === null && isFinalFailure(error) && error.code === "upload-damaged") {
        return await this.#endDamaged({ id, held }, error, trace);
      }
      if (!append.hasFailed) options.onFailure?.(stored?.size ?? held.offset);
      throw error;
    }
  }

  async #complete(upload: HeldRecord, options: CompletionOptions, trace: UploadTrace): Promise<UploadRecord> {
    const record = await trace.committing(() => this.#completions.complete(upload, options));
    this.#open.forget(upload.id);
    this.#ended(upload.id, record, trace);
    return record;
  }

  /** Concludes an upload that can never become a blob, which frees the space of its bytes. */
  async #endDamaged(
    { id, held }: Pick<HeldRecord, "id" | "held">,
    error: FixityError,
    trace: UploadTrace,
  ): Promise<UploadState> {
    const record = failedRecord(readableRecord(held.record), error, this.limits.expiry);
    await held.conclude(formatRecord(record));
    this.#forget(id);
    return this.#ended(id, record, trace);
  }

  /**
   * Removes an upload in any state; its blob stays.
   *
   * @throws FixityError `upload-not-found`, or a `store-…` code
   */
  async cancel(id: UploadId, { seen, signal, terms }: FindOptions = {}): Promise<void> {
    using _ = this.#admissions.admit("in-time");
    const trace = new UploadTrace("resumable", terms?.source);
    await this.#completions.running(id);
    const taken = await this.#hold(id, signal, sightingIn(seen)?.read ?? undefined);
    await using held = taken.status === "held" ? taken : null;
    await (held ?? taken).remove();
    this.#forget(id);
    if ((readableRecord(taken.record)?.outcome ?? null) === null) trace.removed("cancelled", held?.offset ?? 0);
  }

  /**
   * Removes expired uploads and completes abandoned ones; reads only records whose age suggests it.
   *
   * @throws the first failure, once all uploads have been examined
   */
  async collect(signal?: AbortSignal): Promise<Collected> {
    using admission = this.#admissions.admit("at-once");
    return await this.#removals.collect(stoppedBy(admission, signal));
  }

  /** Reads an upload without taking it from its holder. @throws FixityError `upload-not-found` */
  async #read(id: UploadId, signal?: AbortSignal): Promise<SettledSighting> {
    const read = await this.#store.read(id, signal);
    const sighting = read === null ? null : sightingOf(read);
    if (sighting === null || (sighting.record?.outcome ?? null) !== null) this.#open.forget(id);
    if (sighting === null) throw uploadNotFound();
    return sighting;
  }

  /** What is known of an upload once no completion of it is running here. */
  async #settled(id: UploadId, { seen, signal }: FindOptions): Promise<SettledSighting> {
    const completed = await this.#completions.running(id);
    if (completed !== null) return { status: "ended", record: completed, read: null };
    const sighting = sightingIn(seen);
    return sighting === null || sighting.status === "completing" ? await this.#read(id, signal) : sighting;
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
      if (record.outcome === null)
        new UploadTrace("resumable").removed("expired", taken.status === "held" ? taken.offset : 0);
      throw uploadNotFound();
    }
    stack.move();
    return taken;
  }

  /** Unfinished uploads that were created or continued in this process. */
  get openCount(): number {
    return this.#open.count ?? 0;
  }

  /** The state of an upload that has just ended. */
  #ended(id: UploadId, record: UploadRecord, trace: UploadTrace): UploadState {
    const state = this.#stateOf(id, record, 0);
    const { outcome } = record;
    const result = outcome !== null && "existed" in outcome ? outcome : state.outcome;
    if (result !== null) trace.ended(result, state.offset);
    return state;
  }

  #stateOf(id: UploadId, record: UploadRecord, offset: number): UploadState {
    return stateOf(id, record, { ...this.#options, offset });
  }

  #forget(id: UploadId): void {
    this.#open.forget(id);
    this.#hashes.forget(id);
  }
}
