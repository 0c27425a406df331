/**
 * Delegated downloads: another server sends the bytes of blobs. fixity still authorizes each
 * request, evaluates its conditions and reports its errors (`routes/blob.ts`), then passes it on:
 * by a redirect to the store ({@link Redirector}) or by `X-Accel-Redirect` to the web server in
 * front ({@link Accelerator}). A delegate accepts only requests whose response is the same as
 * fixity's own would be. `docs/delegated-download.md` describes the setup of both.
 */
import type { DownloadEvent } from "../core/diagnostics.ts";
import type { Digest } from "../core/digest.ts";
import { FixityError } from "../core/errors.ts";
import { OCTET_STREAM } from "../core/media-type.ts";
import type { BlobStore } from "../core/store.ts";
import type { Reading } from "./access.ts";
import type { Answer, Exchange } from "./exchange.ts";
import { ifRangeHolds } from "./fields/etag.ts";
import { isPlainRange } from "./fields/range.ts";

/**
 * Which server sends the bytes of blobs. `docs/delegated-download.md` describes the setup of each
 * mode.
 */
export type DownloadOptions = StreamedDownloads | RedirectedDownloads | AcceleratedDownloads;

/** This process sends all bytes. */
export interface StreamedDownloads {
  readonly mode: "stream";
}

/**
 * Clients are redirected to the store, by a URL with a limited lifetime: for S3 stores that clients
 * can reach.
 */
export interface RedirectedDownloads {
  readonly mode: "redirect";
  /**
   * The longest lifetime of a file's URL in seconds; the shortest is half of it. A download must
   * begin within it. From 1 to 604,800, a week.
   *
   * @default 300
   */
  readonly lifetime?: number;
}

/**
 * The web server in front sends the bytes if it asks for that with
 * `X-Sendfile-Type: X-Accel-Redirect`: nginx or Caddy. It reads the disk store's folder, or fetches
 * from the bucket.
 */
export interface AcceleratedDownloads {
  readonly mode: "accelerated";
  /**
   * The prefix of a file's path in `X-Accel-Redirect`: a location of that server that clients
   * cannot reach.
   *
   * @default "/fixity-internal"
   */
  readonly location?: string;
}

/** Another server that sends the bytes of blobs. */
export interface Delegate {
  /**
   * Whether the delegate's response to a `GET` is the same as fixity's own. fixity answers other
   * requests itself, so clients see no difference.
   *
   * @param etag of the requested blob
   */
  accepts(exchange: Exchange, etag: string): boolean;

  /** The answer that passes the request on. The blob exists. */
  passOn(blob: DelegatedBlob, exchange: Exchange): Promise<Answer>;

  /**
   * The origin from which a browser then loads the blob, which the policy of a page must allow;
   * `null` for this one.
   */
  origin(digest: Digest): Promise<string | null>;
}

/** A blob that a delegate is to send. */
export interface DelegatedBlob {
  readonly digest: Digest;
  /** The fields of fixity's own response, except length and range. */
  readonly fields: Readonly<Record<string, string>>;
  /** Who may read it, and until when. */
  readonly reading: Pick<Reading, "isPublic" | "expires">;
}

/** S3's limit: a week. */
const MAX_LIFETIME_SECONDS = 604_800;

/**
 * The delegate that these options describe, or `null` for none.
 *
 * @throws FixityError `invalid-option`, also if the store does not support the mode
 */
export function delegateFor(options: DownloadOptions, store: BlobStore): Delegate | null {
  switch (options.mode) {
    case "stream":
      return null;
    case "redirect":
      return redirectorFor(options, store);
    case "accelerated":
      return acceleratorFor(options, store);
    default:
      throw new FixityError("invalid-option", "downloads.mode must be stream, redirect or accelerated.");
  }
}

