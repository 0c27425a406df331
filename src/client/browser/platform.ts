import { FixityClientError } from "../errors.ts";
import { fetchTransport } from "../fetch-transport.ts";
import type { Platform } from "../platform.ts";
import { isExpired, KEY_PREFIX } from "../resume-entry.ts";
import type { ClientOptions, UploadStorage } from "../types.ts";
import { browser, type BrowserStorage, type WorkerFactory } from "./globals.ts";
import { WorkerHashing } from "./worker-hashing.ts";
import { xhrTransport } from "./xhr-transport.ts";

/** WebKit runs scripts for some tens of milliseconds after the first read has failed. */
const ENDING_GRACE_MS = 1000;

/** Browsers, where all content is in blobs. */
export function browserPlatform(options: ClientOptions, defaultWorker: WorkerFactory): Platform {
  const fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
  const byFetch = fetchTransport({ fetch, bodyOf: (content) => ({ body: content as unknown as Blob }) });
  return {
    base: browser.location?.href,
    fetch,
    showsRedirects: false,
    transport: options.fetch === undefined ? xhrTransport(byFetch) : byFetch,
    hashing: options.worker === null ? null : new WorkerHashing(workerFactory(options.worker ?? defaultWorker)),
    storage: localUploadStorage(),
    network: {
      isOnline: () => browser.navigator?.onLine !== false,
      onOnline: (callback, signal) => browser.addEventListener("online", callback, { signal }),
    },
    endingGraceMs: ENDING_GRACE_MS,
    concat: (chunks) => new Blob([...chunks]),
    openFile: openNoPath,
    openBlob: openNoPath,
  };
}

function workerFactory(worker: string | URL | WorkerFactory): WorkerFactory {
  return typeof worker === "function" ? worker : () => new browser.Worker(worker, { type: "module" });
}

async function openNoPath(): Promise<never> {
  throw new FixityClientError("invalid-source", "Browsers cannot open a path: pass a File.");
}

/** `localStorage`, whose expired entries are removed; `null` if the page may not use it. */
function localUploadStorage(): UploadStorage | null {
  const storage = accessibleStorage();
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

function accessibleStorage(): BrowserStorage | null {
  try {
    return browser.localStorage ?? null;
  } catch {
    return null; // blocked together with cookies
  }
}

function removeExpired(storage: BrowserStorage): void {
  const keys = Array.from({ length: storage.length }, (_, index) => storage.key(index));
  for (const key of keys) {
    if (key !== null && key.startsWith(KEY_PREFIX) && isExpired(storage.getItem(key) ?? "")) storage.removeItem(key);
  }
}
