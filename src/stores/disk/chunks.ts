/** What is left of `chunks` behind their first `taken` bytes. */
export function behind(chunks: readonly Uint8Array[], taken: number): readonly Uint8Array[] {
  let skip = taken;
  for (const [index, chunk] of chunks.entries()) {
    if (skip < chunk.length) return [chunk.subarray(skip), ...chunks.slice(index + 1)];
    skip -= chunk.length;
  }
  return [];
}
