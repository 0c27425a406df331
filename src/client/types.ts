/**
 * What can be uploaded. A string is the path of a file, a `URL` one of the scheme `file:`; both in Node only. A stream is read
 * once and can be resumed after a broken connection, but not by another page or process.
 */
export type UploadSource =
  | Blob
  | ArrayBuffer
  | ArrayBufferView<ArrayBuffer>
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array>
  | string
  | URL;

/** Header fields for every request, or what gives them: asked anew for each request, so that tokens can be renewed. */
export type ClientHeaders =
  | Readonly<Record<string, string>>
  | (() => Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>);

/** How often, and when, a request that failed is sent again. */
export interface RetryOptions {
  /**
   * Times in a row that a request may fail without a byte having arrived; 0 for no second attempt.
   *
   * @default 8
   */
  readonly attempts?: number | undefined;
  /**
   * Milliseconds: the longest wait before the second attempt. It doubles with each further one; the wait is a random part of it.
   *
   * @default 500
   */
  readonly minDelay?: number | undefined;
  /**
   * Milliseconds: the longest wait of all, but where the server asks for more (`Retry-After`).
   *
   * @default 30000
   */
  readonly maxDelay?: number | undefined;
  /**
   * Milliseconds without a byte sent after which a request is given up, as where a phone has changed networks. What the
   * server takes after the last byte does not count.
   *
   * @default 60000
   */
  readonly stallTimeout?: number | undefined;
}

/**
 * Where uploads that were interrupted are remembered, so that another page or process goes on with them. Its failures are passed
 * over: the upload then begins anew.
 */
export interface UploadStorage {
  get(key: string): string | null | Promise<string | null>;
  set(key: string, value: string): void | Promise<void>;
  remove(key: string): void | Promise<void>;
}

/** What a client is told once. */
export interface ClientOptions {
  /** The collection, as `https://files.example.com/uploads`; in browsers it may be relative to the page. */
  readonly endpoint: string | URL;
  /** Sent to the endpoint's origin only. */
  readonly headers?: ClientHeaders | undefined;
  /**
   * What sends requests.
   *
   * @default in browsers XMLHttpRequest for content, since `fetch` does not tell how much of it is sent; else `fetch`
   */
  readonly fetch?: typeof globalThis.fetch | undefined;
  /**
   * Uploads that are sent at the same time; others wait.
   *
   * @default 3
   */
  readonly concurrency?: number | undefined;
  readonly retry?: RetryOptions | undefined;
  /**
   * `null` to remember nothing.
   *
   * @default `localStorage` in browsers, nothing in Node: see `fileStorage`
   */
  readonly storage?: UploadStorage | null | undefined;
  /**
   * Browsers only: makes the worker that hashes, from a script of the page's own origin. `null` for none: then no digest is
   * declared, nothing is found to be there already, and downloads fail, since they cannot be verified.
   *
   * @default `new Worker(new URL("./hash-worker.js", import.meta.url), { type: "module" })`
   */
  readonly worker?: (() => HashWorker) | null | undefined;
}

/** The part of a `Worker` that is used. */
export interface HashWorker {
  addEventListener(name: "message" | "error", listener: (event: { readonly data?: unknown }) => void): void;
  postMessage(message: unknown): void;
  terminate(): void;
}

/** What an upload is busy with. */
export type UploadPhase = "hashing" | "sending" | "storing";

/** How far an upload is. Told ten times a second at most. */
export interface UploadProgress {
  /** `hashing`: nothing is sent, the digest is awaited. `storing`: all is sent, the server makes it durable. */
  readonly phase: UploadPhase;
  /** Hashed or sent until now; in `sending` those count that an earlier run had sent. */
  readonly bytes: number;
  /** Of the file; `null` for a stream that has not ended. */
  readonly total: number | null;
  /** Bytes per second over the last seconds; `null` where it is not known yet. */
  readonly rate: number | null;
  /** Seconds; `null` where it is not known. */
  readonly remaining: number | null;
}

