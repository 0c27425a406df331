import { forEachConcurrent } from "../base/map-concurrent.ts";

export interface OrderedWork<Item, Result> {
  /** The number of items in progress at a time. */
  readonly concurrency: number;
  /** Should not reject: a rejection ends the whole run. */
  readonly work: (item: Item) => Promise<Result>;
  /**
   * Called with each result in the order of the items, as soon as all results before it are known.
   */
  readonly onResult: (result: Result) => void;
  /** Once aborted, no more items are started. */
  readonly signal: AbortSignal;
}

/**
 * Works on several items concurrently, and delivers the results one by one in the order of the
 * items.
 */
export async function inOrder<Item, Result>(
  items: Iterable<Item>,
  { concurrency, work, onResult, signal }: OrderedWork<Item, Result>,
): Promise<void> {
  const results = new Map<number, { readonly result: Result }>();
  let next = 0;
  await forEachConcurrent(items, concurrency, async (item, index) => {
    // Not passed on: an abort is not a failure of this function.
    if (signal.aborted) return;
    results.set(index, { result: await work(item) });
    for (let ready = results.get(next); ready !== undefined; ready = results.get(next)) {
      results.delete(next++);
      onResult(ready.result);
    }
  });
}
