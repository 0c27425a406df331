/**
 * Stands in for `@transloadit/prettier-bytes` in the build (vite.config.ts): Uppy then shows sizes
 * in the units and digits of the rest of the page, and not in multiples of 1000.
 */
let format: (bytes: number) => string = String;

/** Sets how Uppy formats sizes. */
export function formatSizesBy(formatSize: (bytes: number) => string): void {
  format = formatSize;
}

export function prettierBytes(bytes: number): string {
  return format(bytes);
}
