import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, unlink, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import type { UploadStorage } from "../client/node.ts";
import { isDead, newName, ownerOf, thisProcess } from "../base/process-identity.ts";
import { lastChange, unlessGone } from "./files.ts";
import type { Environment } from "../settings/config.ts";

/** Milliseconds after which what is remembered is dropped; servers keep an unfinished upload for a day, unless set up otherwise. */
const KEPT = 7 * 24 * 3_600_000;

/** Hex digits of the SHA-256 of a key: enough to be no other's. */
const KEY_DIGITS = 40;

/** The folder in which unfinished uploads are remembered; `null` for a user without a home, as in some containers. */
export function memoryFolder(env: Environment): string | null {
  // a relative path there is to be passed over (XDG Base Directory Specification)
  const state = isAbsolute(env["XDG_STATE_HOME"] ?? "") ? (env["XDG_STATE_HOME"] ?? null) : ownState();
  return state === null ? null : join(state, "fixity", "uploads");
}

/**
 * Remembers unfinished uploads from one run to the next, one file each:
 *
 *     <key's digest>-<owner>    who has the address of an upload can go on with it, so only the user may read this
 *
 * What a running process remembers is its own: another that sends the same file begins an upload of its own. What belongs to
 * a process that is gone is taken over by a rename, which one of several gets.
 */
export class UploadMemory implements UploadStorage {
  readonly #folder: string;
  readonly #me = thisProcess();
  readonly #name = newName(this.#me);
  #ready: Promise<void> | null = null;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async get(key: string): Promise<string | null> {
    await this.#prepare();
    const own = this.#pathOf(key);
    for (const name of await readdir(this.#folder)) {
      if (!name.startsWith(`${digestOf(key)}-`)) continue;
      const path = join(this.#folder, name);
      if (path !== own && !((await this.#isLeft(name)) && (await unlessGone(rename(path, own))))) continue;
      return readFile(own, "utf8");
    }
    return null;
  }

  async set(key: string, value: string): Promise<void> {
    await this.#prepare();
    const written = join(this.#folder, `new-${randomBytes(8).toString("hex")}`);
    await writeFile(written, value, { mode: 0o600, flag: "wx" });
    await rename(written, this.#pathOf(key));
  }

  async remove(key: string): Promise<void> {
    await unlessGone(unlink(this.#pathOf(key)));
  }

  #pathOf(key: string): string {
    return join(this.#folder, `${digestOf(key)}-${this.#name}`);
  }

  async #isLeft(name: string): Promise<boolean> {
    const owner = ownerOf(name.slice(KEY_DIGITS + 1));
    const changed = await lastChange(join(this.#folder, name));
    return owner !== null && changed !== null && isDead(owner, this.#me, changed);
  }

  /** Makes the folder, and drops what is too old to be of use, once. */
  async #prepare(): Promise<void> {
    this.#ready ??= this.#makeAndPrune();
    return this.#ready;
  }

  async #makeAndPrune(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.#folder)) {
      const path = join(this.#folder, name);
      const changed = await lastChange(path);
      if (changed !== null && Date.now() - changed.getTime() > KEPT) await unlessGone(unlink(path));
    }
  }
}

function digestOf(key: string): string {
  return createHash("sha256").update(key).digest("hex").slice(0, KEY_DIGITS);
}

function ownState(): string | null {
  try {
    return join(homedir(), ".local", "state");
  } catch {
    return null;
  }
}
