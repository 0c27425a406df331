/** What is said between a page and its hashing worker. Each message is about one hash, by its number. */
export type ToWorker =
  /** Hash all of it, and tell how far that is on the way. */
  | { readonly id: number; readonly say: "hash"; readonly blob: Blob }
  /** Take these bytes too. */
  | { readonly id: number; readonly say: "update"; readonly bytes: Uint8Array }
  /** That was all. */
  | { readonly id: number; readonly say: "digest" }
  /** It is not needed any more. */
  | { readonly id: number; readonly say: "drop" };

export type FromWorker =
  /** So many bytes are hashed. */
  | { readonly id: number; readonly hashed: number }
  /** The digest in hex. */
  | { readonly id: number; readonly hex: string }
  /** Of the bytes, or of the hashing itself: there is no WebAssembly, for one. */
  | { readonly id: number; readonly failed: "source" | "hashing" };
