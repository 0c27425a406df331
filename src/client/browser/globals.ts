import type { HashWorker, UploadStorage } from "../types.ts";

/** The part of `XMLHttpRequest` that the client uses. */
export interface BrowserRequest {
  responseType: "text";
  readonly status: number;
  readonly responseText: string;
  readonly upload: {
    addEventListener(name: "progress", listener: (event: { readonly loaded: number }) => void): void;
  };
  addEventListener(name: "load" | "error" | "abort", listener: () => void): void;
  addEventListener(name: "progress", listener: (event: { readonly loaded: number }) => void): void;
  open(method: string, url: string): void;
  setRequestHeader(name: string, value: string): void;
  getResponseHeader(name: string): string | null;
  send(body: Blob): void;
  abort(): void;
}

/** The part of `localStorage` that the client uses. */
export interface BrowserStorage extends UploadStorage {
  readonly length: number;
  key(index: number): string | null;
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/**
 * The part of a browser's global scope that the client uses. Workers do not have all of it. It is
 * declared here because the package's types must not depend on those of the DOM.
 */
export interface BrowserGlobals {
  readonly Worker: new (url: string | URL, options: { readonly type: "module" }) => HashWorker;
  readonly XMLHttpRequest?: new () => BrowserRequest;
  readonly location?: { readonly href: string };
  readonly navigator?: { readonly onLine?: boolean };
  readonly localStorage?: BrowserStorage;
  readonly crypto: { readonly subtle?: { digest(algorithm: "SHA-256", bytes: ArrayBuffer): Promise<ArrayBuffer> } };
  addEventListener(name: "online", listener: () => void, options: { readonly signal: AbortSignal }): void;
}

/** Creates the worker that hashes. */
export type WorkerFactory = () => HashWorker;

export const browser = globalThis as unknown as BrowserGlobals;
