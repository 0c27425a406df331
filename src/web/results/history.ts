/**
 * Where the list of links is kept. On the device (`localStorage`) it outlives the tab and is shared
 * by all tabs; if the user does not want that, or has only a permit, it is kept for the tab. It
 * contains links, names and sizes, and no credentials.
 */
import { read, write, type Place } from "../storage.ts";
import { parseResult, type Result } from "./result.ts";

/** Links that are kept. */
const MAX_KEPT = 100;

/** Present if the user does not want the list on this device. */
const OFF_KEY = "fixity:links-off";

export class History {
  readonly #key: string;
  /** `null` if it is always kept for the tab. */
  #isOnDevice: boolean | null;

  /** @param collection the path of the uploads: several services may share an origin */
  constructor(collection: string, { mayUseDevice }: { readonly mayUseDevice: boolean }) {
    this.#key = `fixity:links:${collection}`;
    this.#isOnDevice = mayUseDevice ? read("device", OFF_KEY) === null : null;
  }

  get isOnDevice(): boolean {
    return this.#isOnDevice === true;
  }

  get mayUseDevice(): boolean {
    return this.#isOnDevice !== null;
  }

  /** From now on the list is kept for the tab only, and what the device has is not shown. */
  leaveDevice(): void {
    this.#isOnDevice = null;
  }

  /** Keeps the list on the device, or removes it from there. */
  keepOnDevice(isWanted: boolean, results: readonly Result[]): void {
    this.#write([]);
    this.#isOnDevice = isWanted;
    write("device", OFF_KEY, isWanted ? null : "off");
    this.add(results);
  }

  /** The links that are kept, the newest first. A broken entry is skipped. */
  recall(): readonly Result[] {
    const entries: unknown = parsed(read(this.#place, this.#key));
    return Array.isArray(entries) ? entries.flatMap((entry) => parseResult(entry, "") ?? []) : [];
  }

  /** Adds results to those of other tabs. Returns all, the newest first; more than are kept. */
  add(results: readonly Result[]): readonly Result[] {
    const all = merged([...results, ...this.recall()]);
    this.#write(all);
    return all;
  }

  clear(): void {
    this.#write([]);
  }

  /** Calls `listener` when another tab has changed the list. */
  onChange(listener: () => void): void {
    window.addEventListener("storage", ({ key }) => {
      if (this.isOnDevice && (key === null || key === this.#key)) listener();
    });
  }

  get #place(): Place {
    return this.isOnDevice ? "device" : "tab";
  }

  #write(results: readonly Result[]): void {
    write(this.#place, this.#key, results.length === 0 ? null : JSON.stringify(results.slice(0, MAX_KEPT)));
  }
}

function parsed(text: string | null): unknown {
  try {
    return JSON.parse(text ?? "[]");
  } catch {
    return [];
  }
}

/** Each link once for each name, as it was uploaded last. */
function merged(results: readonly Result[]): readonly Result[] {
  const newestFirst = results.toSorted((a, b) => b.time - a.time);
  const seen = new Set<string>();
  return newestFirst.filter(({ url, name }) => {
    const key = `${url} ${name}`;
    return !seen.has(key) && seen.add(key);
  });
}
