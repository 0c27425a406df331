/**
 * Uploads of one request, and claims of content that is already stored.
 *
 * A plain upload is staged in the store while it is hashed, and committed under its digest. If its
 * request fails, or the process dies, nothing of it is ever readable; the store's collector removes
 * what was staged.
 */
import { type Admission, type Admissions, stoppedBy } from "./admissions.ts";
import type { BlobStat } from "./blob-stat.ts";
import type { Blocks } from "./blocks.ts";
import { UploadTrace } from "./diagnostics.ts";
import type { Digest } from "./digest.ts";
import { asFixityError, FixityError } from "./errors.ts";
import type { Events } from "./events/events.ts";
import { ContentHead, headOf } from "./hooks.ts";
import { type Naming, settleNaming } from "./file-name.ts";
import { type ByteSource, type Received, receive } from "./intake.ts";
import { InterruptibleSource } from "./interruptible-source.ts";
import { Link, type Receipt, receiptOf } from "./link.ts";
import { mediaTypeOf } from "./media-type.ts";
import type { ResolvedOptions } from "./options.ts";
import type { Committed, StagedBlob, StagedFile, StoredVerdict } from "./staged-blob.ts";
import { agreedDigest, assertInTime, assertLength, assertType, NO_TERMS, type UploadTerms } from "./upload-terms.ts";
import type { VerifiedReads } from "./verification/verified-reads.ts";

/** What is known or required of a file before it is stored. */
export interface PutOptions extends Naming {
  /** The digest that the bytes must have. Others are refused, and nothing is stored. */
  readonly digest?: Digest | undefined;
  /** The number of bytes that must arrive. */
  readonly length?: number | undefined;
  /** The largest size, if smaller than the service's own limit. */
  readonly maxSize?: number | undefined;
  /**
   * Called when all bytes are staged and hashed, before they become a blob: the place for checks
   * that need the end of a request, such as trailer fields. If it throws, the upload fails and
   * nothing is stored.
   */
  readonly beforeCommit?: ((received: Received) => Promise<void> | void) | undefined;
  /**
   * `Fixity.lookUp` has just returned `absent` for `digest`, so the store need not check
   * again.
   */
  readonly isKnownAbsent?: boolean | undefined;
  /**
   * The bytes are those of a file that `BlobStore.stageFile` has staged: they are hashed, and it is
   * committed. The caller disposes of it, too. @default the bytes are staged as they arrive
   */
  readonly staged?: StagedFile | undefined;
  /** Aborts the upload; nothing is stored. */
  readonly signal?: AbortSignal | undefined;
  /** Who uploads, and what the upload must satisfy. @default the program itself, without limits */
  readonly terms?: UploadTerms | undefined;
  /** The admission of the request; see `Fixity.admit`. @default one of its own */
  readonly admission?: Admission | undefined;
}

const NO_BYTES = new Uint8Array();

/** What plain uploads share with their service. */
export interface PlainUploadsOptions extends ResolvedOptions {
  readonly admissions: Admissions;
  readonly reads: VerifiedReads;
  readonly blocks: Blocks;
  readonly events: Events | null;
}

/** What an upload's bytes are staged with, besides its options. */
interface Staging {
  readonly digest: Digest | undefined;
  /** Bytes; `Infinity` if that is not known. */
  readonly atMost: number;
  readonly extension: string | null;
}

/** The plain uploads of one service. Its calls are documented at `Fixity`. */
export class PlainUploads {
  readonly #options: ResolvedOptions;
  readonly #admissions: Admissions;
  readonly #reads: VerifiedReads;
  readonly #blocks: Blocks;
  readonly #events: Events | null;

  constructor({ admissions, reads, blocks, events, ...options }: PlainUploadsOptions) {
    this.#options = options;
    this.#events = events;
    this.#admissions = admissions;
    this.#reads = reads;
    this.#blocks = blocks;
  }

  async put(source: ByteSource | Uint8Array | Blob, options: PutOptions): Promise<Receipt> {
    using admission = options.admission === undefined ? this.#admissions.admit("in-time") : null;
    const trace = new UploadTrace("plain", options.terms?.source);
    const progress = { size: 0, trace };
    const bytes = admission === null ? bytesOf(source) : interruptedBy(admission, bytesOf(source));
    try {
      const receipt = await this.#put(bytes, options, progress);
      trace.ended(receipt, receipt.size);
      return this.#options.revealExisting ? receipt : { ...receipt, existed: false };
    } catch (error) {
      trace.ended(asFixityError(error), progress.size);
      throw error;
    }
  }

