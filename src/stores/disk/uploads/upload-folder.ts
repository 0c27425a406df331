import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { newName, type Owner, ownerOf } from "../../../base/process-identity.ts";
import { FixityError } from "../../../core/errors.ts";
import { writeChunks } from "../batch-writer.ts";
import { close, look, open, readdir, rename } from "../calls.ts";
import { failedWith, type FileSystem } from "../file-system.ts";
import type { Modes } from "../layout.ts";

/** Looks at a folder whose token is being renamed, and the pause between them. */
const TOKEN_LOOKS_MAX = 100;
const TOKEN_LOOK_INTERVAL_MS = 5;

const RECORD_NAME = /^(\d{1,9})\.record$/;
const SEGMENT_NAME = /^bytes\.(\d{1,9})\.[0-9a-f]{16}$/;
const TOKEN_NAME = /^(\d{1,9})-(free|left|held|gone)-([0-9a-f-]+)$/;

/** What one save has left: all there is to know of an upload. */
export interface SavedState {
  /** The engine's text. */
  readonly record: string;
  readonly segments: readonly Segment[];
  /** The upload has ended. Records of earlier versions do not say so. */
  readonly isEnded?: boolean;
  /** The record, or the bytes that it names, differ from what was saved. */
  readonly isDamaged?: boolean;
}

/**
 * A file with some of an upload's bytes, which follow those of the segment before. An upload has
 * one segment unless a holder was fenced off: that holder may still write to its file, after the
 * bytes that count. So a segment grows only in the generation in which it was begun.
 */
export interface Segment {
  /** `bytes.<generation>.<random>` */
  readonly name: string;
  /** The bytes that count; anything after them in the file does not. */
  readonly length: number;
}

/**
 * - `free`: no process holds the upload, and everything that can be read of it is durable.
 * - `left`: no process holds it, and its last holder failed: what can be read may not be durable.
 * - `held`: a process holds it.
 * - `gone`: it is being removed.
 */
type TokenState = "free" | "left" | "held" | "gone";

/**
 * The right to write to an upload: an empty file `<generation>-<state>-<name>`, of which a folder
 * has one. The state changes by a rename, so of all callers who want to change the state that they
 * have seen, one finds the old name. Names are never reused, so none is mistaken for a later one.
 */
export interface Token {
  /** The name of the file. */
  readonly name: string;
  /** The generation of the records and segments that are written under this token. */
  readonly generation: number;
  readonly state: TokenState;
  /** The name of the lease: that of the process, with a random part of its own. */
  readonly holder: string;
  readonly owner: Owner | null;
}

/** The contents of an upload's folder. */
export interface FolderView {
  readonly token: Token;
  /** The generation of the record that counts. */
  readonly generation: number;
  readonly names: readonly string[];
}

/** What the names in an upload's folder and the time of its record show. */
export interface FolderGlance {
  /**
   * When the record that counts was written, in milliseconds since 1970 by the file system's clock.
   */
  readonly modified: number;
  /**
   * No file of bytes is left: the upload has ended, unless another program has removed its bytes.
   */
  readonly isEnded: boolean;
}

/**
 * The folder of one upload:
 *
 *     <id>/
 *       <n>.record         what the last save has left (`SavedState`); the highest generation counts
 *       bytes.<n>.<name>   the bytes (`Segment`)
 *       <n>-free-<name>    the token: whether the upload is held, and by which process (`Token`)
 *
 * A generation ends when a holder is fenced off. Whatever that holder does afterwards goes to the
 * record of its own generation, which is ignored, and after the bytes that count.
 */
export class UploadFolder {
  readonly path: string;
  readonly files: FileSystem;
  readonly modes: Modes;

  constructor(path: string, files: FileSystem, modes: Modes) {
    this.path = path;
    this.files = files;
    this.modes = modes;
  }

