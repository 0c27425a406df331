import { DOCUMENT_MAX_BYTES, type DocumentStore } from "../document-store.ts";
import { EMPTY_BYTES, type Entry, formatEntries, formatEntry } from "./event.ts";
import { EVENTS_PREFIX, newSharedName, readEntries } from "./outbox.ts";

/** The collection of documents with events that were given up. */
const DEAD_PREFIX = "dead-events/";

/** An event that was given up. */
export interface DeadEvent {
  /** The document it is in. */
  readonly name: string;
  readonly entry: Entry;
}

/** Writes events as dead letters, in as few documents as they fit into. */
export async function writeDeadEvents(documents: DocumentStore, entries: readonly Entry[]): Promise<void> {
  let lines: string[] = [];
  let size = EMPTY_BYTES;
  const write = async (): Promise<void> => {
    if (lines.length > 0) await documents.write(newSharedName(DEAD_PREFIX), formatEntries(lines), { ifAbsent: true });
    lines = [];
    size = EMPTY_BYTES;
  };
  for (const line of entries.map(formatEntry)) {
    if (size + Buffer.byteLength(line) > DOCUMENT_MAX_BYTES) await write();
    lines.push(line);
    size += Buffer.byteLength(line);
  }
  await write();
}

/** All dead letters, those of older documents first. */
export async function* listDeadEvents(documents: DocumentStore, signal?: AbortSignal): AsyncGenerator<DeadEvent> {
  const names: string[] = [];
  for await (const { name } of documents.list(DEAD_PREFIX, signal)) names.push(name);
  for (const name of names.sort()) {
    signal?.throwIfAborted();
    for (const entry of (await readEntries(documents, name))?.entries ?? []) yield { name, entry };
  }
}

/**
 * Takes dead letters out of their documents, and perhaps puts them back to be delivered by whichever
 * process looks next. A crash in between leaves them in both places.
 *
 * @param isWanted those to take out
 * @returns how many
 */
export async function takeDeadEvents(
  documents: DocumentStore,
  { isWanted, retries }: { readonly isWanted: (entry: Entry) => boolean; readonly retries: boolean },
  signal?: AbortSignal,
): Promise<number> {
  let taken = 0;
  for await (const { name } of documents.list(DEAD_PREFIX, signal)) {
    signal?.throwIfAborted();
    const found = await readEntries(documents, name);
    const wanted = found?.entries.filter(isWanted) ?? [];
    if (found === null || wanted.length === 0) continue;
    if (retries) {
      const since = Date.now();
      const lines = wanted.map((entry) => formatEntry({ ...entry, since }));
      await documents.write(newSharedName(EVENTS_PREFIX), formatEntries(lines), { ifAbsent: true });
    }
    const others = found.entries.filter((entry) => !wanted.includes(entry));
    if (others.length === 0) await documents.remove(name, found.tag);
    else await documents.write(name, formatEntries(others.map(formatEntry)), { ifMatch: found.tag });
    taken += wanted.length;
  }
  return taken;
}
