import { FixityClientError } from "../errors.ts";
import { fetchTransport } from "../fetch-transport.ts";
import type { Platform } from "../platform.ts";
import type { ClientOptions } from "../types.ts";
import { browser, type WorkerMaker } from "./globals.ts";
import { localUploadStorage } from "./local-storage.ts";
import { WorkerHashing } from "./worker-hashing.ts";
import { xhrTransport } from "./xhr-transport.ts";

/** Browsers. All content is in blobs there. */
export function browserPlatform(options: ClientOptions, usualWorker: WorkerMaker): Platform {
  const fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
  const byFetch = fetchTransport({ fetch, bodyOf: (content) => ({ body: content as unknown as Blob }) });
  return {
    base: browser.location?.href,
    fetch,
    showsRedirects: false,
    transport: options.fetch === undefined ? xhrTransport(byFetch) : byFetch,
    hashing: options.worker === null ? null : new WorkerHashing(options.worker ?? usualWorker),
    storage: localUploadStorage(),
    network: {
      isOnline: () => browser.navigator?.onLine !== false,
      onOnline: (callback, signal) => browser.addEventListener("online", callback, { signal }),
    },
    join: (chunks) => new Blob([...chunks]),
    openFile: async () => {
      throw new FixityClientError("invalid-source", "Browsers cannot open a path: give a File.");
    },
  };
}
