import { AccessKeys } from "../access/access-keys.ts";
import { Permits } from "../access/permits.ts";
import { LinkSigner } from "../access/signed-links.ts";
import { TypeList } from "../access/type-list.ts";
import { redacted } from "../base/redact.ts";
import { FixityError } from "./errors.ts";
import { type EventOptions, resolveEventOptions, type ResolvedEventOptions } from "./events/event-options.ts";
import { type HookOptions, Hooks } from "./hooks.ts";
import type { OnPurge } from "./purges.ts";
import type { BlobStore } from "./store.ts";
import type { VerifyReads } from "./verification/verified-blobs.ts";

/** 5 GiB: the limit of one S3 request, and more than most files need. */
const DEFAULT_MAX_SIZE = 5 * 1024 ** 3;

const DAY_MS = 24 * 3_600_000;

/** Who may read files; see {@link FixityOptions.reads}. */
export type Reads = "public" | "signed" | "app";

/**
 * The configuration of a fixity service.
 *
 * @template Context what the embedding app knows about a request, for its hooks
 */
export interface FixityOptions<Context = unknown> extends HookOptions<Context> {
  /**
   * Where blobs are stored: `diskStore(…)`, `s3Store(…)`, `memoryStore()`, or a store of your own.
   */
  readonly store: BlobStore;
  /**
   * The largest size of a file, in bytes.
   *
   * @default 5 GiB
   */
  readonly maxSize?: number;
  /**
   * The path in front of every link, with a leading slash and no trailing one.
   *
   * @default "/uploads"
   */
  readonly prefix?: string;
  /**
   * The absolute URL in front of `prefix` in every returned link, such as
   * `https://files.example.com`. Without it links are relative (`/uploads/…`): the host that a
   * request names is never trusted.
   */
  readonly publicUrl?: string;
  /**
   * The files that are accepted: media types (`application/pdf`), ranges of them (`image/*`) and
   * extensions (`.docx`). What counts is the extension of the file's link, which decides the type
   * that it is served with. What the file contains is not looked at; see `inspect`.
   *
   * @default all
   */
  readonly types?: readonly string[];
  /**
   * Whether uploaders learn that their content was stored before. If not, every byte is read, no
   * digest alone is acknowledged, and the receipt of existing content is that of new content.
   * `onStored` and diagnostics still get the truth.
   *
   * @default true where reads are public
   */
  readonly revealExisting?: boolean;
  /**
   * Who may read. `public`: everybody who has a link. `signed`: who has a signed link
   * ({@link Fixity.sign}, which needs `linkKeys`), and principals with the right `read`. `app`: whom the
   * hooks `principal` and `authorize` of the handler allow it.
   *
   * @default "public"
   */
  readonly reads?: Reads;
  /** Limits on resumable uploads. */
  readonly uploads?: UploadLimitOptions;
  /**
   * How often stored bytes are compared with their digest when they are read; see
   * {@link VerifyReads}.
   *
   * @default "daily"
   */
  readonly verifyReads?: VerifyReads;
  /**
   * Secrets that sign permits (`fixity.permit`), of at least 32 characters each. The first
   * signs and all verify.
   */
  readonly permitKeys?: readonly string[];
  /** Secrets that sign links (`fixity.sign`), as `permitKeys`. */
  readonly linkKeys?: readonly string[];
  /** Purges caches in front of removed, repaired and blocked blobs. @default none */
  readonly onPurge?: OnPurge;
  /**
   * Where events go: what was stored, removed, found damaged and repaired. The store must keep
   * documents, as those of this package do.
   *
   * @default nowhere, at no cost
   */
  readonly events?: EventOptions;
  /**
   * Receives what the operator should know: damaged files, and what could not be recorded about
   * them.
   *
   * @default a process warning
   */
  readonly log?: (message: string, cause?: unknown) => void;
}

/** Limits on resumable uploads. */
export interface UploadLimitOptions {
  /**
   * Milliseconds for which an unfinished upload is kept after its last save, and the outcome of a
   * finished one.
   *
   * @default 24 h
   */
  readonly expiry?: number;
  /** The number of unfinished uploads that one process accepts. @default 10,000 */
  readonly maxOpen?: number;
  /** The largest append, in bytes. @default unlimited */
  readonly maxAppendSize?: number;
  /** The smallest append, in bytes, that does not complete its upload. @default 0 */
  readonly minAppendSize?: number;
}

