import { Contender, type Place, type Start } from "./contender.ts";
import type { Series } from "./figures.ts";

/** How often each contender is measured. */
export const ROUNDS: number = Number(process.env["BENCH_ROUNDS"] ?? 5);

/**
 * Measures every contender in turn, round after round. The first round is a warm-up and does not
 * count.
 */
export async function rounds(
  place: Place,
  starts: readonly Start[],
  measure: (contender: Contender) => Promise<number>,
): Promise<Series[]> {
  await using stack = new AsyncDisposableStack();
  const contenders: Contender[] = [];
  for (const start of starts) contenders.push(stack.use(await Contender.start(place, start)));
  const series = contenders.map(({ name }) => ({ name, values: [] as number[] }));
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [index, contender] of contenders.entries()) {
      const value = await measure(contender);
      if (round > 0) series[index]?.values.push(value);
    }
  }
  return series;
}
