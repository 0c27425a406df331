import fs, { type Stats } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, join, sep } from "node:path";
import { type Owner, ownerOf } from "../../base/process-identity.ts";
import type { Digest } from "../../core/digest.ts";
import { FixityError } from "../../core/errors.ts";
import type { UploadId } from "../../core/upload-id.ts";
import { chmod, chown, fchmod, fchown, mkdir, rmdir, stat, statOrNull } from "./calls.ts";
import { failedWith } from "./file-system.ts";

/** The version of the tree below. A store without a `layout-version` file has version 1. */
const LAYOUT_VERSION = 1;

/**
 * Where everything lies in a store's folder. Its paths are built here only, and only from digests,
 * ids and process names:
 *
 *     <root>/
 *       blobs/               readable: complete, durable, read-only, never changed
 *         ab/                the first two hex digits of the digest (the fan-out: 256 folders)
 *           abcdef…          all 64 hex digits
 *       staging/             incoming: nothing in here is ever served
 *         <instance>/        one folder for each running store, named after its process
 *           <n>              one file for each upload
 *       uploads/             resumable uploads: not served either
 *         <id>/              one folder for each upload, named by its 32 hex digits (uploads/upload-folder.ts)
 *         wanted/            requests to holders to release an upload (uploads/upload-takeover.ts)
 *         <process>/         an upload that this process is creating or removing
 *       damaged/             damaged bytes that a commit has replaced, for examination: not served
 *         <hex>-<ms>         the digest, and when they were replaced, in milliseconds since 1970
 *       documents/           small texts with conditional writes: not served either
 *         <collection>/<id>/ one folder for each document (documents/document-folder.ts)
 *         .<process>/        a document that this process is creating
 *       layout-version       one number; absent means 1
 *
 * Everything must lie on one file system, because a file becomes a blob by a second link to it.
 */
export class Layout {
  readonly root: string;
  readonly blobs: string;
  readonly staging: string;
  readonly uploads: string;
  readonly wanted: string;
  readonly damaged: string;
  readonly documents: string;
  readonly versionFile: string;
  /** The modes with which all of it is created. */
  readonly modes: Modes;

  /**
   * @param root an absolute path
   * @param group the id of a group that may read the blobs of a new store; `null` for none
   */
  constructor(root: string, group: number | null = null) {
    this.root = root;
    this.blobs = join(root, "blobs");
    this.staging = join(root, "staging");
    this.uploads = join(root, "uploads");
    this.wanted = join(this.uploads, "wanted");
    this.damaged = join(root, "damaged");
    this.documents = join(root, "documents");
    this.versionFile = join(root, "layout-version");
    this.modes = new Modes(this, group);
  }

  /** The folder of a blob. */
  fanOut(digest: Digest): string {
    return join(this.blobs, digest.hex.slice(0, 2));
  }

  blob(digest: Digest): string {
    // Not by `join`, which allocates a twentieth of what a small upload does.
    return `${this.blobs}${sep}${digest.hex.slice(0, 2)}${sep}${digest.hex}`;
  }

  /** The path of a blob relative to the root, with forward slashes on every system. */
  blobBelowRoot({ hex }: Digest): string {
    return `blobs/${hex.slice(0, 2)}/${hex}`;
  }

  /** Where damaged bytes of a blob are kept. */
  damagedFile({ hex }: Digest, replacedAt: number): string {
    return join(this.damaged, `${hex}-${replacedAt}`);
  }

  /** The folder of an upload. */
  upload(id: UploadId): string {
    return join(this.uploads, id.hex);
  }

  /** The folder of an upload that a process is creating or removing. */
  scratch(name: string): string {
    return join(this.uploads, name);
  }

  /** The folder of a document. @param name one that `isDocumentName` accepts */
  document(name: string): string {
    return join(this.documents, ...name.split("/"));
  }

