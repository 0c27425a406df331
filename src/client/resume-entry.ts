import type { Content } from "./platform.ts";
import { objectIn } from "./answers.ts";
import type { UploadStorage } from "./types.ts";

/** What is remembered of an upload. */
export interface Remembered {
  /** Its address. */
  readonly at: string;
  /** Milliseconds since 1970, when the server forgets it. */
  readonly expires: number;
}

/** What tells a file from others. */
export interface FileFacts {
  readonly content: Content;
  /** Name, or path. */
  readonly identity: string | null;
  readonly lastModified: number | null;
  readonly filename: string | null;
  readonly type: string | null;
}

/** Every key in a storage begins with it. */
export const KEY_PREFIX = "fixity:";

/** Milliseconds that an upload is remembered where the server does not tell how long it keeps it. */
const USUAL_AGE = 24 * 3_600_000;

/** Keys of uploads that are under way in this page or process: a second upload of one file must not take over the first. */
export type KeysInUse = Set<string>;

/** Where one upload is remembered while it is under way. Failures of the storage are passed over. */
export class UploadMemory {
  readonly #storage: UploadStorage;
  readonly #key: string;
  readonly #inUse: KeysInUse;

  private constructor(storage: UploadStorage, key: string, inUse: KeysInUse) {
    this.#storage = storage;
    this.#key = key;
    this.#inUse = inUse;
    inUse.add(key);
  }

  /** `null` where the file cannot be known again, or is being uploaded already. */
  static of(
    { content, identity, lastModified, filename, type }: FileFacts,
    { storage, endpoint, inUse }: { storage: UploadStorage | null; endpoint: string; inUse: KeysInUse },
  ): UploadMemory | null {
    if (storage === null || identity === null || lastModified === null) return null;
    const facts = [endpoint, identity, content.size, lastModified, filename, type];
    const key = KEY_PREFIX + JSON.stringify(facts);
    return inUse.has(key) ? null : new UploadMemory(storage, key, inUse);
  }

  /** The address of the upload that an earlier run has begun, or `null`. */
  async recall(): Promise<string | null> {
    const text = await this.#attempt(() => this.#storage.get(this.#key));
    const { at, expires } = objectIn(text ?? "") ?? {};
    return typeof at === "string" && typeof expires === "number" && expires > Date.now() ? at : null;
  }

  /** @param age seconds that the server keeps the upload */
  async note(at: string, age: number | null): Promise<void> {
    const remembered: Remembered = { at, expires: Date.now() + (age === null ? USUAL_AGE : age * 1000) };
    await this.#attempt(() => this.#storage.set(this.#key, JSON.stringify(remembered)));
  }

  async forget(): Promise<void> {
    await this.#attempt(() => this.#storage.remove(this.#key));
  }

  /** Lets another upload of the file go on from here. */
  release(): void {
    this.#inUse.delete(this.#key);
  }

  async #attempt<T>(work: () => T | Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch {
      return null; // full, private, or read-only: the upload works without
    }
  }
}
