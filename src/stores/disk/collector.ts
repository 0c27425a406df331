import { lstat } from "node:fs/promises";
import { join } from "node:path";
import type { Collected } from "../../core/store.ts";
import { readdir, rmdir, statOrNull, unlink } from "./calls.ts";
import { failedWith } from "./faults.ts";
import type { InstanceFolder } from "./staging.ts";
import type { Layout } from "./layout.ts";
import type { Log } from "./options.ts";
import { type Owner, ownerOf } from "../../base/process-identity.ts";

const NOTHING: Collected = { staged: 0, bytes: 0 };

/** Removes the staging folders of processes that are gone. Several collectors may work at once: each counts its own. */
export class Collector {
  readonly #layout: Layout;
  readonly #instance: InstanceFolder;
  readonly #log: Log;

  constructor(layout: Layout, instance: InstanceFolder, log: Log) {
    this.#layout = layout;
    this.#instance = instance;
    this.#log = log;
  }

  async collect(signal: AbortSignal | undefined): Promise<Collected> {
    let total = NOTHING;
    for (const name of await namesIn(this.#layout.staging)) {
      signal?.throwIfAborted();
      const owner = ownerOf(name);
      if (owner !== null && (await this.#isAbandoned(name, owner))) total = sum(total, await this.#removeFolder(name));
    }
    return total;
  }

  async #isAbandoned(name: string, owner: Owner): Promise<boolean> {
    const folder = await statOrNull(this.#layout.instance(name));
    return folder !== null && (await this.#instance.isDead(owner, folder.mtime));
  }

  /** A folder that resists must not keep the others, or a server's start, from going on. */
  async #removeFolder(name: string): Promise<Collected> {
    const path = this.#layout.instance(name);
    let total = NOTHING;
    try {
      for (const file of await namesIn(path)) total = sum(total, await removeFile(join(path, file)));
      await rmdir(path);
    } catch (error) {
      if (!failedWith(error, "ENOENT")) this.#log("an abandoned staging folder could not be removed", error);
    }
    return total;
  }
}

async function removeFile(path: string): Promise<Collected> {
  try {
    const { size, nlink } = await lstat(path);
    await unlink(path);
    // With a second name it had become a blob: nothing half-written, and no room gained.
    return nlink > 1 ? NOTHING : { staged: 1, bytes: size };
  } catch (error) {
    if (failedWith(error, "ENOENT")) return NOTHING;
    throw error;
  }
}

function sum(a: Collected, b: Collected): Collected {
  return { staged: a.staged + b.staged, bytes: a.bytes + b.bytes };
}

async function namesIn(path: string): Promise<readonly string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (failedWith(error, "ENOENT")) return [];
    throw error;
  }
}
