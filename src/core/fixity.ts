import type { Digest } from "./digest.ts";
import { cleanFileName, extensionOfName } from "./file-name.ts";
import { type ByteSource, Intake, type Received, receive } from "./hashing.ts";
import { cleanExtension, Link } from "./link.ts";
import { extensionOf, mediaTypeOf } from "./media-type.ts";
import { type FixityOptions, type ResolvedOptions, resolveOptions } from "./options.ts";
import type { BlobReader, BlobStat, BlobStore, Collected, OpenOptions } from "./store.ts";

/** What may be told with a file. */
export interface PutOptions {
  /** The file's name as its owner calls it; its extension becomes the link's. */
  readonly filename?: string | null | undefined;
  /** The declared media type. Gives the link an extension where the name has none; otherwise not believed. */
  readonly type?: string | null | undefined;
  /** The extension of the link, whatever name and type say. `null` for none. */
  readonly extension?: string | null | undefined;
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
  /** Ends the upload; nothing is stored. */
  readonly signal?: AbortSignal | undefined;
}

/** What is known of a file that was stored. */
export interface Receipt {
  readonly link: Link;
  /** The permanent link as a URL: relative, or absolute where the service has a `publicUrl`. */
  readonly url: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** The media type that the link is served with. */
  readonly type: string;
  /** The file's own name, cleaned, or `null`. */
  readonly name: string | null;
  /** For an `integrity` attribute. */
  readonly integrity: string;
  /** The content was stored already. */
  readonly existed: boolean;
}

/** How a re-read of a stored blob went. */
export type Verification =
  | { readonly intact: true; readonly size: number }
  | { readonly intact: false; readonly size: number; readonly found: Digest };

/** The service without HTTP: everything that fixity does, over any store. Made by {@link createFixity}. */
export class Fixity {
  readonly #options: ResolvedOptions;

  constructor(options: FixityOptions) {
    this.#options = resolveOptions(options);
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

  /**
   * Stores what `source` gives. When it returns, the bytes are whole, verified and durable; when it throws, nothing is
   * stored and the source has been closed.
   *
   * @throws FixityError `size-limit-exceeded`, `length-mismatch`, `digest-mismatch`, or a `store-…` code
   */
  async put(source: ByteSource | Uint8Array | Blob, options: PutOptions = {}): Promise<Receipt> {
    const name = cleanFileName(options.filename);
    const extension = chooseExtension(name, options);
    const { digest, length, signal } = options;
    const maxSize = Math.min(options.maxSize ?? Infinity, this.#options.maxSize);
    await using staged = await this.store.stage({
      mediaType: mediaTypeOf(extension),
      ...(digest !== undefined && { digest }),
      ...(length !== undefined && { length }),
      ...(signal !== undefined && { signal }),
    });
    const received = await receive(bytesOf(source), (bytes) => staged.write(bytes), { maxSize, length, digest });
    await options.beforeCommit?.(received);
    signal?.throwIfAborted();
    const { existed } = await staged.commit(received.digest);
    return this.#receipt(Link.to(received.digest, extension), received.size, name, existed);
  }

  /**
   * The receipt for content that is stored already, or `null`: an upload that names its digest beforehand need not be
   * sent. The blob is durable when this answers.
   */
  async claim(digest: Digest, options: PutOptions = {}): Promise<Receipt | null> {
    const stat = await this.store.confirm(digest, options.signal);
    if (stat === null || (options.length !== undefined && options.length !== stat.size)) return null;
    const name = cleanFileName(options.filename);
    return this.#receipt(Link.to(digest, chooseExtension(name, options)), stat.size, name, true);
  }

  /** Opens a blob, or one range of it, for reading; `null` where there is none. */
  async open(digest: Digest, options?: OpenOptions): Promise<BlobReader | null> {
    return this.store.open(digest, options);
  }

  /** The facts of a blob, or `null`. */
  async stat(digest: Digest, signal?: AbortSignal): Promise<BlobStat | null> {
    return this.store.stat(digest, signal);
  }

  /** All blobs, in no promised order. */
  list(signal?: AbortSignal): AsyncIterable<BlobStat> {
    return this.store.list(signal);
  }

  /** Removes a blob, and with it every link to it; `false` where there was none. */
  async remove(digest: Digest, signal?: AbortSignal): Promise<boolean> {
    return this.store.remove(digest, signal);
  }

  /** Reads a blob again and hashes it; `null` where there is none. */
  async verify(digest: Digest, signal?: AbortSignal): Promise<Verification | null> {
    await using reader = await this.store.open(digest, signal === undefined ? {} : { signal });
    if (reader === null) return null;
    const intake = new Intake({ maxSize: Infinity });
    for await (const bytes of reader) intake.update(bytes);
    const { digest: found, size } = intake.finish();
    return found.equals(digest) ? { intact: true, size } : { intact: false, size, found };
  }

  /** Removes what dead processes have left half-written. */
  async collect(signal?: AbortSignal): Promise<Collected> {
    return this.store.collect(signal);
  }

  /** The URL of a link as it is given to clients. */
  urlOf(link: Link): string {
    return this.#options.linkBase + link.toString();
  }

  #receipt(link: Link, size: number, name: string | null, existed: boolean): Receipt {
    const { digest, mediaType } = link;
    return { link, url: this.urlOf(link), digest, size, type: mediaType, name, integrity: digest.integrity, existed };
  }
}

/** Makes a service over a store. */
export function createFixity(options: FixityOptions): Fixity {
  return new Fixity(options);
}

function chooseExtension(name: string | null, { extension, type }: PutOptions): string | null {
  if (extension !== undefined) return cleanExtension(extension);
  return extensionOfName(name) ?? (type === null || type === undefined ? null : extensionOf(type));
}

function bytesOf(source: ByteSource | Uint8Array | Blob): ByteSource {
  if (source instanceof Uint8Array) return [source];
  if (source instanceof Blob) return source.stream();
  return source;
}
