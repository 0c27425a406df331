import { constants } from "node:fs";
import { type FileHandle, link, open, readdir, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import { newName, thisProcess } from "../base/process-identity.ts";
import { HARD_LINKS_UNSUPPORTED, systemErrorCode } from "../base/system-errors.ts";
import type { Digest } from "../core/digest.ts";
import { isAbandoned, unlessGone } from "./local-files.ts";

const PART_EXTENSION = ".part";
const READ_CHUNK_BYTES = 1 << 20;

const NO_HARD_LINK_CODES: ReadonlySet<string> = new Set(HARD_LINKS_UNSUPPORTED);

/**
 * An incomplete download, in the folder where the file will be:
 *
 *     .fixity-<digest>.part            left by a run that ended early, for the next run
 *     .fixity-<digest>-<owner>.part    held by a running process
 *
 * Taking over a file is a rename, so that exactly one of several processes gets it; files of dead
 * processes are taken over, too. Disposal leaves the bytes for the next run, unless they were
 * published or discarded.
 */
export class PartialFile implements AsyncDisposable {
  readonly #handle: FileHandle;
  readonly #heldPath: string;
  readonly #freePath: string;
  #size: number;
  #isGone = false;

  private constructor(
    handle: FileHandle,
    { heldPath, freePath, size }: { heldPath: string; freePath: string; size: number },
  ) {
    this.#handle = handle;
    this.#heldPath = heldPath;
    this.#freePath = freePath;
    this.#size = size;
  }

  /**
   * Takes over the bytes of an earlier run, or starts with none. All methods reject with system
   * errors.
   */
  static async open(folder: string, digest: Digest): Promise<PartialFile> {
    const freePath = join(folder, `.fixity-${digest.hex}${PART_EXTENSION}`);
    const heldPath = join(folder, `.fixity-${digest.hex}-${newName(thisProcess())}${PART_EXTENSION}`);
    for (const left of [freePath, ...(await abandonedPaths(folder, digest))]) {
      if (await unlessGone(rename(left, heldPath))) break;
    }
    // In a folder that others can write to, the file may have been replaced by a link to a file of
    // the user.
    const handle = await open(heldPath, constants.O_RDWR | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0));
    try {
      return new PartialFile(handle, { heldPath, freePath, size: (await handle.stat()).size });
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** The number of bytes so far. */
  get size(): number {
    return this.#size;
  }

  /** The bytes so far, from the namePrefix. */
  bytes(): AsyncIterable<Uint8Array> {
    return this.#handle.createReadStream({ start: 0, autoClose: false, highWaterMark: READ_CHUNK_BYTES });
  }

  async append(bytes: Uint8Array): Promise<void> {
    let at = 0;
    while (at < bytes.length) {
      const { bytesWritten } = await this.#handle.write(bytes, at, bytes.length - at, this.#size);
      at += bytesWritten;
      this.#size += bytesWritten;
    }
  }

  /** Drops the bytes so far. */
  async restart(): Promise<void> {
    await this.#handle.truncate(0);
    this.#size = 0;
  }

  /**
   * Makes the bytes durable and gives them their name. Rejects with `EEXIST` if `path` exists and
   * may not be replaced.
   */
  async publish(path: string, { mayReplace }: { readonly mayReplace: boolean }): Promise<void> {
    await this.#handle.sync();
    if (mayReplace) await rename(this.#heldPath, path);
    else await this.#publishNew(path);
    this.#isGone = true;
  }

  /** Removes the file. */
  async discard(): Promise<void> {
    this.#isGone = true;
    await unlink(this.#heldPath);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
    if (this.#isGone) return;
    if (this.#size === 0) await unlink(this.#heldPath);
    else await rename(this.#heldPath, this.#freePath);
  }

  /** `link` fails atomically if the name is taken; a rename would replace the file. */
  async #publishNew(path: string): Promise<void> {
    try {
      await link(this.#heldPath, path);
    } catch (error) {
      if (!NO_HARD_LINK_CODES.has(systemErrorCode(error) ?? "")) throw error;
      await using _reserved = await open(path, "wx");
      return rename(this.#heldPath, path);
    }
    await unlink(this.#heldPath);
  }
}

/** The paths of files that dead processes held. */
async function abandonedPaths(folder: string, digest: Digest): Promise<string[]> {
  const namePrefix = `.fixity-${digest.hex}-`;
  const abandoned: string[] = [];
  for (const name of await readdir(folder)) {
    if (!name.startsWith(namePrefix) || !name.endsWith(PART_EXTENSION)) continue;
    const path = join(folder, name);
    if (await isAbandoned(path, name.slice(namePrefix.length, -PART_EXTENSION.length))) abandoned.push(path);
  }
  return abandoned;
}
