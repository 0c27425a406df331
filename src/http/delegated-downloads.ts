import { FixityError } from "../core/errors.ts";
import type { BlobStore } from "../core/store.ts";
import { Accelerator, type FileKeeper, pathOfFile, pathOfUrl } from "./delegation/accelerator.ts";
import type { Delegate } from "./delegation/delegate.ts";
import { type Presigner, Redirector } from "./delegation/redirector.ts";

/** Who sends the bytes of blobs to who asks for them. `docs/delegated-download.md` tells what has to be set up for each. */
export type DownloadOptions = StreamedDownloads | RedirectedDownloads | AcceleratedDownloads;

/** We do, always. */
export interface StreamedDownloads {
  readonly mode: "stream";
}

/** The store itself does, under a URL that holds for a while: for S3 stores that clients can reach. */
export interface RedirectedDownloads {
  readonly mode: "redirect";
  /**
   * Seconds that the URL of a file holds, at most and at least half of them: a download has to begin in that time. From 1 to
   * 604,800, a week.
   *
   * @default 300
   */
  readonly lifetime?: number;
}

/**
 * The web server in front of us does, where it asks for that by `X-Sendfile-Type: X-Accel-Redirect`: nginx, or Caddy. It
 * reads the disk store's folder, or fetches from the bucket.
 */
export interface AcceleratedDownloads {
  readonly mode: "accelerated";
  /**
   * What stands before the path of a file in `X-Accel-Redirect`: a location of that server that clients cannot reach.
   *
   * @default "/fixity-internal"
   */
  readonly location?: string;
}

/** Seconds; S3's limit is a week. */
const LONGEST = 604_800;

/**
 * Who sends blobs by these options, or `null` where we do.
 *
 * @throws FixityError `invalid-option`, also where the store cannot do what is asked for
 */
export function delegateFor(options: DownloadOptions, store: BlobStore): Delegate | null {
  switch (options.mode) {
    case "stream":
      return null;
    case "redirect":
      return redirector(options, store);
    case "accelerated":
      return accelerator(options, store);
    default:
      throw new FixityError("invalid-option", "downloads.mode must be stream, redirect or accelerated.");
  }
}

function redirector({ lifetime = 300 }: RedirectedDownloads, store: BlobStore): Delegate {
  if (!Number.isSafeInteger(lifetime) || lifetime < 1 || lifetime > LONGEST) {
    throw new FixityError("invalid-option", `downloads.lifetime must be whole seconds, from 1 to ${LONGEST}.`);
  }
  if (presigns(store)) return new Redirector(store, lifetime);
  throw new FixityError("invalid-option", "downloads.mode redirect needs a store that clients can reach, such as S3.");
}

function accelerator({ location = "/fixity-internal" }: AcceleratedDownloads, store: BlobStore): Delegate {
  if (!/^(\/(?!\.{1,2}(\/|$))[A-Za-z0-9._~-]+)+$/.test(location)) {
    throw new FixityError("invalid-option", "downloads.location must be a path such as /fixity-internal.");
  }
  if (keepsFiles(store)) return new Accelerator(location, (digest) => pathOfFile(store, digest));
  if (presigns(store)) return new Accelerator(location, (digest, contentType) => pathOfUrl(store, digest, contentType));
  throw new FixityError("invalid-option", "downloads.mode accelerated needs a store of files or one such as S3.");
}

function keepsFiles(store: BlobStore): store is BlobStore & FileKeeper {
  return store.filePath !== undefined;
}

function presigns(store: BlobStore): store is BlobStore & Presigner {
  return store.presign !== undefined;
}
