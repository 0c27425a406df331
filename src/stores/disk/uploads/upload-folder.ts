import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { close, look, open, readdir, rename } from "../calls.ts";
import type { Durability } from "../file-system.ts";
import { failedWith } from "../faults.ts";
import type { Leftovers } from "../leftovers.ts";
import type { Modes } from "../modes.ts";
import { writeChunks } from "../write-chunks.ts";
import { formatState, generationOf, parseState, type SavedState, unreadable } from "./saved-state.ts";
import { parseToken, type Token } from "./token.ts";

/** Looks at a folder whose token is just being renamed, and their distance in milliseconds. */
const LOOKS = 100;
const LOOK_AGAIN = 5;

const RECORD = /^(\d{1,9})\.record$/;

/** What the folder of an upload works with. */
export interface UploadFolderTools {
  readonly durability: Durability;
  readonly leftovers: Leftovers;
  readonly modes: Modes;
}

/** What lies in an upload's folder. */
export interface FolderView {
  readonly token: Token;
  /** Of the record that counts. */
  readonly generation: number;
  readonly names: readonly string[];
}

/** What the names in an upload's folder and the time of its record show. */
export interface FolderGlance {
  /** When the record that counts was written, in milliseconds since 1970 by the file system's clock. */
  readonly modified: number;
  /** No file of bytes is left: the upload was concluded, unless somebody has removed its bytes. */
  readonly isEnded: boolean;
}

/**
 * The folder of one upload:
 *
 *     <id>/
 *       <n>.record         what the last save has left; the highest generation counts
 *       bytes.<n>.<name>   its bytes; see `Segment`
 *       <n>-free-<name>    the token: whether somebody holds the upload, and who (token.ts)
 *
 * A generation ends when a holder has to be shut out. Whatever that one does afterwards goes to the record of its own
 * generation, which nobody reads any more, and behind the bytes that count.
 */
export class UploadFolder {
  readonly path: string;
  readonly modes: Modes;
  readonly #durability: Durability;
  readonly #leftovers: Leftovers;

  constructor(path: string, { durability, leftovers, modes }: UploadFolderTools) {
    this.path = path;
    this.modes = modes;
    this.#durability = durability;
    this.#leftovers = leftovers;
  }

  /** `null` where there is no upload, or none any more. */
  async view(): Promise<FolderView | null> {
    for (let looks = 0; looks < LOOKS; looks += 1) {
      const names = await this.#names();
      if (names === null) return null;
      const [token, ...others] = names.map(parseToken).filter((one) => one !== null);
      const generation = highestGeneration(names);
      // While one is renamed, a folder may be read without its token, or with both names of it.
      if (token !== undefined && others.length === 0 && generation > 0) return { token, generation, names };
      await sleep(LOOK_AGAIN);
    }
    throw unreadable();
  }

  /** Looks at the folder without opening a file. `null` for one that has to be read: it is being removed or changed. */
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
   * The state of an upload that has ended, durably; `null` if it has not, or is changing hands. Ended uploads are told by
   * their names first, so that taking any other costs no read: the bytes are removed after the record has been concluded.
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
    // unless a new holder has taken it meanwhile, this is its last record
    return (await this.has(token)) ? state : null;
  }

  /** Changes a token that was seen; `false` where somebody else has, or the upload is gone. */
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

  /** `null` where it is gone. */
  async readState(generation: number): Promise<SavedState | null> {
    try {
      return parseState(await readFile(this.#record(generation), "utf8"));
    } catch (error) {
      if (failedWith(error, "ENOENT")) return null;
      throw error;
    }
  }

  /**
   * Whether the files have at least the bytes that a state counts. An upload that has changed meanwhile has them: the state is
   * outdated then, and whoever acts on it looks again.
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
   * Replaces the record of a generation, durably and in one step, but not before `bytes` are there. A record without its
   * bytes is never seen, bytes without their record do not count.
   */
  async writeState(generation: number, state: SavedState, bytes: Promise<void>): Promise<void> {
    const temporary = `${this.#record(generation)}.${randomBytes(8).toString("hex")}`;
    try {
      // Side by side; and where one has failed, the other is still waited for.
      const written = this.#writeFile(temporary, formatState(state));
      await Promise.allSettled([written, bytes]);
      await written;
      await bytes;
      await rename(temporary, this.#record(generation));
    } catch (error) {
      await this.#leftovers.remove(temporary, "a file of an upload");
      throw error;
    }
    await this.settle();
  }

  /** Makes durable which files there are. */
  async settle(): Promise<void> {
    await this.#durability.folder(this.path);
  }

  /** Removes what a state and its generation do not need: what those have left who were shut out, or died. */
  async tidy({ names, generation }: FolderView, { segments }: SavedState): Promise<void> {
    const needed = new Set([`${generation}.record`, ...segments.map(({ name }) => name)]);
    const useless = names.filter((name) => !needed.has(name) && parseToken(name) === null);
    await Promise.all(useless.map((name) => this.removeFile(name)));
  }

  /** Removes a file that no record names any more. Does not fail. */
  async removeFile(name: string): Promise<void> {
    await this.#leftovers.remove(join(this.path, name), "a file of an upload");
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
      await this.#durability.file(fd, bytes.length);
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
  return names.reduce((highest, name) => Math.max(highest, Number(RECORD.exec(name)?.[1] ?? 0)), 0);
}
