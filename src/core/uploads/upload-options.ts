import type { Digest } from "../digest.ts";
import type { Naming } from "../file-name.ts";
import type { HeldUpload, ReadUpload } from "../upload-store.ts";
import type { Announced } from "./append.ts";
import type { UploadRecord } from "./upload-record.ts";
import type { UploadState } from "./upload-state.ts";

/** What may be told of an upload when it is created. */
export interface CreateOptions extends Naming {
  /** Bytes of the whole. */
  readonly length?: number | undefined;
  /** What the whole must hash to. Content that is stored already completes the upload at once. */
  readonly digest?: Digest | undefined;
  /** The same by SHA-512. */
  readonly sha512?: Buffer | undefined;
  /** Whose share of the open uploads it takes; `null` or nothing for a client without a share. */
  readonly client?: string | null;
  /** A text that is kept with the upload. */
  readonly metadata?: string | undefined;
  /**
   * Whether an upload that is complete at once is kept, for a protocol that tells its address all the same.
   *
   * @default true
   */
  readonly keepsComplete?: boolean;
  /** The first bytes, which come with the creation: where they cannot be taken, nothing is created. */
  readonly first?: Announced | undefined;
}

/** What a look at an upload has found. */
export type Look =
  /** It has ended, or is just being finished here. */
  | { readonly ended: UploadRecord; readonly atRest: null; readonly read: ReadUpload | undefined }
  /** Nobody brings bytes for it: its offset is final until somebody takes it. */
  | { readonly ended: null; readonly atRest: UploadRecord; readonly read: ReadUpload }
  /** It has to be held to know more, or to be concluded because it is damaged. */
  | { readonly ended: null; readonly atRest: null; readonly read: ReadUpload };

/** A new upload. */
export interface Created {
  readonly state: UploadState;
  /** In the hands of this process, if it was to be held and the store can create it so. */
  readonly held: HeldUpload | null;
}

export interface HoldOptions {
  readonly signal?: AbortSignal | undefined;
  /** What the store has just returned for the upload. */
  readonly read?: ReadUpload | undefined;
}
