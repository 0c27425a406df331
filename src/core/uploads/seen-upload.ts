import type { Owner } from "../../access/principal.ts";
import type { UploadId } from "../upload-id.ts";

/**
 * An upload as one read has shown it, for a decision about a request before that request changes
 * anything. Made by `Uploads.look`. Passed on to `find`, `append` or `cancel`, it saves them the
 * read; what another request has changed meanwhile is noticed nevertheless.
 */
export interface SeenUpload {
  readonly id: UploadId;
  /** The principal that created the upload. */
  readonly owner: Owner;
  /** The file's name, cleaned. */
  readonly name: string | null;
  /** The extension of the link to be. */
  readonly extension: string | null;
  /** Bytes of the whole file; `null` while unknown. */
  readonly length: number | null;
  /** Durable bytes. A request that is still running may have more. */
  readonly offset: number;
}
