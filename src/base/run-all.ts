/**
 * Runs tasks one after another. One that fails keeps none of the others from running.
 *
 * @returns their results, in order
 * @throws the first failure, once all have run; the signal's reason as soon as it is aborted
 */
export async function runAll<T>(tasks: readonly (() => Promise<T>)[], signal?: AbortSignal): Promise<T[]> {
  const results: T[] = [];
  const failures: unknown[] = [];
  for (const task of tasks) {
    signal?.throwIfAborted();
    try {
      results.push(await task());
    } catch (error) {
      signal?.throwIfAborted();
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
  return results;
}
