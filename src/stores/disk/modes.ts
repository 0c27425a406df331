import fs from "node:fs";
import { basename, dirname } from "node:path";
import { FixityError } from "../../core/errors.ts";
import { chmod, chown, fchmod, fchown, mkdir, rmdir, stat, statOrNull } from "./calls.ts";
import { failedWith } from "./faults.ts";

/** The modes of a store's folders and files, and the group that may read its blobs. */
interface ModeSet {
  readonly root: number;
  /** `blobs/` and the folders in it. */
  readonly blobFolder: number;
  /** All other folders. */
  readonly folder: number;
  readonly blob: number;
  /** Files of uploads that are not complete. */
  readonly file: number;
  /** Whom the root, the blobs and their folders belong to; `null` for the group of the process. */
  readonly gid: number | null;
}

/** Nobody but the server's user. */
const PRIVATE: ModeSet = { root: 0o700, blobFolder: 0o700, folder: 0o700, blob: 0o400, file: 0o600, gid: null };

/** What versions before had, less the process's umask: usually, all users of the machine may read. */
const SHARED: ModeSet = { root: 0o777, blobFolder: 0o777, folder: 0o777, blob: 0o444, file: 0o644, gid: null };

/** A group, such as that of a web server that sends the files, may read blobs, and nothing else. */
const readableBy = (gid: number): ModeSet => ({ root: 0o710, blobFolder: 0o2750, folder: 0o700, blob: 0o440, file: 0o600, gid }); // prettier-ignore

/** Whether group or others may do anything with a folder. */
const isWide = (mode: number): boolean => (mode & 0o077) !== 0;

/** Where a store's folders are; a part of its layout. */
interface Places {
  readonly root: string;
  readonly blobs: string;
  readonly staging: string;
  readonly uploads: string;
}

/** Folders of a store whose modes are not those of a new one. */
export interface ModeExcess {
  /** Each with its mode: `blobs (755)`. */
  readonly folders: readonly string[];
  /** For a shell. */
  readonly commands: string;
}

/**
 * Makes folders and files with the modes that the store has. A new store, which is one without `blobs/`, is closed to other
 * users, except that a group may be let in to read blobs. A store that exists keeps the modes of its `blobs/`, so that all
 * its files are alike, whichever process makes them and however that is set up.
 */
export class Modes {
  readonly #places: Places;
  readonly #group: number | null;
  #known: ModeSet | null = null;

  /** @param group the id of the group that may read the blobs of a new store; `null` for none */
  constructor(places: Places, group: number | null) {
    this.#places = places;
    this.#group = group;
  }

  get blob(): number {
    return this.#set.blob;
  }

  get file(): number {
    return this.#set.file;
  }

  /** What becomes of the mode of a file that becomes a blob. */
  sealed(mode: number): number {
    return this.#set === SHARED ? mode & this.blob : this.blob;
  }

  /** The group that blobs belong to; `null` for that of the process. */
  get gid(): number | null {
    return this.#set.gid;
  }

  /**
   * Folders whose modes are not those of a new store with the same group, and the commands that change them; `null` if there
   * are none. A store that has a group is judged by it, also where the setting is missing: the commands must not shut out the
   * web server.
   */
  async excess(): Promise<ModeExcess | null> {
    const { root, blobs, staging, uploads } = this.#places;
    const group = this.#group ?? this.gid;
    const wanted = group === null ? PRIVATE : readableBy(group);
    const others: string[] = [];
    for (const [path, mode] of [
      [root, wanted.root],
      [blobs, wanted.blobFolder],
      [staging, wanted.folder],
      [uploads, wanted.folder],
    ] as const) {
      const facts = await statOrNull(path);
      if (facts === null) continue;
      const isOfOthers = (facts.mode & 0o070) !== 0 && group !== null && facts.gid !== group;
      const isOpen = (facts.mode & 0o077 & ~mode) !== 0 || isOfOthers;
      const isClosed = (mode & 0o070 & ~facts.mode) !== 0;
      if (isOpen || isClosed) others.push(`${basename(path)} (${(facts.mode & 0o7777).toString(8)})`);
    }
    return others.length === 0 ? null : { folders: others, commands: commandsFor(root, blobs, group) };
  }

