import { type Admission, Admissions, stoppedBy } from "./admissions.ts";
import type { Digest } from "./digest.ts";
import { type ByteSource, digestOf, type Received, receive } from "./intake.ts";
import { Link, type Receipt, receiptOf } from "./link.ts";
import { mediaTypeOf } from "./media-type.ts";
import { type Naming, settleNaming } from "./file-name.ts";
import { type FixityOptions, type ResolvedOptions, resolveOptions } from "./options.ts";
import type { BlobReader, BlobStat, BlobStore, Collected, OpenOptions } from "./store.ts";
import type { UploadId } from "./upload-id.ts";
import { Interruptible } from "./interruptible-source.ts";
import { Uploads } from "./uploads/uploads.ts";

/** Between the prefix and the id of an upload: no link looks like it. */
export const UPLOADS_SEGMENT = "in-progress";

/** What may be told with a file. */
export interface PutOptions extends Naming {
  /** What the bytes must hash to. Anything else is refused and nothing is stored. */
  readonly digest?: Digest | undefined;
  /** How many bytes must come. */
  readonly length?: number | undefined;
  /** Most bytes taken, where that is less than the service's own limit. */
  readonly maxSize?: number | undefined;
  /**
   * Called when all bytes are staged and hashed, and before they become a blob. What it throws fails the upload, and
   * nothing is stored: the place for checks that need the end of a request, such as trailer fields.
   */
  readonly beforeCommit?: ((received: Received) => Promise<void> | void) | undefined;
  /** {@link Fixity.lookUp} has just returned `absent` for `digest`: the store may save a look of its own. */
  readonly isKnownAbsent?: boolean | undefined;
  /** Ends the upload; nothing is stored. */
  readonly signal?: AbortSignal | undefined;
  /** Of the request that this is a part of; see {@link Fixity.admit}. @default one of its own */
  readonly admission?: Admission | undefined;
}

/** How a service is closed. */
export interface CloseOptions {
  /**
   * Milliseconds that running uploads which cannot be resumed get to finish.
   *
   * @default 30000
   */
  readonly timeout?: number;
}

/** How a re-read of a stored blob went. */
export type Verification =
  | { readonly intact: true; readonly size: number }
  | { readonly intact: false; readonly size: number; readonly found: Digest };

/** The service without HTTP: everything that fixity does, over any store. Made by {@link createFixity}. */
export class Fixity implements AsyncDisposable {
  /** Uploads that can be interrupted and resumed; `null` where the store cannot keep them. */
  readonly uploads: Uploads | null;
  readonly #options: ResolvedOptions;
  readonly #admissions = new Admissions();

