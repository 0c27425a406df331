/** The word most like a mistyped one, or `null` where none is like it. */
export function nearest(mistyped: string, words: readonly string[]): string | null {
  let best: string | null = null;
  let least = Math.max(2, Math.floor(mistyped.length / 4)) + 1;
  for (const word of words) {
    const changes = editDistance(mistyped, word);
    if (changes < least) [best, least] = [word, changes];
  }
  return best;
}

/** Levenshtein's distance: how many letters must be put in, left out or changed. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (const [index, letter] of from.split("").entries()) {
    const next = [index + 1];
    for (let column = 1; column <= to.length; column++) {
      const change = (row[column - 1] ?? 0) + (to[column - 1] === letter ? 0 : 1);
      next.push(Math.min(change, (row[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
