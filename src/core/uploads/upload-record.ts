/**
 * The record of an upload: everything that the engine knows about it besides its bytes. The store
 * keeps it as opaque text, written in one step with the bytes. Every version of fixity reads the
 * records of the version before.
 */
import { ANONYMOUS, type Owner } from "../../access/principal.ts";
import type { TypeList } from "../../access/type-list.ts";
import { Digest } from "../digest.ts";
import { type ErrorCode, FixityError } from "../errors.ts";
import { settleNaming } from "../file-name.ts";
import { agreedDigest, assertLength, assertType, NO_TERMS } from "../upload-terms.ts";
import { Link, type Receipt, receiptOf } from "../link.ts";
import type { UploadId } from "../upload-id.ts";
import type { EndedUpload as EndedStoreUpload, HeldUpload, SavedUpload, UploadSummary } from "../upload-store.ts";
import type { CreateOptions } from "./upload-options.ts";

/** Times are in milliseconds since 1970. */
export interface UploadRecord {
  /** When the upload may be removed. */
  readonly expires: number;
  /** When the record was written. */
  readonly saved: number;
  /** The file's name, cleaned. */
  readonly name: string | null;
  /** The extension of the link to be. */
  readonly extension: string | null;
  /** The principal that created the upload; `null` for an anonymous one. */
  readonly owner: Owner | null;
  /** JSON of the embedder, for its hooks. */
  readonly kept: string | null;
  /** A protocol's own text, returned on request: tus's `Upload-Metadata`. */
  readonly metadata: string | null;
  /** Bytes of the whole file; `null` while unknown. */
  readonly length: number | null;
  /** The announced SHA-256 of the whole file, in hex. */
  readonly sha256: string | null;
  /** The announced SHA-512 of the whole file, in base64. */
  readonly sha512: string | null;
  /**
   * States of the hashes at the saved offset, in base64, for stores that cannot return saved bytes.
   */
  readonly hashes: Readonly<Record<string, string>> | null;
  /**
   * The beginning of the file at the saved offset, in base64, for an app that inspects it, and
   * stores that cannot return saved bytes.
   */
  readonly head: string | null;
  /** The last byte has arrived. What remains is to make a blob of the bytes. */
  readonly sealed: boolean;
  /**
   * The service that created the upload has a hook, `onStored`. A collection by a program without
   * it, such as `fixity gc`, leaves the completion of the upload to others.
   */
  readonly hooked: boolean;
  /** The blob is stored, and what remains is that the hook succeeds; `null` in every other state. */
  readonly pending: StoredOutcome | null;
  readonly outcome: Outcome | null;
}

/** How an upload has ended. */
export type Outcome = StoredOutcome | FailedOutcome;

/** The upload has become a blob. */
export interface StoredOutcome {
  /** SHA-256, in hex. */
  readonly stored: string;
  /** Bytes. */
  readonly size: number;
  readonly existed: boolean;
}

/** The upload can never become a blob. */
export interface FailedOutcome {
  readonly failed: ErrorCode;
  readonly message: string;
  readonly facts: FixityError["facts"];
}

/** An upload in the hands of this process, and its record. */
export interface HeldRecord {
  readonly id: UploadId;
  readonly held: HeldUpload;
  readonly record: UploadRecord;
}

/** The format of records: a later version of fixity uses it to read older ones. */
const VERSION = 1;

/** Fields that records of earlier versions do not have. */
const ADDED_LATER: Pick<UploadRecord, "owner" | "kept" | "head" | "hooked" | "pending"> = {
  owner: null,
  kept: null,
  head: null,
  hooked: false,
  pending: null,
};

export function formatRecord(record: UploadRecord): string {
  return JSON.stringify({ version: VERSION, ...record });
}

/**
 * @throws FixityError `store-unavailable` for a record of a later version, `upload-damaged` for an
 *   unreadable one
 */
export function parseRecord(text: string): UploadRecord {
  let record: UploadRecord & { readonly version: number };
  try {
    record = JSON.parse(text) as typeof record;
  } catch {
    throw uploadDamaged();
  }
  if (record.version === VERSION) return { ...ADDED_LATER, ...record };
  throw new FixityError("store-unavailable", "The upload was begun by another version of this service.");
}

