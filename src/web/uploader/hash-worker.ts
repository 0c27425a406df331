import type { HashWorker } from "../../client/types.ts";
// Vite makes this default export, the file has none
// oxlint-disable-next-line import/default
import workerUrl from "../../client/hash-worker.ts?worker&url";

/** Of the browser's `trustedTypes` (W3C Trusted Types), what is used. Browsers without it need none. */
interface TrustedTypes {
  createPolicy(
    name: string,
    rules: { readonly createScriptURL: (url: string) => string },
  ): { createScriptURL(url: string): unknown };
}

const { trustedTypes } = globalThis as { readonly trustedTypes?: TrustedTypes };

/** The page's policy lets no text become code except through this one, which knows a single URL. */
const policy = trustedTypes?.createPolicy("fixity-worker", {
  createScriptURL(url) {
    if (url !== workerUrl) throw new TypeError("This policy is for the worker that hashes.");
    return url;
  },
});

/** Starts the client's worker. The client itself would name it by a URL that is not of a Trusted Type. */
export function startHashWorker(): HashWorker {
  const url = policy?.createScriptURL(workerUrl) ?? workerUrl;
  return new Worker(url as string, { type: "module" });
}
