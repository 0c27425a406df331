import { randomBytes } from "node:crypto";
import { Digest } from "../../core/digest.ts";
import { UploadId } from "../../core/upload-id.ts";

/**
 * What lies where in a bucket. The only place where keys are made, and only from digests, upload ids and chance:
 *
 *     <keyPrefix>
 *       blobs/
 *         <64 hex digits>    a blob: an object that is whole from its first moment on and never changes
 *                            (and perhaps a multipart upload to this key, which is not visible before its completion)
 *       tmp/
 *         <32 hex digits>    content of more than a part whose digest nobody announced: a multipart upload, then for a
 *                            moment an object, until it has been copied to its blob's key
 *       uploads/
 *         <32 hex digits>    an upload that can be resumed: its record (uploads/upload-state.ts)
 *         <32 hex digits>.tail-<32 hex digits>
 *                            its last bytes, where they do not fill a part; the record tells which one counts
 *       collected            the last collection was complete when this object was last modified (collection-mark.ts)
 *
 * Flat, because S3 spreads keys by any part of them, and these are as good as random.
 */
export class Layout {
  /** What the keys of all blobs begin with. */
  readonly blobs: string;
  /** What the keys of all that is coming in without a digest begin with. */
  readonly staging: string;
  /** What the keys of all records of uploads, and of their tails, begin with. */
  readonly uploads: string;
  /** The key of the mark that a collection leaves. */
  readonly collected: string;

  /** @param keyPrefix empty, or ends in a slash */
  constructor(keyPrefix: string) {
    this.blobs = `${keyPrefix}blobs/`;
    this.staging = `${keyPrefix}tmp/`;
    this.uploads = `${keyPrefix}uploads/`;
    this.collected = `${keyPrefix}collected`;
  }

  /** The key of a blob. */
  blob(digest: Digest): string {
    return this.blobs + digest.hex;
  }

  /** The digest of the blob with this key; `null` where it is no blob's. */
  digestOf(key: string): Digest | null {
    return key.startsWith(this.blobs) ? Digest.fromHex(key.slice(this.blobs.length)) : null;
  }

  /** A key that nobody has used before. */
  newStaging(): string {
    return this.staging + randomBytes(16).toString("hex");
  }

  /** Whether a key is one of {@link newStaging}. */
  isStaging(key: string): boolean {
    return key.startsWith(this.staging) && /^[0-9a-f]{32}$/.test(key.slice(this.staging.length));
  }

  /** The key of an upload's record. */
  record(id: UploadId): string {
    return this.uploads + id.hex;
  }

  /** The upload whose record has this key; `null` where it is no record's. */
  uploadIdOf(key: string): UploadId | null {
    return key.startsWith(this.uploads) ? UploadId.fromHex(key.slice(this.uploads.length)) : null;
  }

  /** What the keys of all tails of an upload begin with. */
  tails(id: UploadId): string {
    return `${this.record(id)}.tail-`;
  }

  /** A key that nobody has used before. */
  newTail(id: UploadId): string {
    return this.tails(id) + randomBytes(16).toString("hex");
  }

  /** The key of the record of the upload whose tail has this key; `null` where it is no tail's. */
  recordOfTail(key: string): string | null {
    const [, record] = /^(.*)\.tail-[0-9a-f]{32}$/.exec(key) ?? [];
    return record !== undefined && this.uploadIdOf(record) !== null ? record : null;
  }
}
