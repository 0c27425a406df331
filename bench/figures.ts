/** Figures of one contender, one a round. */
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

/** Prints medians with their spread, and the first contender's ratio to each: above 1 it is the better one. */
export function report(title: string, unit: string, series: readonly Series[]): void {
  console.log(`\n${title} (${unit}, median of ${series[0]?.values.length ?? 0})`);
  const own = median(series[0]?.values ?? []);
  for (const { name, values } of series) {
    const spread = `${format(Math.min(...values))} to ${format(Math.max(...values))}`;
    const ratio = name === series[0]?.name ? "" : `  fixity is ${(own / median(values)).toFixed(2)} of it`;
    console.log(`  ${name.padEnd(34)} ${format(median(values)).padStart(8)}   ${spread.padEnd(20)}${ratio}`);
  }
}

export function format(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value.toFixed(value >= 10 ? 1 : 2);
}
