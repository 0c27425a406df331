import { constants } from "node:fs";
import { type FileHandle, link, open, readdir, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { Digest } from "../core/digest.ts";
import { HARD_LINKS_UNSUPPORTED, systemErrorCode } from "../base/system-errors.ts";
import { isDead, newName, ownerOf, thisProcess } from "../base/process-identity.ts";
import { lastChange, unlessGone } from "./files.ts";

const ENDING = ".part";

/** What file systems without hard links answer to an attempt at one. */
const LINKLESS: ReadonlySet<string> = new Set(HARD_LINKS_UNSUPPORTED);

/**
 * A download on its way, in the folder where it will stay:
 *
 *     .fixity-<digest>.part            bytes of a run that ended early, for the next one
 *     .fixity-<digest>-<owner>.part    bytes that a running process has in its hands
 *
 * Taking one up is a rename, so that of two processes one gets it, and what a killed process held is taken up, too.
 * Disposing leaves the bytes for the next run, unless they were published or thrown away.
 */
export class PartialFile implements AsyncDisposable {
  readonly #handle: FileHandle;
  readonly #held: string;
  readonly #free: string;
  #size: number;
  #isGone = false;

  private constructor(handle: FileHandle, { held, free, size }: { held: string; free: string; size: number }) {
    this.#handle = handle;
    this.#held = held;
    this.#free = free;
    this.#size = size;
  }

  /** Takes up what is there of this digest, or begins anew. Fails with system errors, as all of this does. */
  static async open(folder: string, digest: Digest): Promise<PartialFile> {
    const free = join(folder, `.fixity-${digest.hex}${ENDING}`);
    const held = join(folder, `.fixity-${digest.hex}-${newName(thisProcess())}${ENDING}`);
    for (const left of [free, ...(await orphans(folder, digest))]) {
      if (await unlessGone(rename(left, held))) break;
    }
    // in a folder that others may write to, what was left may be a link to a file of the user's
    const handle = await open(held, constants.O_RDWR | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0));
    try {
      return new PartialFile(handle, { held, free, size: (await handle.stat()).size });
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Bytes that are there. */
  get size(): number {
    return this.#size;
  }

  /** What is there, from the beginning. */
  bytes(): AsyncIterable<Uint8Array> {
    return this.#handle.createReadStream({ start: 0, autoClose: false, highWaterMark: 1 << 20 });
  }

  async append(bytes: Uint8Array): Promise<void> {
    let at = 0;
    while (at < bytes.length) {
      const { bytesWritten } = await this.#handle.write(bytes, at, bytes.length - at, this.#size);
      at += bytesWritten;
      this.#size += bytesWritten;
    }
  }

  /** Drops what is there. */
  async restart(): Promise<void> {
    await this.#handle.truncate(0);
    this.#size = 0;
  }

  /** Makes the bytes durable and gives them their name; fails with `EEXIST` where it is taken and may not be replaced. */
  async publish(path: string, { replaces }: { readonly replaces: boolean }): Promise<void> {
    await this.#handle.sync();
    if (replaces) await rename(this.#held, path);
    else await this.#publishNew(path);
    this.#isGone = true;
  }

  /** Throws the bytes away. */
  async discard(): Promise<void> {
    this.#isGone = true;
    await unlink(this.#held);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
    if (this.#isGone) return;
    if (this.#size === 0) await unlink(this.#held);
    else await rename(this.#held, this.#free);
  }

  /** A link fails where the name is taken, in one step; a rename would replace. */
  async #publishNew(path: string): Promise<void> {
    try {
      await link(this.#held, path);
    } catch (error) {
      if (!LINKLESS.has(systemErrorCode(error) ?? "")) throw error;
      await using _taken = await open(path, "wx");
      return rename(this.#held, path);
    }
    await unlink(this.#held);
  }
}

/** What processes held that are gone. */
async function orphans(folder: string, digest: Digest): Promise<string[]> {
  const beginning = `.fixity-${digest.hex}-`;
  const observer = thisProcess();
  const dead: string[] = [];
  for (const name of await readdir(folder)) {
    if (!name.startsWith(beginning) || !name.endsWith(ENDING)) continue;
    const owner = ownerOf(name.slice(beginning.length, -ENDING.length));
    const path = join(folder, name);
    const lastSign = await lastChange(path);
    if (owner !== null && lastSign !== null && isDead(owner, observer, lastSign)) dead.push(path);
  }
  return dead;
}
