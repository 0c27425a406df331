import { constants, fstatSync, type Stats } from "node:fs";
import type { Digest } from "../../core/digest.ts";
import { FixityError } from "../../core/errors.ts";
import type { CommitOptions, Committed, StagedFile, StageFileOptions } from "../../core/staged-blob.ts";
import { close, fchmod, lstat, open, stat } from "./calls.ts";
import { DiskReader } from "./disk-reader.ts";
import { failedWith, toFixityError } from "./file-system.ts";
import { type Layout, MODES_UNSUPPORTED } from "./layout.ts";
import type { Publisher } from "./publisher.ts";
import type { Staging } from "./staging.ts";

/** Neither follows a symbolic link, nor waits for the writer of a FIFO. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

const WRITE_BITS = 0o222;

/** Where a file is staged. */
export interface StagedFileOptions extends StageFileOptions {
  readonly layout: Layout;
  readonly staging: Staging;
  readonly publisher: Publisher;
}

/** What is in the staging area: its path, and a descriptor of it. */
interface StagedName {
  readonly path: string;
  readonly fd: number;
}

/**
 * A file of another program on its way into a disk store, under a name in the staging area: a clone or a
 * second name of it. A process that dies leaves that name, which the collection removes.
 *
 * A linked file keeps its owner, and who may read it, because its other name is still in use. It must
 * belong to the process, as all blobs do. Its commit takes the permission to write from all users: a
 * program that opens it later to write fails, instead of damaging a blob. A program that has it open
 * already can still write, which the checks notice only before the commit.
 */
export class DiskStagedFile implements StagedFile {
  readonly size: number;
  readonly bytes: DiskReader;
  readonly #options: StagedFileOptions;
  readonly #path: string;
  #fd: number | null;
  /** The facts when it was staged. */
  readonly #facts: Stats;
  #isEnded = false;

  private constructor(options: StagedFileOptions, { path, fd }: StagedName, readFd: number) {
    const facts = fstatSync(fd);
    const { size } = facts;
    this.size = size;
    this.bytes = new DiskReader({ fd: readFd, size, span: { start: 0, end: size }, signal: options.signal });
    this.#options = options;
    this.#path = path;
    this.#fd = fd;
    this.#facts = facts;
  }

  /** `null` if the file cannot be staged so. */
  static async stage(from: string, options: StagedFileOptions): Promise<DiskStagedFile | null> {
    const { layout, staging, how } = options;
    if (how === "link" && !(await isLinkable(from, layout))) return null;
    const path = how === "clone" ? await cloned(from, staging) : await linked(from, staging);
    if (path === null) return null;
    const opened: number[] = [];
    try {
      for (let count = 0; count < 2; count += 1) opened.push(await open(path, READ_FLAGS));
      const [fd = -1, readFd = -1] = opened;
      const facts = fstatSync(fd);
      // A link could have taken the place of the file since the look.
      if (facts.isFile() && (how === "clone" || layout.modes.admits(facts))) {
        if (how === "clone") await layout.modes.admitGroup(fd);
        return new DiskStagedFile(options, { path, fd }, readFd);
      }
    } catch (error) {
      await discard(staging, path, opened);
      if (failedWith(error, "ELOOP")) return null;
      throw error;
    }
    await discard(staging, path, opened);
    return null;
  }

  async commit(digest: Digest, { judge }: CommitOptions = {}): Promise<Committed> {
    const { publisher, signal } = this.#options;
    if (this.#isEnded) throw new FixityError("internal-error", "The staged file was committed or aborted.");
    const publication = { digest, size: this.size, judge };
    try {
      if (await publisher.confirmIfStored(publication)) return { existed: true };
      signal?.throwIfAborted();
      await this.#seal();
      signal?.throwIfAborted();
      return await publisher.publish({ path: this.#path, discard: () => this.#discard() }, publication);
    } catch (error) {
      throw toFixityError(error);
    } finally {
      await this.#discard();
    }
  }

  async abort(): Promise<void> {
    await this.#discard();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#discard();
  }

  /** Makes the file durable and read-only, and compares its facts before and after. */
  async #seal(): Promise<void> {
    const { staging, how } = this.#options;
    const fd = this.#fd ?? -1;
    const before = fstatSync(fd);
    const { ctimeMs, nlink, mode } = this.#facts;
    // Another name for it, such as one that is imported beside it, changes the ctime as well.
    if (before.ctimeMs !== ctimeMs && before.nlink === nlink) throw changed();
    if (how === "link" && (mode & WRITE_BITS) !== 0) await makeReadOnly(fd, mode);
    await staging.files.flushFile(fd, this.size);
    const { size, mtimeMs } = fstatSync(fd);
    if (size !== this.size || mtimeMs !== this.#facts.mtimeMs) throw changed();
  }

  async #discard(): Promise<void> {
    if (this.#isEnded) return;
    this.#isEnded = true;
    const fd = this.#fd;
    this.#fd = null;
    await this.bytes[Symbol.asyncDispose]();
    await discard(this.#options.staging, this.#path, fd === null ? [] : [fd]);
  }
}

/** Looked at before it gets a second name: that changes the time of its last change of status. */
async function isLinkable(path: string, { root, modes }: Layout): Promise<boolean> {
  try {
    const facts = await lstat(path);
    return facts.isFile() && facts.dev === (await stat(root)).dev && modes.admits(facts);
  } catch (error) {
    if (failedWith(error, "ENOENT", "ENOTDIR")) return false;
    throw error;
  }
}

async function linked(from: string, staging: Staging): Promise<string | null> {
  try {
    return await staging.link(from);
  } catch (error) {
    if (failedWith(error, "EXDEV", "ENOENT")) return null;
    throw error;
  }
}

/**
 * Clones the file that was opened, whatever is at its path by then. Without `/proc`, as on macOS,
 * clones are not made.
 */
async function cloned(from: string, staging: Staging): Promise<string | null> {
  if (process.platform !== "linux") return null;
  let fd: number;
  try {
    fd = await open(from, READ_FLAGS);
  } catch {
    // Reading it fails as well, with the error to report.
    return null;
  }
  try {
    return fstatSync(fd).isFile() ? await staging.clone(`/proc/self/fd/${fd}`) : null;
  } catch (error) {
    if (failedWith(error, "ENOENT")) return null;
    throw error;
  } finally {
    await close(fd);
  }
}

async function makeReadOnly(fd: number, mode: number): Promise<void> {
  try {
    await fchmod(fd, mode & 0o7777 & ~WRITE_BITS);
  } catch (error) {
    if (!failedWith(error, ...MODES_UNSUPPORTED)) throw error;
  }
}

/** Never throws. */
async function discard(staging: Staging, path: string, descriptors: readonly number[]): Promise<void> {
  await staging.files.remove(path, "a staging file");
  for (const fd of descriptors) {
    await close(fd).catch((error: unknown) => staging.files.log("a staging file could not be closed", error));
  }
}

function changed(): FixityError {
  return new FixityError("length-mismatch", "The file was changed while it was stored.");
}
