import { randomBytes } from "node:crypto";
import { FixityError } from "../../../core/errors.ts";

/** What one save has left: all there is to know of an upload. */
export interface SavedState {
  /** The engine's text. */
  readonly record: string;
  readonly segments: readonly Segment[];
  /** The upload has ended. Records of earlier versions do not say so. */
  readonly isEnded?: boolean;
  /** The record, or the bytes that it names, are not what was saved. */
  readonly isDamaged?: boolean;
}

/**
 * A file with some of an upload's bytes, behind those of the one before it. An upload has one, but where a holder had to be
 * shut out: that one may still write to its file, behind the bytes that count. So a segment grows only in the generation
 * that it was begun in.
 */
export interface Segment {
  /** `bytes.<generation>.<random>` */
  readonly name: string;
  /** Bytes that count; what else is in the file does not. */
  readonly length: number;
}

const SEGMENT = /^bytes\.(\d{1,9})\.[0-9a-f]{16}$/;

export function newSegment(generation: number): Segment {
  return { name: `bytes.${generation}.${randomBytes(8).toString("hex")}`, length: 0 };
}

/** The generation that a segment was begun in, or `null` for a name that is none. */
export function generationOf({ name }: Pick<Segment, "name">): number | null {
  const [, generation] = SEGMENT.exec(name) ?? [];
  return generation === undefined ? null : Number(generation);
}

/** Bytes that count. */
export function lengthOf(segments: readonly Segment[]): number {
  return segments.reduce((sum, { length }) => sum + length, 0);
}

export function formatState({ record, segments, isEnded }: SavedState): string {
  return JSON.stringify({ version: 1, segments, isEnded, record });
}

/** What is left of an upload whose record is damaged. */
export const DAMAGED: SavedState = { record: "", segments: [], isDamaged: true };

/** The state in a record, or {@link DAMAGED}. @throws FixityError `store-unavailable` for a record of a later version */
export function parseState(text: string): SavedState {
  try {
    const { version, segments, isEnded, record } = JSON.parse(text) as SavedState & { readonly version: number };
    if (version === 1 && typeof record === "string" && segments.every(isWell)) {
      return isEnded === true ? { record, segments, isEnded } : { record, segments };
    }
    if (Number.isSafeInteger(version) && version > 1) throw unreadable();
  } catch (error) {
    if (error instanceof FixityError) throw error;
  }
  return DAMAGED;
}

function isWell({ name, length }: Segment): boolean {
  return generationOf({ name }) !== null && Number.isSafeInteger(length) && length >= 0;
}

export function unreadable(cause?: unknown): FixityError {
  return new FixityError("store-unavailable", "The upload cannot be read.", { cause });
}
