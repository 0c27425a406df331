import { randomBytes } from "node:crypto";
import { Digest } from "../../core/digest.ts";
import { isDocumentName } from "../../core/document-store.ts";
import { UploadId } from "../../core/upload-id.ts";

/**
 * The keys in a bucket. Keys are made only here, and only from digests, upload ids, names of
 * documents and random bytes:
 *
 *     <keyPrefix>
 *       blobs/
 *         <64 hex digits>    a blob: an object that is complete from the start and never changes; perhaps also
 *                            a multipart upload to this key, which is not visible before its completion
 *       tmp/
 *         <32 hex digits>    content of more than one part whose digest was not announced: a multipart upload,
 *                            then briefly an object, until the server has copied it to the blob's key
 *       uploads/
 *         <32 hex digits>    the record of a resumable upload (uploads/records.ts)
 *         <32 hex digits>.tail-<32 hex digits>
 *                            its last bytes, if they do not fill a part; the record names the one that counts
 *       collected            modified at the end of the last complete collection (collector.ts)
 *       documents/
 *         <collection>/<id>  a document, or a tombstone: a small text with its revision (documents.ts)
 *       damaged/             reserved for blobs that were moved out of the way
 *
 * Flat, because S3 partitions by any part of a key, and these are as good as random. Nothing that
 * lists, verifies or collects looks at the reserved name.
 */
export class Layout {
  /** The prefix of all blobs. */
  readonly blobs: string;
  /** The prefix of all staged content. */
  readonly staging: string;
  /** The prefix of all records and tails of uploads. */
  readonly uploads: string;
  /** The prefix of all documents. */
  readonly documents: string;
  /** The mark that a complete collection leaves. */
  readonly collected: string;

  /** @param keyPrefix empty, or ends in a slash */
  constructor(keyPrefix: string) {
    this.blobs = `${keyPrefix}blobs/`;
    this.staging = `${keyPrefix}tmp/`;
    this.uploads = `${keyPrefix}uploads/`;
    this.documents = `${keyPrefix}documents/`;
    this.collected = `${keyPrefix}collected`;
  }

  /** The key of a blob. */
  blob(digest: Digest): string {
    return this.blobs + digest.hex;
  }

  /** The digest of the blob with this key; `null` for any other key. */
  digestOf(key: string): Digest | null {
    return key.startsWith(this.blobs) ? Digest.fromHex(key.slice(this.blobs.length)) : null;
  }

  /** A new staging key. */
  newStaging(): string {
    return this.staging + randomBytes(16).toString("hex");
  }

  /** Whether a key was made by {@link newStaging}. */
  isStaging(key: string): boolean {
    return key.startsWith(this.staging) && /^[0-9a-f]{32}$/.test(key.slice(this.staging.length));
  }

  /** The key of an upload's record. */
  record(id: UploadId): string {
    return this.uploads + id.hex;
  }

  /** The upload whose record has this key; `null` for any other key. */
  uploadIdOf(key: string): UploadId | null {
    return key.startsWith(this.uploads) ? UploadId.fromHex(key.slice(this.uploads.length)) : null;
  }

  /** The prefix of all tails of an upload. */
  tails(id: UploadId): string {
    return `${this.record(id)}.tail-`;
  }

  /** A new key for a tail. */
  newTail(id: UploadId): string {
    return this.tails(id) + randomBytes(16).toString("hex");
  }

  /** The key of the record to which the tail with this key belongs; `null` for any other key. */
  recordOfTail(key: string): string | null {
    const [, record] = /^(.*)\.tail-[0-9a-f]{32}$/.exec(key) ?? [];
    return record !== undefined && this.uploadIdOf(record) !== null ? record : null;
  }

  /** The key of a document, whose name {@link isDocumentName} accepts. */
  document(name: string): string {
    return this.documents + name;
  }

  /** The name of the document with this key; `null` for any other key. */
  documentNameOf(key: string): string | null {
    const name = key.startsWith(this.documents) ? key.slice(this.documents.length) : "";
    return isDocumentName(name) ? name : null;
  }
}
