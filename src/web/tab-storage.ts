/**
 * What the page remembers for this tab (`sessionStorage`). Where the browser blocks site data, even looking at the storage
 * throws, and a full one throws at each write: the page then works, and remembers nothing.
 */

/** What stands under a key; `null` where nothing does, or nothing can be read. */
export function recall(key: string): string | null {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null;
  }
}

/** Remembers a text under a key, in place of the one before. */
export function remember(key: string, text: string): void {
  try {
    sessionStorage.setItem(key, text);
  } catch {
    forget(key);
  }
}

/** Of a text that cannot be replaced, what was there before is no longer true. */
function forget(key: string): void {
  try {
    sessionStorage.removeItem(key);
  } catch {
    // blocked: nothing is there
  }
}

/** The list that was remembered as JSON under a key; empty where there is none. */
export function recallList(key: string): readonly unknown[] {
  try {
    const list: unknown = JSON.parse(recall(key) ?? "[]");
    return Array.isArray(list) ? list : [];
  } catch {
    return [];
  }
}
