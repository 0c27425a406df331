import type { Admission, Admissions } from "../admissions.ts";
import type { Blocks } from "../blocks.ts";
import type { Digest } from "../digest.ts";
import type { Naming } from "../file-name.ts";
import type { ByteSource } from "../intake.ts";
import type { ResolvedOptions } from "../options.ts";
import type { UploadTerms } from "../upload-terms.ts";
import type { Events } from "../events/events.ts";
import type { VerifiedReads } from "../verification/verified-reads.ts";
import type { OpenUploadsBound, OpenUploadsStore } from "./open-uploads.ts";
import type { SeenUpload } from "./seen-upload.ts";

/** What the engine shares with its service. */
export interface UploadsOptions extends ResolvedOptions {
  readonly admissions: Admissions;
  readonly reads: VerifiedReads;
  readonly blocks: Blocks;
  /** Makes the bound on unfinished uploads. @default this process keeps it */
  readonly openUploads?: ((store: OpenUploadsStore) => OpenUploadsBound) | undefined;
  readonly events: Events | null;
}

/** What is announced about a new upload. */
export interface CreateOptions extends Naming {
  /** Bytes of the whole file. */
  readonly length?: number | undefined;
  /** The digest of the whole file. If that is already stored, the upload is complete at once. */
  readonly digest?: Digest | undefined;
  /** The SHA-512 of the whole file. */
  readonly sha512?: Buffer | undefined;
  /**
   * The client whose share of the unfinished uploads this one counts towards; `null` for a client
   * without a limit.
   */
  readonly client?: string | null;
  /** A text that is kept with the upload. */
  readonly metadata?: string | undefined;
  /**
   * Whether an upload that is complete at once is kept, for a protocol that returns its address
   * nevertheless.
   *
   * @default true
   */
  readonly keepsComplete?: boolean;
  /**
   * The first bytes, if they come with the creation. If they cannot be accepted, nothing is
   * created.
   */
  readonly first?: Announced | undefined;
  /** Who uploads, and what the upload must satisfy. @default the program itself, without limits */
  readonly terms?: UploadTerms | undefined;
}

/** What a request announces about the bytes that it brings. */
export interface Announced {
  /** The position of the first byte. */
  readonly offset: number;
  /**
   * Whether the last byte is the last of the upload: yes, no, or if the upload's length is reached.
   */
  readonly completes: boolean | "at-length";
  /** The number of bytes, if it is announced. */
  readonly announced?: number | undefined;
}

/** Digests that the whole file must have. */
export interface Expectation {
  /** The SHA-256. */
  readonly digest?: Digest | undefined;
  /** The 64 bytes of the SHA-512. */
  readonly sha512?: Buffer | undefined;
}

/** One request's bytes for an upload. */
export interface AppendOptions extends Announced, Expectation {
  /** The admission of the request; see {@link Fixity.admit}. @default one of its own */
  readonly admission?: Admission | undefined;
  /** The bytes. A source that fails interrupts the append. */
  readonly source: ByteSource;
  /** What `look` has just returned for this upload. @default it is read */
  readonly seen?: SeenUpload | undefined;
  /**
   * What this append must satisfy. The owner of the upload stays the one that created it.
   *
   * @default no limits but those of the service
   */
  readonly terms?: UploadTerms | undefined;
  /** Bytes of the whole file, as stated by this request, perhaps more than once. */
  readonly lengths?: readonly number[];
  /**
   * The bytes count all together or not at all. Otherwise what arrives before an interruption
   * counts.
   */
  readonly whole?: boolean;
  /**
   * Whether a request that announces bytes past the upload's length, or past the largest size, ends
   * the upload for good, like one that sends them unannounced. Otherwise it is refused and the
   * upload can be continued.
   *
   * @default false
   */
  readonly excessEnds?: boolean;
  /**
   * Called when all bytes have arrived, before they count. Returns what the end of the request
   * (trailer fields) announces about the whole file. If it throws, the request fails and content
   * that has not been saved by then does not count.
   */
  readonly check?: () => Expectation | void;
  /** Called with offsets as they become durable. */
  readonly onProgress?: (offset: number) => void;
  /** Called with the durable offset if the request fails and the upload can be continued. */
  readonly onFailure?: (offset: number) => void;
}

/** How an upload is found. */
export interface FindOptions {
  /** What `look` has just returned for this upload. @default it is read */
  readonly seen?: SeenUpload | undefined;
  /**
   * Whether the hook `onStored` is called again for an upload whose file is stored and whose hook
   * has not succeeded, for a protocol that has no other way to report the hook's failure. Otherwise
   * such an upload is found at its full offset, without an outcome.
   *
   * @default false
   */
  readonly retriesHook?: boolean | undefined;
  /** The terms of the request, of which a hook receives the context. @default no request */
  readonly terms?: UploadTerms | undefined;
  /** When it aborts, a call that waits for another holder of the upload rejects. */
  readonly signal?: AbortSignal | undefined;
}

/** Limits on one append. */
export interface AppendLimits {
  /** The largest size of the whole file, in bytes. */
  readonly maxSize: number;
  /** The largest number of bytes in one append. */
  readonly maxAppendSize: number;
  /** The smallest number of bytes in an append that is not the last. */
  readonly minAppendSize: number;
  /** Milliseconds for which an upload is kept after its last save. */
  readonly expiry: number;
}
