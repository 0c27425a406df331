/** Maps values with at most `limit` concurrent calls. The results have the order of the values. */
export async function mapConcurrent<T, R>(
  values: Iterable<T>,
  limit: number,
  map: (value: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const left = [...values].entries();
  const work = async (): Promise<void> => {
    for (const [index, value] of left) results[index] = await map(value);
  };
  await Promise.all(Array.from({ length: limit }, work));
  return results;
}
