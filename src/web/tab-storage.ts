/**
 * What the page remembers for this tab (`sessionStorage`). In a browser that blocks site data, even
 * accessing the storage throws; a full storage throws at each write. The page then works, and
 * remembers nothing.
 */

/** Returns the text under a key; `null` if there is none, or it cannot be read. */
export function recall(key: string): string | null {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null;
  }
}

/**
 * Replaces the text under a key. If that fails, the old text is removed, because it is out of date.
 */
export function remember(key: string, text: string): void {
  try {
    sessionStorage.setItem(key, text);
  } catch {
    forget(key);
  }
}

function forget(key: string): void {
  try {
    sessionStorage.removeItem(key);
  } catch {
    // blocked, so nothing is stored
  }
}

/** Returns the list that was remembered as JSON under a key; empty if there is none. */
export function recallList(key: string): readonly unknown[] {
  try {
    const list: unknown = JSON.parse(recall(key) ?? "[]");
    return Array.isArray(list) ? list : [];
  } catch {
    return [];
  }
}
