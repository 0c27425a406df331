import { parseObject } from "./formats.ts";
import type { Content } from "./platform.ts";
import type { UploadStorage } from "./types.ts";

/** The value of an entry, as JSON. */
interface StoredEntry {
  /** The URL of the upload. */
  readonly at: string;
  /** Milliseconds since 1970, when the server forgets the upload. */
  readonly expires: number;
}

/** What distinguishes a file from others. */
export interface FileFacts {
  readonly content: Content;
  /** Bytes of the file before it was prepared; `null` if it was not. */
  readonly originalSize: number | null;
  /** Name, or path. */
  readonly identity: string | null;
  readonly lastModified: number | null;
  readonly filename: string | null;
  readonly type: string | null;
}

/** The beginning of every key in a storage. */
export const KEY_PREFIX = "fixity:";

/** The lifetime of an entry if the server does not state how long it keeps the upload. */
const DEFAULT_AGE_MS = 24 * 3_600_000;

/**
 * Keys of the running uploads of this page or process: a second upload of the same file must not
 * take over the first.
 */
export type KeysInUse = Set<string>;

/**
 * The entry of one upload in the storage, by which a later run resumes it. Failures of the storage
 * are ignored.
 */
export class ResumeEntry {
  readonly #storage: UploadStorage;
  readonly #key: string;
  readonly #keysInUse: KeysInUse;

  private constructor(storage: UploadStorage, key: string, keysInUse: KeysInUse) {
    this.#storage = storage;
    this.#key = key;
    this.#keysInUse = keysInUse;
    keysInUse.add(key);
  }

  /** `null` if the file cannot be recognised later, or is being uploaded already. */
  static of(
    { content, originalSize, identity, lastModified, filename, type }: FileFacts,
    { storage, endpoint, keysInUse }: { storage: UploadStorage | null; endpoint: string; keysInUse: KeysInUse },
  ): ResumeEntry | null {
    if (storage === null || identity === null || lastModified === null) return null;
    const facts = [endpoint, identity, content.size, lastModified, filename, type];
    // the original must not continue the upload of the prepared file, nor the other way round
    if (originalSize !== null) facts.push(originalSize);
    const key = KEY_PREFIX + JSON.stringify(facts);
    return keysInUse.has(key) ? null : new ResumeEntry(storage, key, keysInUse);
  }

  /** The URL of the upload that an earlier run left, or `null`. */
  async read(): Promise<string | null> {
    const text = await this.#attempt(() => this.#storage.get(this.#key));
    const { at, expires } = parseObject(text ?? "") ?? {};
    return typeof at === "string" && typeof expires === "number" && expires > Date.now() ? at : null;
  }

  /** @param age seconds for which the server keeps the upload; `null` if unknown */
  async write(at: string, age: number | null): Promise<void> {
    const entry: StoredEntry = { at, expires: Date.now() + (age === null ? DEFAULT_AGE_MS : age * 1000) };
    await this.#attempt(() => this.#storage.set(this.#key, JSON.stringify(entry)));
  }

  async remove(): Promise<void> {
    await this.#attempt(() => this.#storage.remove(this.#key));
  }

  /** Lets another upload of the same file use the entry. */
  release(): void {
    this.#keysInUse.delete(this.#key);
  }

  async #attempt<T>(work: () => T | Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch {
      return null; // full, blocked or read-only: the upload works without it
    }
  }
}

/** Whether an entry has expired, or is not an entry. For storages that remove expired entries. */
export function isExpired(value: string): boolean {
  const { expires } = parseObject(value) ?? {};
  return typeof expires !== "number" || expires <= Date.now();
}
