import type { UploadStorage } from "./types.ts";

/** Bytes that can be sliced, and read more than once. A `Blob` is one. */
export interface Content {
  readonly size: number;
  slice(start: number, end: number): Content;
  stream(): AsyncIterable<Uint8Array>;
}

/** A file that was opened by its path. */
export interface NamedFile {
  readonly content: Content;
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly lastModified: number;
  /** The absolute path. */
  readonly identity: string;
}

/** The same, as a blob. */
export interface NamedBlob extends Omit<NamedFile, "content"> {
  readonly blob: Blob;
  readonly type: null;
}

/** One request on the wire. */
export interface WireRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly content: Content | null;
  /** Receives the number of content bytes sent so far. */
  readonly onSent: (bytes: number) => void;
  readonly signal: AbortSignal;
  /**
   * What a transport that can follow redirects does with one. With `manual` the redirect is the
   * response.
   */
  readonly redirect: "manual" | "follow";
}

/** The response to a {@link WireRequest}, read to its end. */
export interface WireResponse {
  /** 0 for a redirect whose target the browser hides. */
  readonly status: number;
  /** The value of a header field, by its lower-case name. */
  readonly field: (name: string) => string | null;
  readonly text: string;
}

/**
 * Sends one request. Rejects if there was no response: with a `FixityClientError` if the content
 * could not be read or the response exceeds `RESPONSE_MAX_BYTES`, and otherwise with whatever
 * reports the cause.
 */
export type Transport = (request: WireRequest) => Promise<WireResponse>;

/** An incremental SHA-256. */
export interface IncrementalHash {
  /** Resolves when more bytes can be added. */
  update(bytes: Uint8Array): Promise<void> | void;
  /** Ends the hash. Returns the digest in hex. */
  digest(): Promise<string> | string;
  /** Ends the hash without a digest. */
  drop(): void;
}

export interface DigestOptions {
  readonly signal: AbortSignal;
  /** Receives the number of bytes hashed so far. */
  readonly onHashed: (bytes: number) => void;
}

/** SHA-256 that does not block the event loop. Failures are `FixityClientError`s. */
export interface Hashing {
  /** Returns the digest in hex. */
  digest(content: Content, options: DigestOptions): Promise<string>;
  incremental(): IncrementalHash;
  close(): void;
}

/** The state of the network connection, as far as the platform reports it. */
export interface Network {
  isOnline(): boolean;
  /** Calls `callback` each time the network returns, until the signal is aborted. */
  onOnline(callback: () => void, signal: AbortSignal): void;
}

/** The differences between browsers and Node. */
export interface Platform {
  /** The base URL of a relative endpoint. */
  readonly base: string | undefined;
  readonly transport: Transport;
  /** Whether a redirect that is not followed shows its target. Browsers hide it. */
  readonly showsRedirects: boolean;
  /** Sends the requests of downloads. */
  readonly fetch: typeof globalThis.fetch;
  /** `null` if nothing can be hashed. */
  readonly hashing: Hashing | null;
  /** The default of the `storage` option. */
  readonly storage: UploadStorage | null;
  readonly network: Network;
  /**
   * Milliseconds within which the page or process is gone if it is about to end. WebKit fails reads
   * of files while a page is being left or reloaded, as if the files had changed.
   */
  readonly endingGraceMs: number;
  readonly concat: (chunks: readonly Uint8Array<ArrayBuffer>[]) => Content;
  /** @throws FixityClientError `invalid-source` */
  readonly openFile: (path: string | URL) => Promise<NamedFile>;
  /** Opens a path as a blob, for `prepare`. @throws FixityClientError `invalid-source` */
  readonly openBlob: (path: string | URL) => Promise<NamedBlob>;
}
