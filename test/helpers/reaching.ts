import type { UploadProgress } from "../../src/client/node.ts";

/** Resolves at the first progress report with at least a number of bytes. */
export function reaching(bytes: number): { reached: Promise<void>; onProgress: (progress: UploadProgress) => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { reached: promise, onProgress: (progress) => progress.bytes >= bytes && resolve() };
}
