import { Random } from "./random.ts";

/**
 * Whether this is `npm run test:full`, which runs every case and the `*.full.test.ts` files. `npm
 * test` tests the same promises on a random sample of the cases.
 */
export const isFullRun: boolean = process.env["TEST_FULL"] === "yes";

/** All `cases` in a full run; otherwise at most `most` of them, in their order. The seed of `random` decides which. */
export function someOf<T>(cases: readonly T[], most: number, random: Random = new Random()): readonly T[] {
  if (isFullRun || cases.length <= most) return cases;
  const chosen = new Set<number>();
  while (chosen.size < most) chosen.add(random.integer(0, cases.length - 1));
  return cases.filter((_, index) => chosen.has(index));
}
