import { join } from "node:path";
import type { Digest } from "../../core/digest.ts";
import type { UploadId } from "../../core/upload-id.ts";
import { Modes } from "./modes.ts";

/**
 * Where things lie in a store's folder. The only place where its paths are made, and only from digests, ids and numbers:
 *
 *     <root>/
 *       blobs/               what can be read: whole, durable, read-only, never changed
 *         ab/                the first two hex digits of the digest (the fan-out: 256 folders)
 *           abcdef…          all 64 hex digits
 *       staging/             what is coming in: nothing in here is ever served
 *         <instance>/        one folder for each running store, named after its process (owner.ts)
 *           <n>              one file for each upload
 *       uploads/             what is coming in over several requests: not served either
 *         <id>/              one folder for each upload (uploads/upload-folder.ts), its 32 hex digits
 *         wanted/            requests to holders of uploads to let go, each named after a hold (uploads/wanted-box.ts)
 *         <process>/         an upload that is being made or removed by this process
 *
 * All of them must lie on one file system, because a file becomes a blob by a second link to it.
 */
export class Layout {
  readonly root: string;
  readonly blobs: string;
  readonly staging: string;
  readonly uploads: string;
  readonly wanted: string;
  /** With which modes all of it is made. */
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
    this.modes = new Modes(this, group);
  }

  /** The folder that a blob lies in. */
  fanOut(digest: Digest): string {
    return join(this.blobs, digest.hex.slice(0, 2));
  }

  /** A blob. */
  blob(digest: Digest): string {
    return join(this.blobs, digest.hex.slice(0, 2), digest.hex);
  }

  /** A blob as seen from the root, with slashes on every system. */
  blobBelowRoot({ hex }: Digest): string {
    return `blobs/${hex.slice(0, 2)}/${hex}`;
  }

  /** The folder of an upload. */
  upload(id: UploadId): string {
    return join(this.uploads, id.hex);
  }

  /** The folder of an upload that a process is making or removing. */
  scratch(name: string): string {
    return join(this.uploads, name);
  }

  /** The folder of a running store's staging files. */
  instance(name: string): string {
    return join(this.staging, name);
  }
}

/** Whether a name in `blobs/` is that of a fan-out folder. */
export function isFanOut(name: string): boolean {
  return /^[0-9a-f]{2}$/.test(name);
}