  async #put(
    source: ByteSource,
    options: PutOptions,
    progress: { size: number; readonly trace: UploadTrace },
  ): Promise<Receipt> {
    const { length, signal, terms = NO_TERMS } = options;
    const { name, extension } = settleNaming(options);
    assertType(extension, this.#options.types, terms.types);
    const digest = agreedDigest(terms, options.digest);
    // Otherwise a digest alone would reveal something: the bytes have to arrive first.
    if (digest !== undefined && this.#options.revealExisting) await this.#blocks.assertNone(digest, signal);
    else this.#blocks.prepare();
    const atMost = Math.min(options.maxSize ?? Infinity, terms.maxSize ?? Infinity);
    const maxSize = Math.min(atMost, this.#options.maxSize);
    await using staged = options.staged ?? (await this.#stage(options, { digest, atMost, extension }));
    const head = this.#options.hooks.hasInspect ? new ContentHead() : null;
    const write = (chunk: Uint8Array): Promise<void> | void => {
      progress.size += chunk.length;
      head?.add(chunk);
      if ("write" in staged) return staged.write(chunk);
    };
    const { trace } = progress;
    const receivingSince = performance.now();
    const received = await receive(source, write, { maxSize, length, digest });
    trace.receiveMs = performance.now() - receivingSince;
    trace.hashMs = received.hashMs;
    assertInTime(terms);
    await options.beforeCommit?.(received);
    const { size } = received;
    const inspected = {
      head: head?.bytes ?? NO_BYTES,
      size,
      name,
      extension,
      principal: terms.owner,
      context: terms.context,
    };
    const linkExtension = await this.#options.hooks.inspect(inspected);
    signal?.throwIfAborted();
    await this.#blocks.assertNone(received.digest, signal);
    const link = Link.to(received.digest, linkExtension);
    const future = receiptOf(this.#options.linkBase, { link, size, name, existed: false });
    const commit = async (): Promise<Committed> => {
      const committed = await trace.committing(() => this.#commit(staged, received));
      // It may have been blocked meanwhile. It stays stored, because another upload of it may have been
      // acknowledged before, and cannot be read.
      await this.#blocks.assertNone(received.digest);
      return committed;
    };
    const events = this.#events;
    const { existed } = await (events?.storing({ receipt: future, owner: terms.owner }, commit) ?? commit());
    const receipt = { ...future, existed };
    await this.#options.hooks.stored(receipt, { ...terms, principal: terms.owner, key: terms.requestId });
    return receipt;
  }

  async #stage(
    { length, isKnownAbsent, signal }: PutOptions,
    { digest, atMost, extension }: Staging,
  ): Promise<StagedBlob> {
    return await this.#options.store.stage({
      mediaType: mediaTypeOf(extension),
      ...(digest !== undefined && { digest }),
      ...(length !== undefined && { length }),
      ...(isKnownAbsent !== undefined && { isKnownAbsent }),
      ...(atMost !== Infinity && { atMost }),
      ...(signal !== undefined && { signal }),
    });
  }

  /**
   * Makes a blob of staged bytes. On a full disk, where they cannot replace a copy that was stored
   * before, that copy is verified instead.
   */
  async #commit(staged: Pick<StagedBlob, "commit">, { digest, size }: Received): Promise<Committed> {
    let before: BlobStat | null = null;
    const judge = (stored: BlobStat): Promise<StoredVerdict> => {
      before = stored;
      return this.#reads.judge(digest, stored);
    };
    try {
      const committed = await staged.commit(digest, { judge });
      await this.#reads.noteCommitted(digest);
      return committed;
    } catch (error) {
      const identity = (before as BlobStat | null)?.identity;
      if (!(error instanceof FixityError && error.code === "store-full") || identity === undefined) throw error;
      const stored = await this.#reads.findStored(digest, { length: size });
      // Another copy may be this commit's own, of which the store does not know whether it is durable.
      if (typeof stored === "string" || stored.identity !== identity) throw error;
      return { existed: true };
    }
  }

  async lookUp(digest: Digest, options: PutOptions): Promise<Receipt | "absent" | "unknown"> {
    using _ = options.admission === undefined ? this.#admissions.admit("in-time") : null;
    const { length, terms = NO_TERMS } = options;
    const trace = new UploadTrace("plain", terms.source);
    const { name, extension } = settleNaming(options);
    assertType(extension, this.#options.types, terms.types);
    agreedDigest(terms, digest);
    assertLength(terms, length);
    if (!this.#options.revealExisting) return "unknown";
    await this.#blocks.assertNone(digest, options.signal);
    const found = await this.#reads.findStored(digest, options);
    if (typeof found === "string") return found;
    const { size } = found;
    const { hooks } = this.#options;
    const head = hooks.hasInspect ? await headOf(found, this.#reads, options.signal) : NO_BYTES;
    if (head === null) return "unknown";
    const { owner, context } = terms;
    const link = Link.to(digest, await hooks.inspect({ head, size, name, extension, principal: owner, context }));
    assertInTime(terms);
    const receipt = receiptOf(this.#options.linkBase, { link, size, name, existed: true });
    // Its verification and its inspection may have taken long.
    await this.#blocks.assertNone(digest);
    await hooks.stored(receipt, { ...terms, principal: terms.owner, key: terms.requestId });
    await this.#events?.claimed({ receipt, owner });
    trace.ended(receipt, 0);
    return receipt;
  }
}

/** A source that fails when the service is closing and the time to finish is up. */
function interruptedBy(admission: Admission, source: ByteSource): ByteSource {
  return new InterruptibleSource(source, { closing: stoppedBy(admission) });
}

function bytesOf(source: ByteSource | Uint8Array | Blob): ByteSource {
  if (source instanceof Uint8Array) return [source];
  if (source instanceof Blob) return source.stream();
  return source;
}
