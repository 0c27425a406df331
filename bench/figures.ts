/** One contender's results, one per round. */
export interface Series {
  readonly name: string;
  readonly values: number[];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** Prints medians with their spread, and the ratio of the first contender to each other one. */
export function report(title: string, unit: string, series: readonly Series[]): void {
  const [own] = series;
  printTable(title, unit, series, (one) => {
    return one === own ? "" : `fixity is ${(median(own?.values ?? []) / median(one.values)).toFixed(2)} of it`;
  });
}

/**
 * Like {@link report}, where the last contender is the peer: prints the ratio of each other one to
 * it.
 */
export function reportOwn(title: string, unit: string, series: readonly Series[]): void {
  const peer = series.at(-1);
  printTable(title, unit, series, (one) => {
    return one === peer ? "" : `${(median(one.values) / median(peer?.values ?? [])).toFixed(2)} of the last`;
  });
}

function printTable(title: string, unit: string, series: readonly Series[], note: (one: Series) => string): void {
  console.log(`\n${title} (${unit}, median of ${series[0]?.values.length ?? 0})`);
  for (const one of series) {
    const spread = `${format(Math.min(...one.values))} to ${format(Math.max(...one.values))}`;
    console.log(
      `  ${one.name.padEnd(34)} ${format(median(one.values)).padStart(8)}   ${spread.padEnd(20)}  ${note(one)}`.trimEnd(),
    );
  }
}

export function format(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value.toFixed(value >= 10 ? 1 : 2);
}
