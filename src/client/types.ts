import type { FixityClientError } from "./errors.ts";

/**
 * What can be uploaded. In Node a string is the path of a file, and a `URL` is one of the scheme
 * `file:`. A stream is read once: its upload survives a broken connection, but cannot be resumed by
 * another page or process.
 */
export type UploadSource =
  | Blob
  | ArrayBuffer
  | ArrayBufferView<ArrayBuffer>
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array>
  | string
  | URL;

/**
 * Header fields for every request, or a function that returns them. It is called for each request,
 * so it can renew tokens.
 */
export type ClientHeaders =
  | Readonly<Record<string, string>>
  | (() => Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>);

/**
 * Changes a file before it is hashed and sent, for example removes its metadata. What it returns is
 * uploaded instead: its bytes, its type if it has one, and its name if it is a `File`.
 *
 * @param file what the caller has passed, with the name and type under which it would be uploaded
 */
export type PrepareFile = (
  file: File,
  context: {
    /** Aborted when the upload is cancelled. */
    readonly signal: AbortSignal;
  },
) => Blob | Promise<Blob>;

/** How often, and after which delays, failed requests are retried. */
export interface RetryOptions {
  /**
   * The largest number of consecutive retries without a byte arriving; 0 disables retries.
   *
   * @default 8
   */
  readonly attempts?: number | undefined;
  /**
   * Milliseconds: the upper limit of the first delay. It doubles with each failure; the delay is a
   * random part of it.
   *
   * @default 500
   */
  readonly minDelay?: number | undefined;
  /**
   * Milliseconds: the upper limit of any delay, unless the server asks for more (`Retry-After`).
   *
   * @default 30000
   */
  readonly maxDelay?: number | undefined;
  /**
   * Milliseconds without a byte sent after which a request is aborted, as when a phone changes
   * networks. The time that the server takes after the last byte does not count.
   *
   * @default 60000
   */
  readonly stallTimeout?: number | undefined;
}

/**
 * Remembers interrupted uploads, so that another page or process can resume them. Its failures are
 * ignored: the upload then starts over.
 */
export interface UploadStorage {
  /** Returns what was stored under the key, or `null`. */
  get(key: string): string | null | Promise<string | null>;
  /** Stores a value, in the place of an earlier one. */
  set(key: string, value: string): void | Promise<void>;
  /** Forgets a key. Unknown keys are no error. */
  remove(key: string): void | Promise<void>;
}

/** Options of a client. */
export interface ClientOptions {
  /**
   * The collection, such as `https://files.example.com/uploads`. In browsers it may be relative to
   * the page. Where there is no page, as in server-side rendering, a client with a relative endpoint
   * can be created, and its requests fail with `invalid-option`.
   */
  readonly endpoint: string | URL;
  /** Sent to the endpoint's origin only. */
  readonly headers?: ClientHeaders | undefined;
  /**
   * Sends all requests.
   *
   * @default in browsers `XMLHttpRequest` for content, because `fetch` does not report how much of
   *   it was sent, and `fetch` for everything else; in Node its HTTP client, and `fetch` for
   *   downloads
   */
  readonly fetch?: typeof globalThis.fetch | undefined;
  /**
   * Uploads that run at the same time. Others wait.
   *
   * @default 3; 15 of `Blob`s of up to 1 MiB
   */
  readonly concurrency?: number | undefined;
  /** How often, and after which delays, failed requests are retried. */
  readonly retry?: RetryOptions | undefined;
  /**
   * Prepares every file, unless the upload has an option of its own. A stream cannot be prepared:
   * its upload fails with `invalid-source`.
   *
   * @default none
   */
  readonly prepare?: PrepareFile | null | undefined;
  /**
   * Where interrupted uploads are remembered; `null` for nowhere.
   *
   * @default `localStorage` in browsers; nowhere in Node (see `fileStorage`)
   */
  readonly storage?: UploadStorage | null | undefined;
  /**
   * Browsers only: the URL of the worker that hashes (`fixity/client/worker`), on the page's own
   * origin, or a function that creates it. `null` for none: then uploads declare no digest, so content that is already stored is sent again, and
   * downloads fail, because they cannot be verified.
   *
   * @default `new Worker(new URL("./hash-worker.js", import.meta.url), { type: "module" })`
   */
  readonly worker?: string | URL | (() => HashWorker) | null | undefined;
}

