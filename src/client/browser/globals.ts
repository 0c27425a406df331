import type { HashWorker, UploadStorage } from "../types.ts";

/** Of `XMLHttpRequest`, what is used. */
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

/** Of `localStorage`, what is used. */
export interface BrowserStorage extends UploadStorage {
  readonly length: number;
  key(index: number): string | null;
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** Of a browser's global scope, what is used; not all of it is there in workers. The types of the DOM are no part of this package's. */
export interface BrowserGlobals {
  readonly XMLHttpRequest?: new () => BrowserRequest;
  readonly location?: { readonly href: string };
  readonly navigator?: { readonly onLine?: boolean };
  readonly localStorage?: BrowserStorage;
  readonly crypto: { readonly subtle?: { digest(algorithm: "SHA-256", bytes: ArrayBuffer): Promise<ArrayBuffer> } };
  addEventListener(name: "online", listener: () => void, options: { readonly signal: AbortSignal }): void;
}

/** Makes the worker that hashes. */
export type WorkerMaker = () => HashWorker;

export const browser = globalThis as unknown as BrowserGlobals;