function redirectorFor({ lifetime = 300 }: RedirectedDownloads, store: BlobStore): Delegate {
  if (!Number.isSafeInteger(lifetime) || lifetime < 1 || lifetime > MAX_LIFETIME_SECONDS) {
    throw new FixityError("invalid-option", `downloads.lifetime must be an integer from 1 to ${MAX_LIFETIME_SECONDS}.`);
  }
  if (canPresign(store)) return new Redirector(store, lifetime);
  throw new FixityError("invalid-option", "downloads.mode redirect needs a store that clients can reach, such as S3.");
}

function acceleratorFor({ location = "/fixity-internal" }: AcceleratedDownloads, store: BlobStore): Delegate {
  if (!/^(\/(?!\.{1,2}(\/|$))[A-Za-z0-9._~-]+)+$/.test(location)) {
    throw new FixityError("invalid-option", "downloads.location must be a path such as /fixity-internal.");
  }
  if (hasFiles(store)) return new Accelerator(location, (digest) => filePath(store, digest));
  if (canPresign(store)) return new Accelerator(location, (digest, type) => presignedPath(store, digest, type));
  throw new FixityError("invalid-option", "downloads.mode accelerated needs a store of files or one such as S3.");
}

/** A store whose files another program can read. */
type FileStore = Required<Pick<BlobStore, "filePath">>;

/** A store that clients can read with a presigned URL. */
type PresigningStore = Required<Pick<BlobStore, "presign">>;

function hasFiles(store: BlobStore): store is BlobStore & FileStore {
  return store.filePath !== undefined;
}

function canPresign(store: BlobStore): store is BlobStore & PresigningStore {
  return store.presign !== undefined;
}

/** Redirects clients to the store: `307` with a presigned URL. */
class Redirector implements Delegate {
  readonly #store: PresigningStore;
  readonly #lifetimeSeconds: number;

  constructor(store: PresigningStore, lifetimeSeconds: number) {
    this.#store = store;
    this.#lifetimeSeconds = lifetimeSeconds;
  }

  /**
   * The client repeats its request at the store with all conditions. The store has its own entity
   * tags.
   */
  accepts({ fields }: Exchange, etag: string): boolean {
    if (fields.get("if-match") !== undefined) return false;
    const range = fields.get("range");
    if (range === undefined) return true;
    const ifRange = fields.get("if-range");
    // A foreign tag may be the store's, from an earlier part of the same download.
    return ifRange === undefined ? isPlainRange(range) : !ifRangeHolds(ifRange, etag);
  }

  async passOn({ digest, fields, reading }: DelegatedBlob): Promise<Answer> {
    const permittedSeconds = secondsLeft(reading.expires ?? Infinity);
    const lifetime = Math.max(1, Math.min(this.#lifetimeSeconds, Math.floor(permittedSeconds)));
    const contentDisposition = fields["Content-Disposition"];
    const responseFields = {
      contentType: fields["Content-Type"] ?? "",
      ...(contentDisposition !== undefined && { contentDisposition }),
      // The bytes never change, but this URL is of no use after it expires.
      cacheControl: `private, max-age=${lifetime}, immutable`,
    };
    const { url, expires } = await this.#store.presign(digest, { lifetime, responseFields });
    const maxAge = Math.floor(Math.min(secondsLeft(expires.getTime()) / 2, permittedSeconds));
    return {
      status: 307,
      fields: {
        Location: url,
        // Cached for half of the remaining time, so that a cached URL is valid for at least as long
        // again, even if clocks differ. Private, because the URL needs no authorization and a
        // shared cache does not call `authorize`.
        "Cache-Control":
          reading.isPublic || reading.expires !== null ? `private, max-age=${maxAge}` : "private, no-cache",
        ...(fields["Vary"] !== undefined && { Vary: fields["Vary"] }),
      },
    };
  }

  async origin(digest: Digest): Promise<string> {
    const { url } = await this.#store.presign(digest, {
      lifetime: this.#lifetimeSeconds,
      responseFields: { contentType: OCTET_STREAM },
    });
    return new URL(url).origin;
  }
}

function secondsLeft(until: number): number {
  return Math.max(0, (until - Date.now()) / 1000);
}