/** The part of a `Worker` that the client uses. */
export interface HashWorker {
  /** As of `Worker`. */
  addEventListener(name: "message" | "error", listener: (event: { readonly data?: unknown }) => void): void;
  /** As of `Worker`. */
  postMessage(message: unknown): void;
  /** As of `Worker`. */
  terminate(): void;
}

/**
 * What an upload is doing. `preparing`: the `prepare` function runs. `hashing`: it computes the digest, and sends nothing meanwhile.
 * `sending`: it sends. `storing`: all bytes are sent, and the server makes them durable.
 * `waiting`: a request failed, and the next attempt has not begun.
 */
export type UploadPhase = "preparing" | "hashing" | "sending" | "storing" | "waiting";

/**
 * Why a failed request is not repeated at once. `offline`: the device has no network.
 * `unreachable`: the server did not respond, or a proxy could not reach it (502, 504). `busy`: the
 * server asks to come back later (503, or any status with `Retry-After`). `rate-limited`: this
 * client has sent too many requests (429). `failed`: the server reported another failure that may
 * pass.
 */
export type WaitReason = "offline" | "unreachable" | "busy" | "rate-limited" | "failed";

/** The time between a failed request and the next attempt. */
export interface RetryWait {
  /** Why the request is not repeated at once. */
  readonly reason: WaitReason;
  /**
   * When the next attempt begins, in milliseconds since 1970. It begins earlier if the network
   * returns. `null` while `offline`: it begins when the network returns, and not before.
   */
  readonly until: number | null;
  /** The failure. */
  readonly error: FixityClientError;
}

/** How far an upload is. Reported at most ten times a second. */
export interface UploadProgress {
  /** What the upload is doing. */
  readonly phase: UploadPhase;
  /**
   * Bytes hashed or sent so far. While `sending`, the bytes of an earlier run count. While
   * `waiting`, those that were sent before.
   */
  readonly bytes: number;
  /** Bytes of the file; `null` while it is `preparing`, and for a stream that has not ended. */
  readonly total: number | null;
  /** Bytes per second, during the last seconds; `null` if not known yet. */
  readonly rate: number | null;
  /** Seconds left; `null` if unknown. */
  readonly remaining: number | null;
  /** Why the upload is `waiting`, and how long; `null` in every other phase. */
  readonly wait: RetryWait | null;
}

/** Options of one upload. */
export interface UploadOptions {
  /**
   * @default the name of a `File`, or of the file at a path
   */
  readonly filename?: string | undefined;
  /**
   * The media type. It gives the link its extension if the name has none.
   *
   * @default that of a `Blob`
   */
  readonly type?: string | undefined;
  /**
   * Prepares this file; `null` for nothing.
   *
   * @default the client's
   */
  readonly prepare?: PrepareFile | null | undefined;
  /**
   * An error that it throws does not affect the upload: it is an uncaught error of the page or
   * process.
   */
  readonly onProgress?: ((progress: UploadProgress) => void) | undefined;
  /**
   * Stops the upload, with the error `aborted`. If the client remembers the upload, the server
   * keeps what has arrived, and the next upload of the same file resumes from there; otherwise the
   * upload is cancelled. {@link Upload.abort} cancels it in any case.
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * Whether to resume what an earlier run has sent, and to remember this one. Needs a storage, and
   * a file or a `fingerprint`.
   *
   * @default true
   */
  readonly resume?: boolean | undefined;
  /**
   * What identifies the file later, besides its size, name and type. For sources that are otherwise
   * indistinguishable.
   *
   * @default the name or path of a file, and its modification time
   */
  readonly fingerprint?: string | undefined;
  /**
   * The digest by which the server verifies the bytes, and detects that it already has them:
   * `sha256:<hex>` if it is known, `true` to compute it in any case, `false` for none.
   *
   * @default computed, unless the network turns out to be about as fast as hashing: then the digest
   *   would save next to nothing, and the upload does not wait for it
   */
  readonly declare?: boolean | string | undefined;
}