/**
 * The record; `null` if it is damaged.
 *
 * @throws FixityError `store-unavailable` for a record of a later version
 */
export function readableRecord(text: string): UploadRecord | null {
  try {
    return parseRecord(text);
  } catch (error) {
    if (isFinalFailure(error)) return null;
    throw error;
  }
}

/** Whether an upload can only be concluded or removed, because its bytes or its record are lost. */
export function isDamaged({ record, isDamaged: isKnown = false }: SavedUpload): boolean {
  return isKnown || readableRecord(record) === null;
}

/** The record of an upload whose blob is stored, and whose hook has not succeeded. */
export type PendingRecord = UploadRecord & { readonly pending: StoredOutcome };

export function isPending(record: UploadRecord): record is PendingRecord {
  return record.pending !== null;
}

/** Whether the upload exists and has not ended. */
export function isUnfinished(saved: SavedUpload | null): boolean {
  return saved !== null && parseRecord(saved.record).outcome === null;
}

/**
 * How long past its expiry a sealed upload is kept: all its bytes are there, and making a blob of
 * them takes time.
 */
const COMPLETION_GRACE_MS = 3_600_000;

/** Whether the upload may be removed. */
export function isExpired({ expires, sealed, pending, outcome }: UploadRecord): boolean {
  const isCompleting = sealed && pending === null && outcome === null;
  return expires + (isCompleting ? COMPLETION_GRACE_MS : 0) <= Date.now();
}

/**
 * The age at which a sealed upload that is not yet a blob is taken to be abandoned by a server that
 * died.
 */
const ABANDONED_AFTER_MS = 5 * 60_000;

/**
 * Whether the last byte has arrived and the server that was to make a blob of the upload has
 * probably died.
 */
export function isAbandoned({ saved, sealed, outcome }: UploadRecord): boolean {
  return outcome === null && sealed && saved < Date.now() - ABANDONED_AFTER_MS;
}

/**
 * Whether a collection must read the record of a listed upload, because it may be expired or
 * abandoned. A record expires `expiry` milliseconds after it was written, unless that was under
 * another setting. One that is wrongly skipped is read by a later collection.
 */
export function mayBeDue({ age, isEnded }: UploadSummary, expiry: number): boolean {
  return age === null || age >= (isEnded ? expiry : Math.min(ABANDONED_AFTER_MS, expiry));
}

/** Codes after which an upload can never become a blob. */
const FINAL_CODES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "upload-damaged",
  "size-limit-exceeded",
  "content-refused",
  "blob-blocked",
]);

/** Whether a failure of the store, an inspection or a block means that the upload can never become a blob. */
export function isFinalFailure(error: unknown): error is FixityError {
  return error instanceof FixityError && FINAL_CODES.has(error.code);
}

export function uploadDamaged(cause?: unknown): FixityError {
  const message = "Saved bytes of the upload are lost. Send the file again from the start.";
  return new FixityError("upload-damaged", message, { cause });
}

/**
 * The record of a new upload.
 *
 * @throws FixityError if it does not satisfy its terms
 */
export function newRecord(
  options: CreateOptions,
  { expiryMs, hooked, types }: { readonly expiryMs: number; readonly hooked: boolean; readonly types: TypeList | null },
): UploadRecord {
  const { length, sha512, metadata, terms = NO_TERMS } = options;
  const naming = settleNaming(options);
  assertType(naming.extension, types, terms.types);
  assertLength(terms, length);
  const now = Date.now();
  return {
    expires: now + expiryMs,
    saved: now,
    ...naming,
    owner: terms.owner.kind === "anonymous" ? null : { kind: terms.owner.kind, name: terms.owner.name },
    kept: terms.kept,
    metadata: metadata ?? null,
    length: length ?? null,
    sha256: agreedDigest(terms, options.digest)?.hex ?? null,
    sha512: sha512?.toString("base64") ?? null,
    hashes: null,
    head: null,
    sealed: false,
    hooked,
    pending: null,
    outcome: null,
  };
}

