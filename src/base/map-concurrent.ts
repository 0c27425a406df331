/**
 * Calls `work` for each item, `concurrency` calls at a time. After the first failure, or once
 * `signal` is aborted, no further item is started. The promise settles only when no call is running
 * any more, so that the caller may then undo what they did. (p-map rejects while other calls are
 * still running.)
 *
 * @throws the first failure, or the signal's reason
 */
export async function forEachConcurrent<T>(
  items: Iterable<T> | AsyncIterable<T>,
  concurrency: number,
  work: (item: T, index: number) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  let failure: { readonly reason: unknown } | null = null;
  let index = 0;
  const isStopped = (): boolean => failure !== null || signal?.aborted === true;
  const runWorker = async (): Promise<void> => {
    try {
      while (!isStopped()) {
        const next = await iterator.next();
        if (next.done === true) return;
        await work(next.value, index++);
      }
    } catch (reason) {
      failure ??= { reason };
    }
  };
  await Promise.all(Array.from({ length: concurrency }, runWorker));
  if (isStopped()) await iterator.return?.();
  if (failure !== null) throw (failure as { readonly reason: unknown }).reason;
  signal?.throwIfAborted();
}

/** Like {@link forEachConcurrent}, with the results in the order of the items. */
export async function mapConcurrent<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  concurrency: number,
  work: (item: T, index: number) => Promise<R>,
  signal?: AbortSignal,
): Promise<R[]> {
  const results: R[] = [];
  const keep = async (item: T, index: number): Promise<void> => {
    results[index] = await work(item, index);
  };
  await forEachConcurrent(items, concurrency, keep, signal);
  return results;
}
