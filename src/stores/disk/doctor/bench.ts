import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Leftovers } from "../../doctor/examine.ts";
import { mkdir, readdir, rmdir, stat } from "../calls.ts";
import { failedWith } from "../file-system.ts";
import { Layout } from "../layout.ts";
import type { ResolvedDiskOptions } from "../options.ts";

const NAME_PREFIX = "doctor-";

/** Age from which the folder of another doctor counts as abandoned. */
const ABANDONED_AFTER_MS = 3_600_000;

/**
 * A folder for probes, below the staging area. Removing it leaves the store's folder as it was.
 */
export class Bench {
  readonly options: ResolvedDiskOptions;
  readonly layout: Layout;
  /** Whether the store's folder existed before. */
  wasThere = true;
  readonly #path: string;
  /** Folders that were created, the topmost first. */
  readonly #made: string[] = [];
  #isMade = false;

  constructor(options: ResolvedDiskOptions) {
    this.options = options;
    this.layout = new Layout(options.root, options.group);
    this.#path = join(this.layout.staging, NAME_PREFIX + randomBytes(8).toString("hex"));
  }

  /** Creates the folder and the missing ones above it. */
  async open(): Promise<void> {
    this.wasThere = (await missingAbove(this.layout.root)).length === 0;
    for (const folder of [this.layout.blobs, this.layout.staging]) {
      this.#made.push(...(await missingAbove(folder)));
      await this.layout.modes.mkdirs(folder);
    }
    await mkdir(this.#path);
    this.#isMade = true;
  }

  /** The path of a throw-away file. */
  file(name: string): string {
    return join(this.#path, name);
  }

  /**
   * Removes everything that was created, and what abandoned doctors have left; `null` if nothing
   * was created. Never throws.
   */
  async clear(): Promise<Leftovers | null> {
    const swept = this.#isMade ? await this.#sweep() : 0;
    const isLeft = this.#isMade && !(await isRemoved(this.#path));
    for (const folder of this.#made.toReversed()) {
      // A server that was started meanwhile has files in it by now.
      await rmdir(folder).catch(() => null);
    }
    return this.#isMade ? { names: isLeft ? [this.#path] : [], swept } : null;
  }

  async #sweep(): Promise<number> {
    const all = await readdir(this.layout.staging).catch(() => []);
    // The time of this run's own folder, which is new: by the file system's clock, not this
    // machine's.
    const now = await stat(this.#path).catch(() => null);
    if (now === null) return 0;
    let swept = 0;
    for (const name of all.filter((name) => name.startsWith(NAME_PREFIX))) {
      const path = this.layout.instance(name);
      const facts = await stat(path).catch(() => null);
      if (facts === null || now.mtimeMs - facts.mtimeMs < ABANDONED_AFTER_MS) continue;
      if (await isRemoved(path)) swept += 1;
    }
    return swept;
  }
}

async function isRemoved(path: string): Promise<boolean> {
  try {
    await rm(path, { recursive: true, force: true });
    return true;
  } catch {
    return false;
  }
}

/** The missing folders among this one and those above it, the topmost first. */
async function missingAbove(path: string): Promise<string[]> {
  try {
    await stat(path);
    return [];
  } catch (error) {
    if (!failedWith(error, "ENOENT") || dirname(path) === path) return [];
    return [...(await missingAbove(dirname(path))), path];
  }
}
