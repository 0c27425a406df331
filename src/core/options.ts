import { FixityError } from "./errors.ts";
import type { BlobStore } from "./store.ts";

/** 5 GiB: what S3 takes in one request, and more than most files have. */
const DEFAULT_MAX_SIZE = 5 * 1024 ** 3;

const DAY = 24 * 3_600_000;

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
  /** Limits on uploads that can be resumed. */
  readonly uploads?: UploadLimitOptions;
}

/** Limits on uploads that can be resumed. */
export interface UploadLimitOptions {
  /** Milliseconds after its last save that an unfinished upload is kept, and that a finished one answers. @default 24 h */
  readonly expiry?: number;
  /** Unfinished uploads that one process will have begun at a time. @default 10,000 */
  readonly maxOpen?: number;
  /** Most bytes that one request may append. @default any */
  readonly maxAppendSize?: number;
  /** Fewest bytes that a request may append, where it does not complete the upload. @default any */
  readonly minAppendSize?: number;
}

/** {@link UploadLimitOptions}, checked and complete. */
export type UploadLimits = Required<UploadLimitOptions>;

/** {@link FixityOptions}, checked and complete. */
export interface ResolvedOptions {
  readonly store: BlobStore;
  readonly maxSize: number;
  readonly prefix: string;
  /** What stands in front of a link's last segment: `/uploads/` or `https://files.example.com/uploads/`. */
  readonly linkBase: string;
  /** The origin of `publicUrl`; `null` without one. */
  readonly publicOrigin: string | null;
  readonly uploads: UploadLimits;
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
  const uploads = resolveUploadLimits(options.uploads ?? {});
  const base = publicBase(publicUrl);
  const publicOrigin = base === "" ? null : new URL(base).origin;
  return { store, maxSize, prefix, linkBase: `${base}${prefix}/`, publicOrigin, uploads };
}

function resolveUploadLimits(options: UploadLimitOptions): UploadLimits {
  const { expiry = DAY, maxOpen = 10_000, maxAppendSize = Number.MAX_SAFE_INTEGER, minAppendSize = 0 } = options;
  const limits = { expiry, maxOpen, maxAppendSize, minAppendSize };
  for (const [name, value] of Object.entries(limits)) {
    const least = name === "minAppendSize" ? 0 : 1;
    if (Number.isSafeInteger(value) && value >= least) continue;
    throw new FixityError("invalid-option", `uploads.${name} must be a whole number, at least ${least}.`);
  }
  if (minAppendSize <= maxAppendSize) return limits;
  throw new FixityError("invalid-option", "uploads.minAppendSize must not be more than uploads.maxAppendSize.");
}

function publicBase(publicUrl: string | undefined): string {
  if (publicUrl === undefined) return "";
  const url = URL.parse(publicUrl);
  if (url === null || !/^https?:$/.test(url.protocol) || url.search !== "" || url.hash !== "" || url.username !== "") {
    throw new FixityError("invalid-option", "publicUrl must be an http(s) URL without user, query or fragment.");
  }
  return url.href.replace(/\/+$/, "");
}