  /** `null` if there is no upload, or it has just been removed. */
  async view(): Promise<FolderView | null> {
    for (let looks = 0; looks < TOKEN_LOOKS_MAX; looks += 1) {
      const names = await this.#names();
      if (names === null) return null;
      const [token, ...others] = names.map(parseToken).filter((one) => one !== null);
      const generation = highestGeneration(names);
      // While a token is renamed, a listing may contain neither or both of its names.
      if (token !== undefined && others.length === 0 && generation > 0) return { token, generation, names };
      await sleep(TOKEN_LOOK_INTERVAL_MS);
    }
    throw unreadable();
  }

  /**
   * Looks at the folder without opening a file. `null` if it has to be read: it is being removed or
   * changed.
   */
  async glance(): Promise<FolderGlance | null> {
    const names = (await this.#names()) ?? [];
    const [token, ...others] = names.map(parseToken).filter((one) => one !== null);
    const generation = highestGeneration(names);
    if (token === undefined || token.state === "gone" || others.length > 0 || generation === 0) return null;
    const record = await look(this.#record(generation));
    if (record === null) return null;
    return { modified: record.mtimeMs, isEnded: !names.some((name) => generationOf({ name }) !== null) };
  }

  /**
   * The state of an upload that has ended, durably; `null` if it has not, or is changing hands.
   * Names are looked at first, so that taking any other upload costs no read: a holder that
   * concludes an upload writes the record and then removes the bytes.
   */
  async endedState({ token, generation, names }: FolderView): Promise<SavedState | null> {
    if (token.state === "gone" || generation !== token.generation) return null;
    if (names.some((name) => generationOf({ name }) !== null)) return null;
    const state = await this.readState(generation);
    if (state?.isEnded !== true) return null;
    try {
      if (token.state !== "free") await this.settle();
    } catch (error) {
      if (failedWith(error, "ENOENT")) return null;
      throw error;
    }
    // Unless a new holder has taken the upload meanwhile, this is its last record.
    return (await this.has(token)) ? state : null;
  }

  /**
   * Replaces a token that was seen; `false` if another caller has done so, or the upload is gone.
   */
  async exchange(seen: Token, next: Token): Promise<boolean> {
    try {
      await rename(join(this.path, seen.name), join(this.path, next.name));
      return true;
    } catch (error) {
      if (failedWith(error, "ENOENT")) return false;
      throw error;
    }
  }

  async has(token: Token): Promise<boolean> {
    return (await look(join(this.path, token.name))) !== null;
  }

  /** The state in the record of a generation; `null` if there is none. */
  async readState(generation: number): Promise<SavedState | null> {
    try {
      return parseState(await readFile(this.#record(generation), "utf8"));
    } catch (error) {
      if (failedWith(error, "ENOENT")) return null;
      throw error;
    }
  }

  /**
   * Whether the files have at least the bytes that a state counts. True for an upload that has
   * changed meanwhile: the state is outdated then, and a caller that acts on it looks again.
   */
  async hasBytesOf({ segments }: SavedState): Promise<boolean> {
    for (const { name, length } of segments) {
      if (length === 0) continue;
      const facts = await look(join(this.path, name));
      if (facts === null ? (await this.#names())?.length !== 0 : facts.size < length) return false;
    }
    return true;
  }

  /**
   * Replaces the record of a generation, durably and atomically, but not before `bytes` are
   * durable. So a record without its bytes is never seen, and bytes without their record do not
   * count.
   */
  async writeState(generation: number, state: SavedState, bytes: Promise<void>): Promise<void> {
    const temporary = `${this.#record(generation)}.${randomBytes(8).toString("hex")}`;
    try {
      // Both run at once; if one fails, the other is still waited for.
      const written = this.#writeFile(temporary, formatState(state));
      await Promise.allSettled([written, bytes]);
      await written;
      await bytes;
      await rename(temporary, this.#record(generation));
    } catch (error) {
      await this.files.remove(temporary, "a file of an upload");
      throw error;
    }
    await this.settle();
  }

  /** Makes durable which files there are. */
  async settle(): Promise<void> {
    await this.files.flushFolder(this.path);
  }

  /**
   * Removes what a state and its generation do not need: the remains of holders that were fenced
   * off or died.
   */
  async tidy({ names, generation }: FolderView, { segments }: SavedState): Promise<void> {
    const needed = new Set([`${generation}.record`, ...segments.map(({ name }) => name)]);
    const useless = names.filter((name) => !needed.has(name) && parseToken(name) === null);
    await Promise.all(useless.map((name) => this.removeFile(name)));
  }

  /** Removes a file that no record names any more. Never throws. */
  async removeFile(name: string): Promise<void> {
    await this.files.remove(join(this.path, name), "a file of an upload");
  }

  async #names(): Promise<readonly string[] | null> {
    try {
      return await readdir(this.path);
    } catch (error) {
      if (failedWith(error, "ENOENT")) return null;
      throw error;
    }
  }

  async #writeFile(path: string, text: string): Promise<void> {
    const bytes = Buffer.from(text);
    const fd = await open(path, "wx", this.modes.file);
    try {
      await writeChunks(fd, [bytes], { length: bytes.length, position: 0 });
      await this.files.flushFile(fd, bytes.length);
    } finally {
      await close(fd);
    }
  }

  #record(generation: number): string {
    return join(this.path, `${generation}.record`);
  }
}

/** 0 if there is no record among the names. */
function highestGeneration(names: readonly string[]): number {
  return names.reduce((highest, name) => Math.max(highest, Number(RECORD_NAME.exec(name)?.[1] ?? 0)), 0);
}

export function newSegment(generation: number): Segment {
  return { name: `bytes.${generation}.${randomBytes(8).toString("hex")}`, length: 0 };
}

/** The generation in which a segment was begun; `null` for a name that is not a segment's. */
export function generationOf({ name }: Pick<Segment, "name">): number | null {
  const [, generation] = SEGMENT_NAME.exec(name) ?? [];
  return generation === undefined ? null : Number(generation);
}

/** The bytes that count. */
export function lengthOf(segments: readonly Segment[]): number {
  return segments.reduce((sum, { length }) => sum + length, 0);
}

export function formatState({ record, segments, isEnded }: SavedState): string {
  return JSON.stringify({ version: 1, segments, isEnded, record });
}

/** The state of an upload whose record is damaged. */
export const DAMAGED: SavedState = { record: "", segments: [], isDamaged: true };

/**
 * The state in a record, or {@link DAMAGED}.
 *
 * @throws FixityError `store-unavailable` for a record of a later version
 */
export function parseState(text: string): SavedState {
  try {
    const { version, segments, isEnded, record } = JSON.parse(text) as SavedState & { readonly version: number };
    if (version === 1 && typeof record === "string" && segments.every(isValid)) {
      return isEnded === true ? { record, segments, isEnded } : { record, segments };
    }
    if (Number.isSafeInteger(version) && version > 1) throw unreadable();
  } catch (error) {
    if (error instanceof FixityError) throw error;
  }
  return DAMAGED;
}

function isValid({ name, length }: Segment): boolean {
  return generationOf({ name }) !== null && Number.isSafeInteger(length) && length >= 0;
}

/** `null` for a name that is not a token's. */
export function parseToken(name: string): Token | null {
  const [, generation, state, holder] = TOKEN_NAME.exec(name) ?? [];
  if (generation === undefined || state === undefined || holder === undefined) return null;
  return { name, generation: Number(generation), state: state as TokenState, holder, owner: ownerOf(holder) };
}

/** A new token of a process that holds the upload. */
export function heldToken(generation: number, owner: Owner): Token {
  return tokenOf(generation, "held", newName(owner));
}

/** A new token of an upload that is not held. */
export function restingToken(generation: number, state: "free" | "left" | "gone"): Token {
  return tokenOf(generation, state, randomBytes(8).toString("hex"));
}

function tokenOf(generation: number, state: TokenState, holder: string): Token {
  return { name: `${generation}-${state}-${holder}`, generation, state, holder, owner: ownerOf(holder) };
}

export function unreadable(cause?: unknown): FixityError {
  return new FixityError("store-unavailable", "The upload cannot be read.", { cause });
}