/** The record of an upload whose blob is stored, until the hook succeeds. */
export function pendingRecord(record: UploadRecord, pending: StoredOutcome, expiry: number): UploadRecord {
  const now = Date.now();
  return { ...record, saved: now, expires: now + expiry, hashes: null, head: null, sealed: true, pending };
}

/** The record of an upload that has ended, to be kept for another `expiry` milliseconds. */
export function endedRecord(record: UploadRecord, outcome: Outcome, expiry: number): UploadRecord {
  const now = Date.now();
  return { ...record, saved: now, expires: now + expiry, hashes: null, head: null, pending: null, outcome };
}

/**
 * The record of an upload that has failed for good.
 *
 * @param known `null` if its record is unreadable
 */
export function failedRecord(known: UploadRecord | null, error: FixityError, expiry: number): UploadRecord {
  return endedRecord(known ?? UNKNOWN, failedOutcome(error), expiry);
}

const UNKNOWN: UploadRecord = {
  expires: 0,
  saved: 0,
  name: null,
  extension: null,
  ...ADDED_LATER,
  metadata: null,
  length: null,
  sha256: null,
  sha512: null,
  hashes: null,
  sealed: false,
  outcome: null,
};

export function failedOutcome({ code, message, facts }: FixityError): FailedOutcome {
  return { failed: code, message, facts };
}

/**
 * The record of an upload that the store reports as ended. An unreadable one is removed: nothing
 * else is left of it.
 */
export async function recordOfEnded(ended: EndedStoreUpload, expiry: number): Promise<UploadRecord> {
  const record = readableRecord(ended.record);
  if (record !== null) return record;
  await ended.remove();
  return failedRecord(null, uploadDamaged(), expiry);
}

/** The digest in a record. */
export function digestIn(hex: string): Digest {
  const digest = Digest.fromHex(hex);
  if (digest === null) throw new FixityError("store-unavailable", "The record of the upload cannot be read.");
  return digest;
}

/** An upload as a protocol reports it. */
export interface UploadState {
  readonly id: UploadId;
  /** The principal that created the upload. */
  readonly owner: Owner;
  /** Durable bytes. */
  readonly offset: number;
  /** Bytes of the whole file; `null` while unknown. */
  readonly length: number | null;
  /** When the upload may be removed. */
  readonly expires: Date;
  /** The metadata given at its creation. */
  readonly metadata: string | null;
  /**
   * The receipt of the stored file, or why nothing was stored; `null` until the upload ends: also
   * while the file is stored, and the hook `onStored` has not succeeded.
   */
  readonly outcome: Receipt | FixityError | null;
}

/** An upload that has become a blob, or never will. */
export type EndedUpload = UploadState & { readonly outcome: Receipt | FixityError };

export function hasEnded(state: UploadState): state is EndedUpload {
  return state.outcome !== null;
}

/** How uploads are reported. */
export interface Reporting {
  /** The URL in front of a link's last segment. */
  readonly linkBase: string;
  /** Whether a receipt may say that the content existed. */
  readonly revealExisting: boolean;
}

/** @param offset the durable bytes of an upload that has not ended */
export function stateOf(
  id: UploadId,
  record: UploadRecord,
  { offset, linkBase, revealExisting }: Reporting & { readonly offset: number },
): UploadState {
  const { outcome, pending, length, metadata } = record;
  const state = { id, owner: record.owner ?? ANONYMOUS, length, metadata, expires: new Date(record.expires) };
  if (outcome === null) return { ...state, offset: pending?.size ?? offset, outcome: null };
  if ("failed" in outcome) {
    const error = new FixityError(outcome.failed, outcome.message, { facts: outcome.facts });
    return { ...state, offset: length ?? offset, outcome: error };
  }
  const receipt = receiptIn(record, outcome, linkBase);
  return { ...state, offset: outcome.size, outcome: revealExisting ? receipt : { ...receipt, existed: false } };
}

/** The receipt of an upload that has become a blob. @param linkBase as in {@link Reporting} */
export function receiptIn(
  { name, extension }: UploadRecord,
  { stored, size, existed }: StoredOutcome,
  linkBase: string,
): Receipt {
  return receiptOf(linkBase, { link: Link.to(digestIn(stored), extension), size, name, existed });
}
