import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, unlink, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { newName, thisProcess } from "../base/process-identity.ts";
import type { UploadStorage } from "../client/node.ts";
import type { Environment } from "../settings/config.ts";
import { isAbandoned, lastModified, unlessGone } from "./local-files.ts";

/** How long an upload is remembered. Servers keep an unfinished upload for a day by default. */
const RETENTION_MS = 7 * 24 * 3_600_000;

/** Hex digits of the SHA-256 of a key in a file's name: enough to be unique. */
const KEY_DIGEST_LENGTH = 40;

/** The folder of unfinished uploads; `null` for a user without a home, as in some containers. */
export function unfinishedUploadsFolder(env: Environment): string | null {
  // A relative path must be ignored (XDG Base Directory Specification).
  const given = env["XDG_STATE_HOME"] ?? "";
  const state = isAbsolute(given) ? given : defaultStateFolder();
  return state === null ? null : join(state, "fixity", "uploads");
}

/**
 * Remembers unfinished uploads from one run to the next, one file each:
 *
 *     <digest of the key>-<owner>
 *
 * Only the user can read the files, because the URL of an upload suffices to append to it. An entry
 * of a running process belongs to it: another process that sends the same file starts its own
 * upload. An entry of a dead process is taken over by a rename, which succeeds for exactly one of
 * several processes.
 */
export class UnfinishedUploads implements UploadStorage {
  readonly #folder: string;
  readonly #ownName = newName(thisProcess());
  /** When the server forgets an upload, by the path of its file. */
  readonly #expiries = new Map<string, number>();
  #ready: Promise<void> | null = null;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * When the server forgets the upload of a file, in milliseconds since 1970; `null` if none was
   * begun that a later run can resume.
   */
  expiryOf(path: string): number | null {
    return this.#expiries.get(path) ?? null;
  }

  async get(key: string): Promise<string | null> {
    const value = await this.#find(key);
    if (value !== null) this.#note(key, value);
    return value;
  }

  async #find(key: string): Promise<string | null> {
    await this.#prepare();
    const ownPath = this.#pathOf(key);
    const namePrefix = `${digestOf(key)}-`;
    for (const name of await readdir(this.#folder)) {
      if (!name.startsWith(namePrefix)) continue;
      const path = join(this.#folder, name);
      if (path !== ownPath) {
        if (!(await isAbandoned(path, name.slice(namePrefix.length)))) continue;
        if (!(await unlessGone(rename(path, ownPath)))) continue;
      }
      return readFile(ownPath, "utf8");
    }
    return null;
  }

  async set(key: string, value: string): Promise<void> {
    await this.#prepare();
    const temporary = join(this.#folder, `new-${randomBytes(8).toString("hex")}`);
    await writeFile(temporary, value, { mode: 0o600, flag: "wx" });
    await rename(temporary, this.#pathOf(key));
    this.#note(key, value);
  }

  async remove(key: string): Promise<void> {
    await unlessGone(unlink(this.#pathOf(key)));
  }

  /** Keys and values are those of the client: facts about a file, and where its upload is. */
  #note(key: string, value: string): void {
    const [, path] = parse(key.replace(/^[^[]*/, "")) as readonly unknown[];
    const { expires } = parse(value) as { readonly expires?: unknown };
    if (typeof path === "string" && typeof expires === "number") this.#expiries.set(path, expires);
  }

  #pathOf(key: string): string {
    return join(this.#folder, `${digestOf(key)}-${this.#ownName}`);
  }

  /** Creates the folder and removes expired entries, once. */
  async #prepare(): Promise<void> {
    this.#ready ??= this.#createAndPrune();
    return this.#ready;
  }

  async #createAndPrune(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.#folder)) {
      const path = join(this.#folder, name);
      const modified = await lastModified(path);
      if (modified !== null && Date.now() - modified.getTime() > RETENTION_MS) await unlessGone(unlink(path));
    }
  }
}

/** A JSON object or array; an empty array for anything else. */
function parse(text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : [];
  } catch {
    return [];
  }
}

function digestOf(key: string): string {
  return createHash("sha256").update(key).digest("hex").slice(0, KEY_DIGEST_LENGTH);
}

function defaultStateFolder(): string | null {
  try {
    return join(homedir(), ".local", "state");
  } catch {
    return null;
  }
}