/** {@link UploadLimitOptions}, validated, with defaults. */
export type UploadLimits = Required<UploadLimitOptions>;

/** {@link FixityOptions}, validated, with defaults. */
export interface ResolvedOptions {
  readonly store: BlobStore;
  readonly maxSize: number;
  readonly prefix: string;
  /**
   * The URL in front of a link's last segment: `/uploads/` or `https://files.example.com/uploads/`.
   */
  readonly linkBase: string;
  /** The origin of `publicUrl`; `null` without one. */
  readonly publicOrigin: string | null;
  readonly uploads: UploadLimits;
  readonly verifyReads: VerifyReads;
  readonly permits: Permits | null;
  readonly links: LinkSigner | null;
  readonly hooks: Hooks;
  readonly onPurge: OnPurge | undefined;
  /** The types of files that are accepted; `null` for all. */
  readonly types: TypeList | null;
  readonly readPolicy: Reads;
  readonly revealExisting: boolean;
  /** `null` if there are none. */
  readonly eventOptions: ResolvedEventOptions | null;
  readonly log: (message: string, cause?: unknown) => void;
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
  const { verifyReads = "daily", log = warn } = options;
  if (!["always", "daily", "never"].includes(verifyReads)) {
    throw new FixityError("invalid-option", "verifyReads must be always, daily or never.");
  }
  const uploads = resolveUploadLimits(options.uploads ?? {});
  const base = publicBase(publicUrl);
  const publicOrigin = base === "" ? null : new URL(base).origin;
  const { permitKeys, linkKeys } = options;
  const permits = permitKeys === undefined ? null : new Permits(AccessKeys.parse(permitKeys, "permit"));
  const links = linkKeys === undefined ? null : new LinkSigner(AccessKeys.parse(linkKeys, "link"));
  const linkBase = `${base}${prefix}/`;
  const { reads = "public" } = options;
  if (!["public", "signed", "app"].includes(reads)) {
    throw new FixityError("invalid-option", "reads must be public, signed or app.");
  }
  if (reads === "signed" && links === null) {
    throw new FixityError("invalid-option", 'reads: "signed" needs linkKeys.');
  }
  const { revealExisting = reads === "public" } = options;
  const types = options.types === undefined ? null : TypeList.parse(options.types);
  const hooks = new Hooks(options, log);
  const eventOptions = options.events === undefined ? null : resolveEventOptions(options.events);
  return {
    store,
    maxSize,
    types,
    readPolicy: reads,
    revealExisting,
    prefix,
    linkBase,
    publicOrigin,
    uploads,
    verifyReads,
    permits,
    links,
    hooks,
    onPurge: options.onPurge,
    eventOptions,
    log,
  };
}

function warn(message: string, cause?: unknown): void {
  const reason = cause instanceof Error ? `: ${cause.message}` : "";
  process.emitWarning(redacted(message + reason), { type: "FixityWarning" });
}

function resolveUploadLimits(options: UploadLimitOptions): UploadLimits {
  const { expiry = DAY_MS, maxOpen = 10_000, maxAppendSize = Number.MAX_SAFE_INTEGER, minAppendSize = 0 } = options;
  const limits = { expiry, maxOpen, maxAppendSize, minAppendSize };
  for (const [name, value] of Object.entries(limits)) {
    const minimum = name === "minAppendSize" ? 0 : 1;
    if (Number.isSafeInteger(value) && value >= minimum) continue;
    throw new FixityError("invalid-option", `uploads.${name} must be a whole number, at least ${minimum}.`);
  }
  if (minAppendSize <= maxAppendSize) return limits;
  throw new FixityError("invalid-option", "uploads.minAppendSize must not exceed uploads.maxAppendSize.");
}

function publicBase(publicUrl: string | undefined): string {
  if (publicUrl === undefined) return "";
  const url = URL.parse(publicUrl);
  if (url === null || !/^https?:$/.test(url.protocol) || url.search !== "" || url.hash !== "" || url.username !== "") {
    throw new FixityError("invalid-option", "publicUrl must be an http(s) URL without user, query or fragment.");
  }
  return url.href.replace(/\/+$/, "");
}
