/**
 * What the page remembers: for this tab (`sessionStorage`) or on this device (`localStorage`). In a
 * browser that blocks site data, even accessing a storage throws; a full storage throws at each
 * write. The page then works, and remembers nothing.
 */

export type Place = "tab" | "device";

/** Returns the text under a key; `null` if there is none, or it cannot be read. */
export function read(place: Place, key: string): string | null {
  try {
    return storageOf(place).getItem(key);
  } catch {
    return null;
  }
}

/**
 * Replaces the text under a key, or removes it. If the new text cannot be stored, the old one is
 * removed as well, because it is out of date.
 */
export function write(place: Place, key: string, text: string | null): void {
  try {
    if (text === null) storageOf(place).removeItem(key);
    else storageOf(place).setItem(key, text);
  } catch {
    if (text !== null) write(place, key, null);
  }
}

/** Returns the list that was remembered as JSON under a key; empty if there is none. */
export function readList(place: Place, key: string): readonly unknown[] {
  try {
    const list: unknown = JSON.parse(read(place, key) ?? "[]");
    return Array.isArray(list) ? list : [];
  } catch {
    return [];
  }
}

function storageOf(place: Place): Storage {
  return place === "tab" ? sessionStorage : localStorage;
}
