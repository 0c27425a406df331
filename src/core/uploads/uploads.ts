import { forEachConcurrent } from "../../base/map-concurrent.ts";
import { type Admissions, stoppedBy } from "../admissions.ts";
import type { Digest } from "../digest.ts";
import { sizeLimitExceeded } from "../intake.ts";
import { Link, receiptOf } from "../link.ts";
import { mediaTypeOf } from "../media-type.ts";
import type { FixityError } from "../errors.ts";
import { settleNaming } from "../file-name.ts";
import type { ResolvedOptions } from "../options.ts";
import type { BlobStore, Collected } from "../store.ts";
import { UploadId, uploadNotFound } from "../upload-id.ts";
import type { EndedUpload, HeldUpload, UploadStore } from "../upload-store.ts";
import { Append, type Appended, type AppendLimits, type AppendOptions, checkAnnounced } from "./append.ts";
import { Finisher } from "./completion.ts";
import { isEvictable, OpenUploads } from "./open-uploads.ts";
import { Interruptible } from "../interruptible-source.ts";
import { checkReplay } from "./replay.ts";
import { HashKeeper } from "./upload-hashes.ts";
import {
  digestIn,
  endedRecord,
  failedRecord,
  failureIn,
  isDamaged,
  isUnfinished,
  formatRecord,
  isExpired,
  isLeftAlone,
  mayBeDue,
  isFinalFailure,
  parseRecord,
  readableRecord,
  uploadDamaged,
  type StoredOutcome,
  type UploadRecord,
} from "./upload-record.ts";
import type { Created, CreateOptions, HoldOptions, Look } from "./upload-options.ts";
import type { UploadState } from "./upload-state.ts";

/** Uploads that a collection looks at at once: of a bucket or a busy disk, each look is a wait and little work. */
const COLLECTED_AT_ONCE = 16;

/**
 * Uploads that can be interrupted and resumed, on this instance or another over the same store: the engine under every
 * protocol that is spoken. What it tells is durable, what it has told does not go back, and a request for an upload ends
 * the one before it.
 */
export class Uploads {
  readonly limits: AppendLimits;
  readonly #blobs: BlobStore;
  readonly #store: UploadStore;
  readonly #linkBase: string;
  readonly #keeper = new HashKeeper();
  readonly #finisher: Finisher;
  readonly #open: OpenUploads;
  readonly #admissions: Admissions;
  /** How many appends to an upload are running here, by its id. */
  readonly #appends = new Map<string, number>();

