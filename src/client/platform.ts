import type { UploadStorage } from "./types.ts";

/** Bytes that can be read in parts and more than once. A `Blob` is one. */
export interface Content {
  readonly size: number;
  slice(start: number, end: number): Content;
  stream(): AsyncIterable<Uint8Array>;
}

/** A file that was named by a path. */
export interface NamedFile {
  readonly content: Content;
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly lastModified: number;
  /** What tells it from other files of its name. */
  readonly identity: string;
}

/** One request on the wire. */
export interface WireRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly content: Content | null;
  /** Told how many bytes of the content have been handed over until now. */
  readonly onSent: (bytes: number) => void;
  readonly signal: AbortSignal;
  /** What a transport that can follow redirects does with one. With `manual` it is the response. */
  readonly redirect: "manual" | "follow";
}

/** Its answer, read to the end. */
export interface WireAnswer {
  /** 0 for a redirect whose target the browser hides. */
  readonly status: number;
  /** A field of the header section, by its lower-case name. */
  readonly field: (name: string) => string | null;
  readonly text: string;
}

/**
 * Sends one request. Rejects where there was no answer: with a `FixityClientError` where the content could not be read, else with
 * whatever tells the cause.
 */
export type Transport = (request: WireRequest) => Promise<WireAnswer>;

/** A SHA-256 over bytes that pass by. */
export interface RunningHash {
  /** Resolves when there is room for more. */
  update(bytes: Uint8Array): Promise<void> | void;
  /** The digest in hex, and the end of it. */
  digest(): Promise<string> | string;
  /** The end of it without a digest. */
  drop(): void;
}

/** How one digest is computed. */
export interface DigestOptions {
  readonly signal: AbortSignal;
  /** Told how many bytes are hashed. */
  readonly onHashed: (bytes: number) => void;
}

/** SHA-256, off the way of everything else. All of it rejects with a `FixityClientError`. */
export interface Hashing {
  /** In hex. */
  digest(content: Content, options: DigestOptions): Promise<string>;
  running(): RunningHash;
  close(): void;
}

/** Whether there is a network. */
export interface Network {
  isOnline(): boolean;
  /** Calls back each time that the network comes back, until the signal is aborted. */
  onOnline(callback: () => void, signal: AbortSignal): void;
}

/** What differs between browsers and Node. */
export interface Platform {
  /** What a relative endpoint is relative to. */
  readonly base: string | undefined;
  readonly transport: Transport;
  /** Whether a redirect that is not followed shows its target. Browsers hide it. */
  readonly showsRedirects: boolean;
  /** For downloads. */
  readonly fetch: typeof globalThis.fetch;
  /** `null` where nothing can be hashed. */
  readonly hashing: Hashing | null;
  readonly storage: UploadStorage | null;
  readonly network: Network;
  /** Joins chunks. */
  readonly join: (chunks: readonly Uint8Array<ArrayBuffer>[]) => Content;
  /** @throws FixityClientError `invalid-source` */
  readonly openFile: (path: string | URL) => Promise<NamedFile>;
}