/** The path of a blob below the internal location, for a response with this content type. */
type Locator = (digest: Digest, contentType: string) => Promise<string> | string;

/** The lifetime of a URL for the web server in front, which uses it at once. */
const INTERNAL_LIFETIME_SECONDS = 60;

/**
 * Values of `X-Sendfile-Type`. nginx adds the parameter, because it keeps the Cache-Control of an
 * `X-Accel-Redirect`.
 */
const SENDFILE_TYPE = /^x-accel-redirect(?:\s*;\s*keeps-cache-control)?$/i;

/** Conditions that a file server evaluates with its own tags and dates. */
const FOREIGN_CONDITIONS = ["if-match", "if-modified-since", "if-unmodified-since"];

/** Lets the web server in front send the bytes: nginx's `X-Accel-Redirect`, and no content. */
class Accelerator implements Delegate {
  readonly #location: string;
  readonly #locate: Locator;

  /** @param location without a trailing slash */
  constructor(location: string, locate: Locator) {
    this.#location = location;
    this.#locate = locate;
  }

  /**
   * Only requests for which the web server asks for it, by a field that Rack introduced. A client
   * that bypasses that server gets the bytes from fixity, and not an empty file that is valid
   * forever.
   */
  accepts({ fields }: Exchange, etag: string): boolean {
    if (!SENDFILE_TYPE.test(fields.get("x-sendfile-type") ?? "")) return false;
    if (FOREIGN_CONDITIONS.some((name) => fields.get(name) !== undefined)) return false;
    const range = fields.get("range");
    if (range === undefined) return true;
    const ifRange = fields.get("if-range");
    return isPlainRange(range) && (ifRange === undefined || ifRangeHolds(ifRange, etag));
  }

  async passOn({ digest, fields }: DelegatedBlob, exchange: Exchange): Promise<Answer> {
    const keepsCacheControl = /;\s*keeps-cache-control\b/i.test(exchange.fields.get("x-sendfile-type") ?? "");
    const { "Accept-Ranges": _, "Cache-Control": cacheControl = "", Vary: vary, ...others } = fields;
    return {
      status: 200,
      fields: {
        ...others,
        // This response is empty: a cache that takes it for the file despite Vary must not store
        // it.
        ...(!keepsCacheControl && { "Cache-Control": "no-store" }),
        // The file's own value, which the web server sets on success only. nginx would also apply
        // Cache-Control to an error of its own: its 404 for a wrong folder would be cached for a
        // year.
        "X-Blob-Cache-Control": cacheControl,
        "X-Accel-Redirect": `${this.#location}/${await this.#locate(digest, fields["Content-Type"] ?? "")}`,
        Vary: vary === undefined ? "X-Sendfile-Type" : `X-Sendfile-Type, ${vary}`,
      },
    };
  }

  /** The client sees no other server. */
  async origin(): Promise<null> {
    return null;
  }
}

/** For an internal location that is the store's folder. */
function filePath(store: FileStore, digest: Digest): string {
  return store.filePath(digest).split("/").map(encodeURIComponent).join("/");
}

/**
 * For an internal location that forwards requests to the store: path and query of a presigned URL.
 */
async function presignedPath(store: PresigningStore, digest: Digest, contentType: string): Promise<string> {
  const { url } = await store.presign(digest, { lifetime: INTERNAL_LIFETIME_SECONDS, responseFields: { contentType } });
  const { pathname, search } = new URL(url);
  return pathname.slice(1) + search;
}

/** How a download ended, for diagnostics. */
export function downloadOutcome({ fields, note }: Answer, { aborted }: { aborted: boolean }): DownloadEvent["outcome"] {
  if (note?.error !== undefined) return "failed";
  if (aborted) return "aborted";
  // Only delegates redirect a download, and only they send this field.
  return fields["Location"] !== undefined || fields["X-Accel-Redirect"] !== undefined ? "delegated" : "complete";
}