  /** Makes a folder. @throws what `mkdir` throws; FixityError `store-misconfigured` where it cannot be given to the group */
  async mkdir(path: string): Promise<void> {
    const { root, blobs } = this.#places;
    const { gid, ...modes } = this.#set;
    const isOfBlobs = path === blobs || dirname(path) === blobs;
    const mode = path === root ? modes.root : isOfBlobs ? modes.blobFolder : modes.folder;
    await mkdir(path, mode & 0o777);
    if (gid === null || !(path === root || isOfBlobs)) return;
    try {
      await chown(path, -1, gid);
    } catch (error) {
      await rmdir(path).catch(() => null);
      throw notInGroup(gid, error);
    }
    // after the owner has changed, which takes the bit away, and whatever the umask of the process is
    await chmod(path, mode);
  }

  /**
   * Makes a folder of the store and those above it that are missing. Node's own `recursive` takes some errors (a read-only
   * file system, a quota) for "no such file".
   */
  async mkdirs(path: string): Promise<void> {
    try {
      await this.#mkdirUnlessThere(path);
    } catch (error) {
      if (!failedWith(error, "ENOENT") || dirname(path) === path) throw error;
      await this.mkdirs(dirname(path));
      // Once, and no further: below /proc, and in a folder that was removed while it is mounted, this is the answer for ever.
      await this.#mkdirUnlessThere(path);
    }
  }

  /** Gives a file that is to become a blob to the group that may read blobs. A new file has its mode from `open`. */
  async admitGroup(fd: number): Promise<void> {
    const { gid, blob } = this.#set;
    if (gid === null) return;
    await fchown(fd, -1, gid);
    await fchmod(fd, blob);
  }

  async #mkdirUnlessThere(path: string): Promise<void> {
    try {
      const isOfStore = path === this.#places.root || path.startsWith(this.#places.root);
      await (isOfStore ? this.mkdir(path) : mkdir(path));
    } catch (error) {
      if (error instanceof FixityError) throw error;
      // "There already" is what most systems say, but a read-only one or the root of a drive may say otherwise.
      if (!(await stat(path).catch(() => null))?.isDirectory()) throw error;
    }
  }

  /** Found out once, by one call that blocks: files are also made by threads that cannot wait. */
  get #set(): ModeSet {
    this.#known ??= this.#find();
    return this.#known;
  }

  #find(): ModeSet {
    const facts = fs.statSync(this.#places.blobs, { throwIfNoEntry: false });
    if (process.platform === "win32") return SHARED;
    if (facts === undefined) return this.#group === null ? PRIVATE : readableBy(this.#group);
    if (!isWide(facts.mode)) return PRIVATE;
    const isOfGroup = (facts.mode & 0o2000) !== 0 && (facts.mode & 0o027) === 0;
    return isOfGroup ? readableBy(facts.gid) : SHARED;
  }
}

/** `chmod go-rwx` keeps what is read-only so; a blob and the file of a resumed upload can be one file. */
function commandsFor(root: string, blobs: string, group: number | null): string {
  const [all, inBlobs] = [quoted(root), quoted(blobs)];
  const close = `chmod -R go-rwx ${all}`;
  if (group === null) return close;
  const open = `chgrp ${group} ${all} && chmod g+x ${all} && chgrp -R ${group} ${inBlobs} && chmod -R g+rX ${inBlobs}`;
  return `${close} && ${open} && find ${inBlobs} -type d -exec chmod g+s {} +`;
}

function quoted(path: string): string {
  return `'${path.replaceAll("'", "'\\''")}'`;
}

function notInGroup(gid: number, cause: unknown): FixityError {
  return new FixityError(
    "store-misconfigured",
    `The store's folder cannot be given to the group ${gid}: the server's user must be a member of it.`,
    { cause },
  );
}