/** A stored file, and how its upload went. */
export interface UploadResult {
  /** The permanent link, absolute if the endpoint is. */
  readonly url: string;
  /** `sha256:<hex>`. */
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  /** The media type with which the link is served. */
  readonly type: string;
  /** The file's name as the server has sanitised it, or `null`. */
  readonly name: string | null;
  /** For an `integrity` attribute: `sha256-<base64>`. */
  readonly integrity: string;
  /** Whether the content was stored before. */
  readonly existed: boolean;
  /** Bytes of content that were actually sent, including those that had to be sent twice. */
  readonly sent: number;
}

/** A running upload. */
export interface Upload {
  /** Rejects with a `FixityClientError`. */
  readonly done: Promise<UploadResult>;
  /** Whether `pause` was called, and `resume` not since. */
  readonly isPaused: boolean;
  /**
   * Stops sending. The server keeps the received bytes until the upload expires; another upload may
   * run meanwhile.
   */
  pause(): void;
  /** Continues from what the server has. */
  resume(): void;
  /** Cancels the upload, here and at the server. `done` rejects with the code `aborted`. */
  abort(): void;
}

/** What is known about a stored file. */
export interface BlobInfo {
  /** The link that was passed, absolute if the endpoint is. */
  readonly url: string;
  /** `sha256:<hex>`. */
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  /** The media type with which the link is served. */
  readonly type: string;
  /** For an `integrity` attribute. */
  readonly integrity: string;
}

/** Options of one download. */
export interface DownloadOptions {
  /** When it aborts, `download` rejects, or its stream fails, with `aborted`. */
  readonly signal?: AbortSignal | undefined;
  /**
   * The file's first bytes, from an earlier download: they are verified with the rest, and not
   * fetched again.
   */
  readonly have?: AsyncIterable<Uint8Array> | undefined;
  /** Called when a failed request is not repeated at once, and with `null` when it is. */
  readonly onWait?: ((wait: RetryWait | null) => void) | undefined;
}

/** A file that is being fetched. */
export interface Download extends Omit<BlobInfo, "size"> {
  /**
   * Bytes; `null` in browsers behind a proxy that compresses the file, and if the server sends no
   * length.
   */
  readonly size: number | null;
  /** The number of bytes in `have`, behind which the stream begins. */
  readonly offset: number;
  /**
   * The bytes from `offset` on. The client resumes a broken connection. If the bytes do not match
   * the digest in the link, the stream fails at its end with the code `digest-mismatch`: use nothing
   * of it before it has ended successfully.
   */
  readonly stream: ReadableStream<Uint8Array<ArrayBuffer>>;
}

/** A client of one service. Methods need no `this`. */
export interface Client {
  /** Stores a file. Resolves when its link is permanent. @throws `FixityClientError` */
  readonly upload: (source: UploadSource, options?: UploadOptions) => Promise<UploadResult>;
  /** Stores a file, and returns a handle to pause and cancel the upload. Does not throw. */
  readonly start: (source: UploadSource, options?: UploadOptions) => Upload;
  /** Stores a file, and returns its permanent link. @throws `FixityClientError` */
  readonly uploadFile: (file: UploadSource, filename?: string) => Promise<string>;
  /**
   * Fetches a file.
   *
   * @param link a URL, a path, a link's last segment, or `sha256:<hex>`
   * @throws `FixityClientError` also `blob-not-found`
   */
  readonly download: (link: string | URL, options?: DownloadOptions) => Promise<Download>;
  /**
   * Returns the properties of the file stored under a link, or `null` if the service reports that
   * there is none.
   *
   * @throws `FixityClientError`
   */
  readonly stat: (
    link: string | URL,
    options?: { readonly signal?: AbortSignal | undefined },
  ) => Promise<BlobInfo | null>;
  /** Ends the worker. Running uploads and downloads fail with the code `aborted`. */
  readonly close: () => void;
}