/** What may be told of one upload. */
export interface UploadOptions {
  /**
   * @default the name of a `File` or of the file at a path
   */
  readonly filename?: string | undefined;
  /**
   * The media type; gives the link its extension where the name has none.
   *
   * @default that of a `Blob`
   */
  readonly type?: string | undefined;
  /** What it throws does not reach the upload: it is an uncaught error of the page or process. */
  readonly onProgress?: ((progress: UploadProgress) => void) | undefined;
  /**
   * Stops the upload, with the error `aborted`. What has arrived is kept at the server where the client remembers uploads, so
   * that the same upload goes on from there another time; else it is cancelled. See {@link Upload.abort} for the other way.
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * Whether to go on with what an earlier run has sent, and to remember this one. Needs a storage, and a file or a
   * `fingerprint`.
   *
   * @default true
   */
  readonly resume?: boolean | undefined;
  /**
   * What the file is remembered by, besides its size, name and type: for a source that cannot tell it from others.
   *
   * @default the name or path of a file, and when it was changed
   */
  readonly fingerprint?: string | undefined;
  /**
   * The digest that the server verifies the bytes by, and by which it knows whether it has them: `sha256:<hex>` where it is known,
   * `true` to compute it from the file in any case, `false` for none.
   *
   * @default computed, unless the network proves to be about as quick as hashing: then next to nothing can be saved, and
   * the upload does not wait for it
   */
  readonly declare?: boolean | string | undefined;
}

/** What has become of an upload: what the server says of it, and how it went. */
export interface UploadResult {
  /** The permanent link, absolute where the endpoint is. */
  readonly url: string;
  /** `sha256:<hex>`. */
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  /** The media type that the link is served with. */
  readonly type: string;
  /** The file's name as the server has cleaned it, or `null`. */
  readonly name: string | null;
  /** For an `integrity` attribute: `sha256-<base64>`. */
  readonly integrity: string;
  /** The content was stored already. */
  readonly existed: boolean;
  /** Bytes of content that were really sent, those included that had to be sent twice. */
  readonly sent: number;
}

/** An upload that is under way. */
export interface Upload {
  /** Rejects with a `FixityClientError`. */
  readonly done: Promise<UploadResult>;
  readonly isPaused: boolean;
  /** Stops sending. What has arrived stays at the server until its uploads expire; another upload may take the turn. */
  pause(): void;
  /** Goes on from where the server stands. */
  resume(): void;
  /** Gives the upload up, here and at the server. `done` rejects with the code `aborted`. */
  abort(): void;
}

/** What is known of a stored file. */
export interface BlobInfo {
  /** The link that was asked for, absolute where the endpoint is. */
  readonly url: string;
  /** `sha256:<hex>`. */
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  /** The media type that the link is served with. */
  readonly type: string;
  /** For an `integrity` attribute. */
  readonly integrity: string;
}

/** What may be told of a download. */
export interface DownloadOptions {
  readonly signal?: AbortSignal | undefined;
  /** The file's first bytes, where they are there from an earlier download: verified with the rest, not fetched again. */
  readonly have?: AsyncIterable<Uint8Array> | undefined;
}

/** A file that is being fetched. */
export interface Download extends Omit<BlobInfo, "size"> {
  /** Bytes; `null` in browsers behind a proxy that compresses the file, and where the server sends no length. */
  readonly size: number | null;
  /** Bytes of `have`: where the stream begins. */
  readonly offset: number;
  /**
   * The bytes behind those. After a break it goes on from where it stood. It errors with a `FixityClientError`
   * `digest-mismatch` at its end where the bytes are not those that the link names: nothing of it is to be used before it has
   * ended well.
   */
  readonly stream: ReadableStream<Uint8Array<ArrayBuffer>>;
}

/** A client of one service. Methods need no `this`. */
export interface Client {
  /** Stores a file. Resolves when its link is permanent. @throws `FixityClientError` */
  readonly upload: (source: UploadSource, options?: UploadOptions) => Promise<UploadResult>;
  /** The same, with a handle to pause and give up. Does not throw. */
  readonly start: (source: UploadSource, options?: UploadOptions) => Upload;
  /** Stores a file, and gives its permanent link. @throws `FixityClientError` */
  readonly uploadFile: (file: UploadSource, filename?: string) => Promise<string>;
  /**
   * Fetches a file.
   *
   * @param link a URL, a path, a link's last segment, or `sha256:<hex>`
   * @throws `FixityClientError` also `blob-not-found`
   */
  readonly download: (link: string | URL, options?: DownloadOptions) => Promise<Download>;
  /** What is stored under a link; `null` where nothing is. @throws `FixityClientError` */
  readonly stat: (
    link: string | URL,
    options?: { readonly signal?: AbortSignal | undefined },
  ) => Promise<BlobInfo | null>;
  /** Lets go of the worker. What is under way fails with the code `aborted`. */
  readonly close: () => void;
}
