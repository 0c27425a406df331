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
  const rest = items.entries();
  let turn = 0;
  // several workers take from one source, each the next
  const workers = Array.from({ length: atOnce }, async () => {
    for (const [index, item] of rest) {
      if (signal.aborted) return;
      waiting.set(index, await work(item));
      for (let result = waiting.get(turn); result !== undefined; result = waiting.get(turn)) {
        waiting.delete(turn++);
        take(result);
      }
    }
  });
  await Promise.all(workers);
}
