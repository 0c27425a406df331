import { randomBytes } from "node:crypto";
import { FixityError } from "../../../core/errors.ts";
import type { StageOptions } from "../../../core/store.ts";
import type { Part, UploadName } from "../api/multipart.ts";
import type { PartLimits } from "../send/part-writer.ts";

/** The last bytes of an upload, which do not fill a part yet: an object of their own. */
export interface Tail {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** SHA-256 in hex. */
  readonly digest: string;
}

/**
 * Everything that is known of an upload, in one object of the bucket. Its replacement is what makes a save one step: what it
 * does not name does not count, whether that is there or not.
 */
export interface UploadState {
  /** Told in every record: what a later version may have to read. */
  readonly version: 1;
  /** Different in every record ever written, so that one can be told to be one's own. */
  readonly revision: string;
  /** Who holds the upload and may have more than is saved; `null` where it was released. */
  readonly holder: string | null;
  /** The holder is asked to let go. */
  readonly isWanted: boolean;
  /** What the engine keeps. */
  readonly text: string;
  /** Saved bytes: those of `parts` and `tail`. */
  readonly offset: number;
  /** In hex, where it was announced. */
  readonly digest: string | null;
  /** Bytes announced. */
  readonly length: number | null;
  readonly mediaType: string | null;
  /** When the announced blob was looked for and not found, in milliseconds since 1970. */
  readonly absentAt?: number;
  /**
   * What the sizes of parts follow from, for all holders alike: a part that is sent again then has the same bytes under the
   * same number.
   */
  readonly limits: PartLimits;
  readonly upload: UploadName | null;
  readonly parts: readonly Part[];
  readonly tail: Tail | null;
  /**
   * The tail as the last part. From this record on the completion may have been asked for, by this holder or one before: so
   * nothing is written any more, and the multipart upload is never aborted.
   */
  readonly completing: { readonly last: Part | null } | null;
  /** A holder was shut out or has died: there may be parts and tails that no record names. */
  readonly isUntidy: boolean;
  /** Nothing is left of it but this record; where it was removed, not even that counts. */
  readonly ended: "concluded" | "removed" | null;
}

/** The first record of an upload. */
export function newState(text: string, limits: PartLimits, options: StageOptions): UploadState {
  const { digest, length, mediaType, isKnownAbsent = false } = options;
  return {
    version: 1,
    revision: newToken(),
    holder: null,
    isWanted: false,
    text,
    offset: 0,
    digest: digest?.hex ?? null,
    length: length ?? null,
    mediaType: mediaType ?? null,
    ...(isKnownAbsent && { absentAt: Date.now() }),
    limits,
    upload: null,
    parts: [],
    tail: null,
    completing: null,
    isUntidy: false,
    ended: null,
  };
}

/** What of an upload remains that has ended: it names nothing any more. */
export function endedState(state: UploadState, ended: "concluded" | "removed", text: string): UploadState {
  return {
    ...state,
    text,
    ended,
    holder: null,
    isWanted: false,
    offset: 0,
    upload: null,
    parts: [],
    tail: null,
    completing: null,
    isUntidy: false,
  };
}

export function newToken(): string {
  return randomBytes(16).toString("hex");
}

/**
 * Records of concluded uploads fill blocks of this size (bytes), and others never do, so that a listing shows by its sizes
 * which uploads have ended. Records of versions that did not do so yet may look like either. The size is a hint for what need
 * not be read: nothing is removed for it.
 */
const ENDED_BLOCK_BYTES = 4096;

/** A record as it lies in the bucket: JSON, and behind it the spaces that {@link ENDED_BLOCK_BYTES} asks for. */
export function formatState(state: UploadState): Buffer {
  const json = Buffer.from(JSON.stringify(state));
  const excess = json.length % ENDED_BLOCK_BYTES;
  const spaces = state.ended === "concluded" ? (ENDED_BLOCK_BYTES - excess) % ENDED_BLOCK_BYTES : excess === 0 ? 1 : 0;
  return Buffer.concat([json, Buffer.alloc(spaces, " ")]);
}

/** Whether a record of this size (bytes) is probably that of a concluded upload. */
export function isEndedSize(size: number): boolean {
  return size > 0 && size % ENDED_BLOCK_BYTES === 0;
}

/** @throws FixityError `store-unavailable` for a record of a later version, or a damaged one */
export function parseState(text: string): UploadState {
  let state: UploadState;
  try {
    state = JSON.parse(text) as UploadState;
  } catch (cause) {
    throw new FixityError("store-unavailable", "The upload cannot be read.", { cause });
  }
  if (state.version === 1) return state;
  throw new FixityError("store-unavailable", "The upload was begun by another version of this service.");
}

export function superseded(): FixityError {
  return new FixityError("upload-superseded", "Another request has taken the upload over.");
}
