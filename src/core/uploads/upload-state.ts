import type { FixityError } from "../errors.ts";
import type { Receipt } from "../link.ts";
import type { UploadId } from "../upload-id.ts";

/** What is known of an upload. */
export interface UploadState {
  readonly id: UploadId;
  /** Bytes that are durable. */
  readonly offset: number;
  /** Bytes of the whole; `null` while nobody has told. */
  readonly length: number | null;
  /** When the upload may be removed. */
  readonly expires: Date;
  /** What was given when it was created. */
  readonly metadata: string | null;
  /** What was stored, or why nothing was; `null` while the upload goes on. */
  readonly outcome: Receipt | FixityError | null;
}

/** An upload that has become a blob, or never will. */
export type EndedUpload = UploadState & { readonly outcome: Receipt | FixityError };

export function hasEnded(state: UploadState): state is EndedUpload {
  return state.outcome !== null;
}
