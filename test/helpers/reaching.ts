import type { UploadProgress } from "../../src/client/node.ts";

/** Resolves at the first report with so many bytes. */
export function reaching(bytes: number): { reached: Promise<void>; onProgress: (progress: UploadProgress) => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { reached: promise, onProgress: (progress) => progress.bytes >= bytes && resolve() };
}
