import { objectIn } from "../answers.ts";
import type { UploadStorage } from "../types.ts";
import { KEY_PREFIX } from "../resume-entry.ts";
import { browser, type BrowserStorage } from "./globals.ts";

/** `localStorage`, from which entries go that have expired. `null` where pages may not have it. */
export function localUploadStorage(): UploadStorage | null {
  const storage = accessible();
  if (storage === null) return null;
  return {
    get: (key) => storage.getItem(key),
    set: (key, value) => {
      removeExpired(storage);
      storage.setItem(key, value);
    },
    remove: (key) => storage.removeItem(key),
  };
}

function accessible(): BrowserStorage | null {
  try {
    return browser.localStorage ?? null;
  } catch {
    return null; // blocked with cookies
  }
}

function removeExpired(storage: BrowserStorage): void {
  const keys = Array.from({ length: storage.length }, (_, index) => storage.key(index));
  for (const key of keys) {
    if (key === null || !key.startsWith(KEY_PREFIX)) continue;
    const { expires } = objectIn(storage.getItem(key) ?? "") ?? {};
    if (typeof expires !== "number" || expires <= Date.now()) storage.removeItem(key);
  }
}