  constructor(options: FixityOptions) {
    this.#options = resolveOptions(options);
    const { store } = this.#options;
    const uploadOptions = { ...this.#options, admissions: this.#admissions };
    this.uploads = store.uploads === undefined ? null : new Uploads(store, store.uploads, uploadOptions);
  }

  get store(): BlobStore {
    return this.#options.store;
  }

  /** Most bytes that one file may have. */
  get maxSize(): number {
    return this.#options.maxSize;
  }

  /** The path under which links stand, such as `/uploads`. */
  get prefix(): string {
    return this.#options.prefix;
  }

  /** The origin of the public URL, such as `https://files.example.com`; `null` where links are relative. */
  get publicOrigin(): string | null {
    return this.#options.publicOrigin;
  }

  /**
   * Stores what `source` gives. When it returns, the bytes are whole, verified and durable; when it throws, nothing is
   * stored and the source has been closed.
   *
   * @throws FixityError `size-limit-exceeded`, `length-mismatch`, `digest-mismatch`, or a `store-…` code
   */
  async put(source: ByteSource | Uint8Array | Blob, options: PutOptions = {}): Promise<Receipt> {
    using admission = options.admission === undefined ? this.#admissions.admit("in-time") : null;
    const { name, extension } = settleNaming(options);
    const { digest, length, isKnownAbsent, signal } = options;
    const maxSize = Math.min(options.maxSize ?? Infinity, this.#options.maxSize);
    const bytes = admission === null ? bytesOf(source) : interruptedBy(admission, bytesOf(source));
    await using staged = await this.store.stage({
      mediaType: mediaTypeOf(extension),
      ...(digest !== undefined && { digest }),
      ...(length !== undefined && { length }),
      ...(isKnownAbsent !== undefined && { isKnownAbsent }),
      ...(options.maxSize !== undefined && { atMost: options.maxSize }),
      ...(signal !== undefined && { signal }),
    });
    const received = await receive(bytes, (chunk) => staged.write(chunk), { maxSize, length, digest });
    await options.beforeCommit?.(received);
    signal?.throwIfAborted();
    const { existed } = await staged.commit(received.digest);
    const link = Link.to(received.digest, extension);
    return receiptOf(this.#options.linkBase, { link, size: received.size, name, existed });
  }

  /**
   * The receipt for content that is stored already with the announced length, or `null`: an upload that names its digest
   * and its length beforehand need not be sent. Without a length nothing is claimed, because a blob of the wrong size could
   * not be told from the right one. The blob is durable when this returns.
   */
  async claim(digest: Digest, options: PutOptions = {}): Promise<Receipt | null> {
    const found = await this.lookUp(digest, options);
    return typeof found === "string" ? null : found;
  }

  /**
   * Like {@link claim}, and tells the two reasons apart for which there is no receipt: `absent` if the store has no such
   * blob, which {@link put} may be told, and `unknown` without a length or if the blob has another size.
   */
  async lookUp(digest: Digest, options: PutOptions = {}): Promise<Receipt | "absent" | "unknown"> {
    using _ = options.admission === undefined ? this.#admissions.admit("in-time") : null;
    if (options.length === undefined) return "unknown";
    const stat = await this.store.confirm(digest, options.signal);
    if (stat === null) return "absent";
    if (stat.size !== options.length) return "unknown";
    const { name, extension } = settleNaming(options);
    const link = Link.to(digest, extension);
    return receiptOf(this.#options.linkBase, { link, size: stat.size, name, existed: true });
  }

  /** Opens a blob, or one range of it, for reading; `null` where there is none. */
  async open(digest: Digest, options?: OpenOptions): Promise<BlobReader | null> {
    this.#admissions.assertOpen();
    return this.store.open(digest, options);
  }

  /** The facts of a blob, or `null`. */
  async stat(digest: Digest, signal?: AbortSignal): Promise<BlobStat | null> {
    this.#admissions.assertOpen();
    return this.store.stat(digest, signal);
  }

  /** All blobs, in no promised order. */
  list(signal?: AbortSignal): AsyncIterable<BlobStat> {
    this.#admissions.assertOpen();
    return this.store.list(signal);
  }

  /** Removes a blob, and with it every link to it; `false` where there was none. */
  async remove(digest: Digest, signal?: AbortSignal): Promise<boolean> {
    using _ = this.#admissions.admit("in-time");
    return this.store.remove(digest, signal);
  }

  /** Reads a blob again and hashes it; `null` where there is none. */
  async verify(digest: Digest, signal?: AbortSignal): Promise<Verification | null> {
    using admission = this.#admissions.admit("at-once");
    const stopped = stoppedBy(admission, signal);
    await using reader = await this.store.open(digest, { signal: stopped });
    if (reader === null) return null;
    const { digest: found, size } = await digestOf(reader);
    return found.equals(digest) ? { intact: true, size } : { intact: false, size, found };
  }

  /**
   * Removes what dead processes have left half-written and uploads that have expired, and completes those whose bytes had
   * all come when their server died. If all of that went well, the store's mark says so to other servers.
   *
   * @throws FixityError the first failure, when all has been tried
   */
  async collect(signal?: AbortSignal): Promise<Collected> {
    using admission = this.#admissions.admit("at-once");
    const stopped = stoppedBy(admission, signal);
    // one that cannot be read must not keep the rest for ever
    const [uploads] = await Promise.allSettled([this.uploads?.collect(stopped)]);
    stopped.throwIfAborted();
    const abandoned = await this.store.collect(stopped);
    if (uploads.status === "rejected") throw uploads.reason;
    await this.store.collectionMark?.set(stopped);
    const expired = uploads.value ?? { staged: 0, bytes: 0 };
    return { staged: expired.staged + abandoned.staged, bytes: expired.bytes + abandoned.bytes };
  }

  /** The service is being closed, or has been: it takes no new work. */
  get isClosing(): boolean {
    return this.#admissions.isClosing;
  }

  /**
   * Admits a request, for who serves the service over a protocol. Calls that are given the admission belong to the request:
   * they are not refused when {@link close} is called in the middle of it, and `close` waits until the admission is
   * disposed of. When its time is over, the admission's listener has to end the request.
   *
   * @throws FixityError `shutting-down`
   */
  admit(): Admission {
    return this.#admissions.admit("in-time");
  }

  /**
   * Ends the service in an orderly way, before its process exits or its store is disposed of:
   *
   * 1. From the call on, all new work is refused with `shutting-down`.
   * 2. Appends to uploads that can be resumed are interrupted at once: what has come in is saved, and they fail with
   *    `shutting-down` and the durable offset.
   * 3. All other uploads may finish within `timeout`. Then they are interrupted too: nothing of them is stored.
   *
   * Resolves when all of it has ended. Downloads are not waited for: the server that sends them does that. The store is not
   * disposed of; it belongs to whoever made it. A second call waits for the first one.
   *
   * @throws FixityError `store-unavailable` where the store has not taken what was to be saved within 10 s after the
   *   interruption: a store that does not answer cannot hold the process for ever
   */
  close({ timeout = 30_000 }: CloseOptions = {}): Promise<void> {
    return this.#admissions.close(timeout);
  }

  /** {@link close}, with its defaults. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The URL of a link as it is given to clients. */
  urlOf(link: Link): string {
    return this.#options.linkBase + link.toString();
  }

  /** The URL of an upload that can be resumed, as it is given to clients. */
  urlOfUpload(id: UploadId): string {
    return `${this.#options.linkBase}${UPLOADS_SEGMENT}/${id.hex}`;
  }
}

/** Makes a service over a store. */
export function createFixity(options: FixityOptions): Fixity {
  return new Fixity(options);
}

/** Bytes whose reader fails when the service is closed and the time to finish is over. */
function interruptedBy(admission: Admission, source: ByteSource): ByteSource {
  return new Interruptible(source, { stopped: stoppedBy(admission) });
}

function bytesOf(source: ByteSource | Uint8Array | Blob): ByteSource {
  if (source instanceof Uint8Array) return [source];
  if (source instanceof Blob) return source.stream();
  return source;
}
