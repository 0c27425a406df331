import { Digest } from "../digest.ts";
import { type ErrorCode, FixityError } from "../errors.ts";
import type { EndedUpload, SavedUpload, UploadSummary } from "../upload-store.ts";

/** What fixity knows of an upload besides its bytes. Kept by the store as a text. */
export interface UploadRecord {
  /** Milliseconds since 1970: when the upload may be removed. */
  readonly expires: number;
  /** When the record was last saved. */
  readonly saved: number;
  /** The file's name, cleaned. */
  readonly name: string | null;
  /** The extension that the link will have. */
  readonly extension: string | null;
  /** What a protocol wants to be told again, such as tus's `Upload-Metadata`. */
  readonly metadata: string | null;
  /** Bytes of the whole; `null` while nobody has told. */
  readonly length: number | null;
  /** SHA-256 of the whole, in hex, where it was announced. */
  readonly sha256: string | null;
  /** SHA-512 of the whole, in base64, where it was announced. */
  readonly sha512: string | null;
  /** States of the hashes at the saved offset, in base64, where the store cannot give the bytes back. */
  readonly hashes: Readonly<Record<string, string>> | null;
  /** All bytes are there: what remains is to make them a blob. */
  readonly sealed: boolean;
  readonly outcome: Outcome | null;
}

/** How an upload has ended. */
export type Outcome = StoredOutcome | FailedOutcome;

/** It has become a blob. */
export interface StoredOutcome {
  /** SHA-256, in hex. */
  readonly stored: string;
  /** Bytes. */
  readonly size: number;
  readonly existed: boolean;
}

/** It never will. */
export interface FailedOutcome {
  readonly failed: ErrorCode;
  readonly message: string;
  readonly facts: FixityError["facts"];
}

/** Milliseconds past its expiry that a sealed upload is kept: all its bytes are there, and it takes time to make a blob. */
const FINISHING_MS = 3_600_000;

/** Whether the upload may be removed. */
export function isExpired({ expires, sealed, outcome }: UploadRecord): boolean {
  const isFinishing = sealed && outcome === null;
  return expires + (isFinishing ? FINISHING_MS : 0) <= Date.now();
}

/** Codes of failures after which an upload can never become a blob. */
const FINAL: ReadonlySet<unknown> = new Set<ErrorCode>(["upload-damaged", "size-limit-exceeded"]);

/** Whether the store has said that it can never make a blob of an upload. */
export function isFinalFailure(error: unknown): error is FixityError {
  return error instanceof FixityError && FINAL.has(error.code);
}

export function uploadDamaged(cause?: unknown): FixityError {
  const message = "Saved bytes of the upload are lost. It has to be sent again from the start.";
  return new FixityError("upload-damaged", message, { cause });
}

/** The record of an upload that has ended with a failure. @param known `null` if its record cannot be read */
export function failedRecord(
  known: UploadRecord | null,
  { code, message, facts }: FixityError,
  expiry: number,
): UploadRecord {
  const now = Date.now();
  const outcome = { failed: code, message, facts };
  const unknown = {
    name: null,
    extension: null,
    metadata: null,
    length: null,
    sha256: null,
    sha512: null,
    sealed: false,
  };
  return { ...(known ?? unknown), saved: now, expires: now + expiry, hashes: null, outcome };
}

/** Whether an upload can only be concluded or removed, because its bytes or its record are lost. */
export function isDamaged({ record, isDamaged: isKnown = false }: SavedUpload): boolean {
  return isKnown || readableRecord(record) === null;
}

/** Whether there is an upload, and it has not ended. */
export function isUnfinished(saved: SavedUpload | null): boolean {
  return saved !== null && parseRecord(saved.record).outcome === null;
}

/** The record of an upload that has ended. An unreadable one is removed: nothing else is left of its upload. */
export async function endedRecord(ended: EndedUpload, expiry: number): Promise<UploadRecord> {
  const record = readableRecord(ended.record);
  if (record !== null) return record;
  await ended.remove();
  return failedRecord(null, uploadDamaged(), expiry);
}

/** Milliseconds after which a sealed upload that is not yet a blob is taken for one whose server has died. */
const LEFT_ALONE_MS = 5 * 60_000;

/** Whether all bytes have come, and the server that was to make a blob of them has probably died. */
export function isLeftAlone({ saved, sealed, outcome }: UploadRecord): boolean {
  return outcome === null && sealed && saved < Date.now() - LEFT_ALONE_MS;
}

/**
 * Whether the record of a listed upload has to be read: it may have expired, or be left alone. A record expires `expiry` after
 * it was written, unless that was under another setting. One that is skipped wrongly is read by a later collection.
 */
export function mayBeDue({ age, isEnded }: UploadSummary, expiry: number): boolean {
  return age === null || age >= (isEnded ? expiry : Math.min(LEFT_ALONE_MS, expiry));
}

/** Told in every record: what a later version may have to read. */
const VERSION = 1;

export function formatRecord(record: UploadRecord): string {
  return JSON.stringify({ version: VERSION, ...record });
}

/** The record; `null` if it is damaged. @throws FixityError `store-unavailable` for a record of a later version */
export function readableRecord(text: string): UploadRecord | null {
  try {
    return parseRecord(text);
  } catch (error) {
    if (isFinalFailure(error)) return null;
    throw error;
  }
}

/** @throws FixityError `store-unavailable` for a record of a later version, `upload-damaged` for one that cannot be read */
export function parseRecord(text: string): UploadRecord {
  let record: UploadRecord & { readonly version: number };
  try {
    record = JSON.parse(text) as typeof record;
  } catch {
    throw uploadDamaged();
  }
  if (record.version === VERSION) return record;
  throw new FixityError("store-unavailable", "The upload was begun by another version of this service.");
}

/** The digest that a hex text of a record names. */
export function digestIn(hex: string): Digest {
  const digest = Digest.fromHex(hex);
  if (digest === null) throw new FixityError("store-unavailable", "The upload cannot be read.");
  return digest;
}

/** The failure that an upload has ended with, as it was. */
export function failureIn(outcome: FailedOutcome): FixityError {
  return new FixityError(outcome.failed, outcome.message, { facts: outcome.facts });
}
