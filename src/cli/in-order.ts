import { forEachConcurrent } from "../base/map-concurrent.ts";

/** How {@link inOrder} goes about it. */
export interface OrderedWork<Item, Result> {
  /** How many items are worked on at a time. */
  readonly atOnce: number;
  /** Should not reject: a rejection ends all of it. */
  readonly work: (item: Item) => Promise<Result>;
  /** Called with each result in the order of the items, as soon as all before it are there. */
  readonly take: (result: Result) => void;
  /** Once aborted, no more items are begun. */
  readonly signal: AbortSignal;
}

/** Works on several items at a time, and hands the results over in the order of the items. */
export async function inOrder<Item, Result>(
  items: readonly Item[],
  { atOnce, work, take, signal }: OrderedWork<Item, Result>,
): Promise<void> {
  const waiting = new Map<number, Result>();
  let next = 0;
  await forEachConcurrent(untilAborted(items, signal), atOnce, async (item, index) => {
    waiting.set(index, await work(item));
    for (let result = waiting.get(next); result !== undefined; result = waiting.get(next)) {
      waiting.delete(next++);
      take(result);
    }
  });
}

function* untilAborted<Item>(items: readonly Item[], signal: AbortSignal): Generator<Item> {
  for (const item of items) {
    if (signal.aborted) return;
    yield item;
  }
}
