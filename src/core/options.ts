import { FixityError } from "./errors.ts";
import type { BlobStore } from "./store.ts";

/** 5 GiB: what S3 takes in one request, and more than most files have. */
const DEFAULT_MAX_SIZE = 5 * 1024 ** 3;

/** How a fixity service is set up. */
export interface FixityOptions {
  /** Where blobs are kept: `diskStore(…)`, `memoryStore()`, or one of your own. */
  readonly store: BlobStore;
  /**
   * Most bytes that one file may have.
   *
   * @default 5 GiB
   */
  readonly maxSize?: number;
  /**
   * The path under which links stand, with a leading and no trailing slash.
   *
   * @default "/uploads"
   */
  readonly prefix?: string;
  /**
   * The absolute URL in front of `prefix` in every link that is given, such as `https://files.example.com`. Without it
   * links are relative (`/uploads/…`); what a request says of its host is never believed.
   */
  readonly publicUrl?: string;
}

/** {@link FixityOptions}, checked and complete. */
export interface ResolvedOptions {
  readonly store: BlobStore;
  readonly maxSize: number;
  readonly prefix: string;
  /** What stands in front of a link's last segment: `/uploads/` or `https://files.example.com/uploads/`. */
  readonly linkBase: string;
}

/** @throws FixityError `invalid-option` */
export function resolveOptions(options: FixityOptions): ResolvedOptions {
  const { store, maxSize = DEFAULT_MAX_SIZE, prefix = "/uploads", publicUrl } = options;
  if (!Number.isSafeInteger(maxSize) || maxSize < 0) {
    throw new FixityError("invalid-option", "maxSize must be a whole number of bytes.");
  }
  if (!/^(\/[A-Za-z0-9._~-]+)+$/.test(prefix) || /\/\.{1,2}(\/|$)/.test(prefix)) {
    throw new FixityError(
      "invalid-option",
      "prefix must be a path such as /uploads: a leading slash, no trailing one.",
    );
  }
  return { store, maxSize, prefix, linkBase: `${publicBase(publicUrl)}${prefix}/` };
}

function publicBase(publicUrl: string | undefined): string {
  if (publicUrl === undefined) return "";
  const url = URL.parse(publicUrl);
  if (url === null || !/^https?:$/.test(url.protocol) || url.search !== "" || url.hash !== "" || url.username !== "") {
    throw new FixityError("invalid-option", "publicUrl must be an http(s) URL without user, query or fragment.");
  }
  return url.href.replace(/\/+$/, "");
}
