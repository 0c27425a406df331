import "./core/require-supported-node.ts";
export type * from "./index.ts";
import type { BlobStore } from "./core/store.ts";
import { MemoryStore } from "./stores/memory/memory-store.ts";

/**
 * A store that keeps blobs in the memory of this process, for tests and for trying things out. They
 * are lost with the process.
 */
export function memoryStore(): BlobStore {
  return new MemoryStore();
}