  constructor(
    blobs: BlobStore,
    store: UploadStore,
    { linkBase, maxSize, uploads, admissions }: ResolvedOptions & { readonly admissions: Admissions },
  ) {
    this.limits = { maxSize, ...uploads };
    this.#blobs = blobs;
    this.#store = store;
    this.#linkBase = linkBase;
    this.#admissions = admissions;
    this.#finisher = new Finisher(this.#keeper, uploads.expiry);
    this.#open = new OpenUploads(uploads.maxOpen, {
      isOpen: async (id) => isUnfinished(await store.read(id)),
      evict: (id) => this.#evict(id),
    });
  }

  /**
   * Begins an upload. Where content with the announced digest and length is stored already, the upload is complete at once.
   *
   * @throws FixityError `size-limit-exceeded`, `append-limit-exceeded`, `append-too-small`, `inconsistent-length`,
   *   `too-many-uploads`, or a `store-…` code
   */
  async create(options: CreateOptions): Promise<UploadState> {
    return (await this.#createInTime(options, "free")).state;
  }

  /**
   * Begins an upload, and appends the bytes that come with its creation.
   *
   * @param onCreated is called with the new upload before its bytes are taken; not if content with the announced digest is
   *   stored already
   * @throws what {@link create} and {@link append} throw; the latter only after `onCreated` was called
   */
  async createAndAppend(
    options: CreateOptions,
    first: AppendOptions,
    onCreated: (created: UploadState) => void,
  ): Promise<UploadState> {
    const { state, held } = await this.#createInTime(options, "held");
    try {
      if (state.outcome !== null) return state;
      onCreated(state);
      return await this.append(state.id, first, held ?? undefined);
    } finally {
      await held?.[Symbol.asyncDispose]();
    }
  }

  async #createInTime(options: CreateOptions, hold: "held" | "free"): Promise<Created> {
    using _ = this.#admissions.admit("in-time");
    return await this.#create(options, hold);
  }

  async #create(options: CreateOptions, hold: "held" | "free"): Promise<Created> {
    const { length, digest, sha512, metadata, first, keepsComplete = true, client = null } = options;
    const { maxSize, expiry } = this.limits;
    if (length !== undefined && length > maxSize) throw sizeLimitExceeded(maxSize);
    const { name, extension } = settleNaming(options);
    const found = digest === undefined || sha512 !== undefined ? "unknown" : await this.#lookUp(digest, length);
    const outcome = typeof found === "string" ? null : found;
    if (outcome === null && first !== undefined) checkAnnounced({ ...first, length: length ?? null }, this.limits);
    const now = Date.now();
    const record: UploadRecord = {
      expires: now + expiry,
      saved: now,
      name,
      extension,
      metadata: metadata ?? null,
      length: outcome?.size ?? length ?? null,
      sha256: digest?.hex ?? null,
      sha512: sha512?.toString("base64") ?? null,
      hashes: null,
      sealed: false,
      outcome,
    };
    const id = UploadId.random();
    const state = this.#stateOf(id, record, 0);
    if (outcome !== null && !keepsComplete) return { state, held: null };
    if (outcome === null) await this.#open.admit(id, record.expires, client);
    const told = {
      mediaType: mediaTypeOf(extension),
      ...(digest !== undefined && { digest, isKnownAbsent: found === "absent" }),
      ...(length !== undefined && { length }),
    };
    let held: HeldUpload | null = null;
    try {
      if (hold === "held" && outcome === null && this.#store.createHeld !== undefined) {
        held = await this.#store.createHeld(id, formatRecord(record), told);
      } else {
        await this.#store.create(id, formatRecord(record), { ...told, isEnded: outcome !== null });
      }
    } catch (error) {
      this.#open.forget(id);
      throw error;
    }
    if (outcome === null) this.#open.note(id, { expires: record.expires, offset: 0 });
    return { state, held };
  }

  /**
   * How far an upload is. Ends a request that is still bringing bytes for it, so that the offset told is the one to go on
   * from; and makes a blob of it first where all bytes are there.
   *
   * @throws FixityError `upload-not-found`, or a `store-…` code
   */
  async find(id: UploadId, signal?: AbortSignal): Promise<UploadState> {
    using _ = this.#admissions.admit("in-time");
    return await this.#find(id, signal);
  }

  async #find(id: UploadId, signal: AbortSignal | undefined): Promise<UploadState> {
    const found = await this.#look(id, signal);
    if (found.ended !== null) return this.#stateOf(id, found.ended, 0);
    if (found.atRest !== null) return this.#stateOf(id, found.atRest, found.read.offset);
    const taken = await this.#hold(id, { signal, read: found.read });
    if (taken.status === "ended") return this.#stateOf(id, await endedRecord(taken, this.limits.expiry), 0);
    await using held = taken;
    if (isDamaged(held)) return await this.#endDamaged(id, held, uploadDamaged());
    const record = parseRecord(held.record);
    if (record.sealed && record.outcome === null) return await this.#finish(id, held, { record, unsaved: null });
    return this.#stateOf(id, record, held.offset);
  }

  /**
   * Takes a request's bytes, and makes a blob of the upload where they are the last ones. To an upload that is complete
   * already, an append without bytes at its end returns the outcome again; any other is an `offset-mismatch`.
   *
   * @param created the upload, if it was created by this request and is held since
   * @throws FixityError `upload-not-found`, `offset-mismatch`, `inconsistent-length`, `size-limit-exceeded`,
   *   `append-limit-exceeded`, `append-too-small`, `upload-superseded`, what the source or the check throws, or a `store-…`
   *   code; `shutting-down` where the service is closed meanwhile, with the durable offset as its fact `upload-offset`
   */
  async append(id: UploadId, options: AppendOptions, created?: HeldUpload): Promise<UploadState> {
    using own = options.admission === undefined ? this.#admissions.admit("at-once") : null;
    const stop = new AbortController();
    (own ?? options.admission)?.endAtOnce((reason) => stop.abort(reason));
    this.#appends.set(id.hex, (this.#appends.get(id.hex) ?? 0) + 1);
    try {
      return await this.#append(id, options, { stopped: stop.signal, created });
    } finally {
      const others = (this.#appends.get(id.hex) ?? 1) - 1;
      if (others === 0) this.#appends.delete(id.hex);
      else this.#appends.set(id.hex, others);
    }
  }

  async #append(
    id: UploadId,
    options: AppendOptions,
    { stopped, created }: { readonly stopped: AbortSignal; readonly created: HeldUpload | undefined },
  ): Promise<UploadState> {
    const { ended, read } = created === undefined ? await this.#look(id) : { ended: null, read: undefined };
    if (ended !== null) return await this.#again(this.#stateOf(id, ended, 0), options, stopped);
    const taken = created ?? (await this.#hold(id, { read }));
    if (taken.status === "ended") {
      return await this.#again(this.#stateOf(id, await endedRecord(taken, this.limits.expiry), 0), options, stopped);
    }
    await using held = taken;
    if (isDamaged(held)) return await this.#endDamaged(id, held, uploadDamaged());
    const before = parseRecord(held.record);
    if (before.outcome !== null) return await this.#again(this.#stateOf(id, before, 0), options, stopped);
    if (before.sealed)
      return await this.#again(await this.#finish(id, held, { record: before, unsaved: null }), options, stopped);
    const { limits } = this;
    const append = new Append({ id, held, record: before, limits, keeper: this.#keeper, stopped }, options);
    try {
      const { record, offset, unsaved } = await append.run();
      this.#open.note(id, { expires: record.expires, offset });
      if (record.sealed) return await this.#finish(id, held, { record, unsaved });
      return this.#stateOf(id, record, offset);
    } catch (error) {
      if (isFinalFailure(error) && error.code === "upload-damaged") return await this.#endDamaged(id, held, error);
      if (!append.hasFailed) options.onFailure?.(held.offset);
      throw error;
    } finally {
      if (append.hasFailed) this.#forget(id);
    }
  }

  /** Removes an upload, whatever has become of it. A blob that it has become stays. @throws FixityError `upload-not-found` */
  async cancel(id: UploadId): Promise<void> {
    using _ = this.#admissions.admit("in-time");
    await this.#finisher.outcomeOf(id);
    const taken = await this.#hold(id);
    await using held = taken.status === "held" ? taken : null;
    await (held ?? taken).remove();
    this.#forget(id);
  }

  /**
   * Removes uploads that have expired, and makes blobs of those whose bytes had all come when their server died. Reads the
   * records only of uploads for which one of the two may be due, by their age.
   *
   * @throws the first failure, when all uploads have been looked at
   */
  async collect(signal?: AbortSignal): Promise<Collected> {
    using admission = this.#admissions.admit("at-once");
    return await this.#collect(stoppedBy(admission, signal));
  }

  async #collect(signal: AbortSignal): Promise<Collected> {
    let total: Collected = { staged: 0, bytes: 0 };
    let failure: { readonly reason: unknown } | null = null;
    await forEachConcurrent(this.#store.list(signal), COLLECTED_AT_ONCE, async (summary) => {
      if (!mayBeDue(summary, this.limits.expiry)) return;
      try {
        const { staged, bytes } = await this.#collectOne(summary.id, signal);
        total = { staged: total.staged + staged, bytes: total.bytes + bytes };
      } catch (reason) {
        signal.throwIfAborted();
        failure ??= { reason };
      }
    });
    if (failure !== null) throw (failure as { readonly reason: unknown }).reason;
    return total;
  }

  async #collectOne(id: UploadId, signal: AbortSignal): Promise<Collected> {
    // an append renews its upload in time; where that takes long, other instances may find it expired, but not this one
    if (this.#appends.has(id.hex)) return { staged: 0, bytes: 0 };
    const read = await this.#store.read(id, signal);
    const record = read === null ? null : readableRecord(read.record);
    if (read !== null && record === null) await this.#find(id, signal);
    if (read !== null && record !== null && isExpired(record)) {
      const bytes = await this.#removeIf(id, isExpired, { read, signal });
      if (bytes !== null && record.outcome === null) return { staged: 1, bytes };
    } else if (record !== null && isLeftAlone(record)) {
      await this.#find(id, signal);
    }
    return { staged: 0, bytes: 0 };
  }

  /** Looks at an upload without taking it from its holder. @throws FixityError `upload-not-found` */
  async #look(id: UploadId, signal?: AbortSignal): Promise<Look> {
    const finished = await this.#finisher.outcomeOf(id);
    if (finished !== null) return { ended: finished, atRest: null, read: undefined };
    const read = await this.#store.read(id, signal);
    if (read !== null && isDamaged(read)) return { ended: null, atRest: null, read };
    const record = read === null ? null : parseRecord(read.record);
    if (record?.outcome !== null) this.#open.forget(id);
    if (read === null || record === null) throw uploadNotFound();
    if (isExpired(record)) return { ended: null, atRest: null, read };
    if (record.outcome !== null) return { ended: record, atRest: null, read };
    if (read.isHeld || record.sealed) return { ended: null, atRest: null, read };
    return { ended: null, atRest: record, read };
  }

  /** @throws FixityError `upload-not-found`, also if the upload has expired: it is removed then */
  async #hold(id: UploadId, { signal, read }: HoldOptions = {}): Promise<HeldUpload | EndedUpload> {
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

  /** @returns whether it is gone */
  async #evict(id: UploadId): Promise<boolean> {
    const read = await this.#store.read(id);
    if (read === null) return true;
    const record = readableRecord(read.record);
    if (record === null || this.#appends.has(id.hex) || !isEvictable(record, read.offset)) return false;
    return (await this.#removeIf(id, isEvictable, { read })) !== null;
  }

  /** @returns the bytes it had; `null` where it stays */
  async #removeIf(
    id: UploadId,
    isWanted: (record: UploadRecord, offset: number) => boolean,
    { signal, read }: HoldOptions,
  ): Promise<number | null> {
    const taken = await this.#store.hold(id, signal, read);
    await using held = taken?.status === "held" ? taken : null;
    const offset = held?.offset ?? 0;
    if (taken === null || !isWanted(parseRecord(taken.record), offset)) return null;
    await taken.remove();
    this.#forget(id);
    return offset;
  }

  async #finish(id: UploadId, held: HeldUpload, appended: Pick<Appended, "record" | "unsaved">): Promise<UploadState> {
    const ended = await this.#finisher.finish(id, held, appended);
    this.#open.forget(id);
    return this.#stateOf(id, ended, 0);
  }

  /** The outcome of an upload that has ended, for a client that has lost the answer to its last append. */
  async #again(state: UploadState, options: AppendOptions, stopped: AbortSignal): Promise<UploadState> {
    const { outcome } = state;
    if (outcome !== null && !(outcome instanceof Error)) {
      const source = new Interruptible(options.source, { stopped });
      await checkReplay(outcome, { ...options, source }, this.#blobs);
    }
    return state;
  }

  async #lookUp(digest: Digest, length: number | undefined): Promise<StoredOutcome | "absent" | "unknown"> {
    if (length === undefined) return "unknown"; // a blob of the wrong size could not be told from the right one
    const stat = await this.#blobs.confirm(digest);
    if (stat?.size !== length) return stat === null ? "absent" : "unknown";
    return { stored: digest.hex, size: stat.size, existed: true };
  }

  #stateOf(id: UploadId, record: UploadRecord, offset: number): UploadState {
    const { outcome, length, metadata, name, extension } = record;
    const state = { id, length, metadata, expires: new Date(record.expires) };
    if (outcome === null) return { ...state, offset, outcome: null };
    if ("failed" in outcome) return { ...state, offset: length ?? offset, outcome: failureIn(outcome) };
    const { stored, size, existed } = outcome;
    const link = Link.to(digestIn(stored), extension);
    return { ...state, offset: size, outcome: receiptOf(this.#linkBase, { link, size, name, existed }) };
  }

  /** Concludes an upload that can never become a blob, so that its bytes are given back. */
  async #endDamaged(id: UploadId, held: HeldUpload, error: FixityError): Promise<UploadState> {
    const record = failedRecord(readableRecord(held.record), error, this.limits.expiry);
    await held.conclude(formatRecord(record));
    this.#forget(id);
    return this.#stateOf(id, record, 0);
  }

  #forget(id: UploadId): void {
    this.#open.forget(id);
    this.#keeper.forget(id);
  }
}