  /** The folder of a document that a process is creating. No collection has this name. */
  documentScratch(name: string): string {
    return join(this.documents, `.${name}`);
  }

  /** The process that has created a folder in `documents/`; `null` if it is not a scratch folder. */
  ownerOfDocumentScratch(name: string): Owner | null {
    return name.startsWith(".") ? ownerOf(name.slice(1)) : null;
  }

  /** The folder of a running store's staging files. */
  instance(name: string): string {
    return join(this.staging, name);
  }
}

/**
 * The answers of `fchmod` where modes cannot be changed: CIFS, FAT, exFAT and many FUSE file
 * systems.
 */
export const MODES_UNSUPPORTED = ["EPERM", "EACCES", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EINVAL"] as const;

/**
 * A store of another version must not be written to: its tree may mean something else.
 *
 * @throws FixityError `store-misconfigured`
 */
export async function assertKnownLayout({ root, versionFile }: Layout): Promise<void> {
  const text = await readFile(versionFile, "utf8").catch((error: unknown) => {
    if (failedWith(error, "ENOENT", "ENOTDIR")) return String(LAYOUT_VERSION);
    throw error;
  });
  const version = text.trim();
  if (version === String(LAYOUT_VERSION)) return;
  throw new FixityError(
    "store-misconfigured",
    `The store in ${root} has layout version ${JSON.stringify(version.slice(0, 20))}, and this version of fixity ` +
      `knows ${LAYOUT_VERSION}. Run the version of fixity that has written it, or a later one.`,
  );
}

/** When what is kept under a name in `damaged/` was replaced; `null` for a name of something else. */
export function replacedAt(name: string): number | null {
  const [, milliseconds] = /^[0-9a-f]{64}-(\d{1,15})$/.exec(name) ?? [];
  return milliseconds === undefined ? null : Number(milliseconds);
}

/** Whether a name in `blobs/` is that of a fan-out folder. */
export function isFanOut(name: string): boolean {
  return /^[0-9a-f]{2}$/.test(name);
}

/** The modes of a store's folders and files, and the group that may read its blobs. */
interface ModeSet {
  readonly root: number;
  /** `blobs/` and the folders in it. */
  readonly blobFolder: number;
  /** All other folders. */
  readonly folder: number;
  readonly blob: number;
  /** Files of unfinished uploads. */
  readonly file: number;
  /** The group of the root, the blobs and their folders; `null` for the group of the process. */
  readonly gid: number | null;
}

/** For the server's user only. */
const PRIVATE_MODES: ModeSet = { root: 0o700, blobFolder: 0o700, folder: 0o700, blob: 0o400, file: 0o600, gid: null };

/**
 * The modes of earlier versions, before the process's umask: usually, all users of the machine may
 * read.
 */
const SHARED_MODES: ModeSet = { root: 0o777, blobFolder: 0o777, folder: 0o777, blob: 0o444, file: 0o644, gid: null };

/** A group, such as that of a web server that sends the files, may read blobs and nothing else. */
const readableBy = (gid: number): ModeSet => ({ root: 0o710, blobFolder: 0o2750, folder: 0o700, blob: 0o440, file: 0o600, gid }); // prettier-ignore

/** Whether group or others may do anything with a folder. */
const isWide = (mode: number): boolean => (mode & 0o077) !== 0;

/** The paths that determine modes. */
interface Places {
  readonly root: string;
  readonly blobs: string;
  readonly staging: string;
  readonly uploads: string;
  readonly documents: string;
}

/** Folders of a store whose modes differ from those of a new store. */
export interface ModeExcess {
  /** Each with its mode: `blobs (755)`. */
  readonly folders: readonly string[];
  /** Shell commands that change them. */
  readonly commands: string;
}

/**
 * Creates folders and files with the store's modes. A new store, which is one without `blobs/`, is
 * closed to other users, except that a group may be allowed to read blobs. An existing store keeps
 * the modes of its `blobs/`, so that all its files are alike, whichever process creates them and
 * however that is configured.
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

  /** The mode of a file that becomes a blob, from the mode it has. */
  sealed(mode: number): number {
    return this.#set === SHARED_MODES ? mode & this.blob : this.blob;
  }

  /** The group of blobs; `null` for that of the process. */
  get gid(): number | null {
    return this.#set.gid;
  }

  /**
   * Folders whose modes differ from those of a new store with the same group, and the commands that
   * change them; `null` if there are none. A store that has a group is judged by it even if the
   * setting is missing: the commands must not lock the web server out.
   */
  async excess(): Promise<ModeExcess | null> {
    const { root, blobs, staging, uploads, documents } = this.#places;
    const group = this.#group ?? this.gid;
    const expected = group === null ? PRIVATE_MODES : readableBy(group);
    const others: string[] = [];
    for (const [path, mode] of [
      [root, expected.root],
      [blobs, expected.blobFolder],
      [staging, expected.folder],
      [uploads, expected.folder],
      [documents, expected.folder],
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

  /**
   * Creates a folder.
   *
   * @throws what `mkdir` throws; FixityError `store-misconfigured` if it cannot be given to the
   *   group
   */
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
    // After chown, which clears the setgid bit; and independent of the umask.
    await chmod(path, mode);
  }

  /**
   * Creates a folder of the store and the missing ones above it. Node's own `recursive` reports
   * some errors (a read-only file system, a quota) as "no such file".
   */
  async mkdirs(path: string): Promise<void> {
    try {
      await this.#mkdirUnlessThere(path);
    } catch (error) {
      if (!failedWith(error, "ENOENT") || dirname(path) === path) throw error;
      await this.mkdirs(dirname(path));
      // One retry: below /proc, and in a removed folder that is still mounted, the answer never
      // changes.
      await this.#mkdirUnlessThere(path);
    }
  }

  /**
   * Gives a future blob to the group that may read blobs. Without one, the mode given to `open` is
   * enough.
   */
  async admitGroup(fd: number): Promise<void> {
    const { gid, blob } = this.#set;
    if (gid === null) return;
    await fchown(fd, -1, gid);
    await fchmod(fd, blob);
  }

  /**
   * Whether a file that others have made can be a blob as it is: the process owns it and may read it,
   * and so may the group that may read blobs.
   */
  admits({ uid, gid, mode }: Stats): boolean {
    const { gid: group, blob } = this.#set;
    if (uid !== process.geteuid?.() || (mode & 0o400) === 0) return false;
    return group === null || (gid === group && (mode & blob) === blob);
  }

  async #mkdirUnlessThere(path: string): Promise<void> {
    try {
      const isOfStore = path === this.#places.root || path.startsWith(this.#places.root);
      await (isOfStore ? this.mkdir(path) : mkdir(path));
    } catch (error) {
      if (error instanceof FixityError) throw error;
      // Most systems answer EEXIST, but a read-only one or the root of a drive may answer something
      // else.
      if (!(await stat(path).catch(() => null))?.isDirectory()) throw error;
    }
  }

  /** Determined once, by one blocking call: files are also created by threads that cannot wait. */
  get #set(): ModeSet {
    this.#known ??= this.#find();
    return this.#known;
  }

  #find(): ModeSet {
    const facts = fs.statSync(this.#places.blobs, { throwIfNoEntry: false });
    if (process.platform === "win32") return SHARED_MODES;
    if (facts === undefined) return this.#group === null ? PRIVATE_MODES : readableBy(this.#group);
    if (!isWide(facts.mode)) return PRIVATE_MODES;
    const isOfGroup = (facts.mode & 0o2000) !== 0 && (facts.mode & 0o027) === 0;
    return isOfGroup ? readableBy(facts.gid) : SHARED_MODES;
  }
}

/**
 * `chmod go-rwx` keeps read-only files read-only; a blob and the file of a resumed upload can be
 * one file.
 */
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
