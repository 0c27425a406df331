import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { parseObject } from "../formats.ts";
import { isExpired } from "../resume-entry.ts";
import type { UploadStorage } from "../types.ts";

type Entries = Record<string, string>;

/**
 * Remembers uploads in a JSON file, which is replaced as a whole and loses its expired entries. If
 * two processes write at the same time, the entry of one may get lost; its upload then starts over.
 *
 * @param path of the file; its folder is created if necessary
 */
export function fileStorage(path: string): UploadStorage {
  const file = resolve(path);
  let lastChange: Promise<unknown> = Promise.resolve();
  const change = (edit: (entries: Entries) => void): Promise<void> => {
    const done = lastChange.then(async () => {
      const entries = await read(file);
      edit(entries);
      await replace(file, entries);
    });
    lastChange = done.catch(() => null);
    return done;
  };
  return {
    get: async (key) => {
      await lastChange;
      return (await read(file))[key] ?? null;
    },
    set: (key, value) =>
      change((entries) => {
        removeExpired(entries);
        entries[key] = value;
      }),
    remove: (key) => change((entries) => void delete entries[key]),
  };
}

async function read(file: string): Promise<Entries> {
  try {
    return { ...(parseObject(await readFile(file, "utf8")) as Entries | null) };
  } catch {
    return {}; // there is none yet
  }
}

async function replace(file: string, entries: Entries): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}`;
  // the URL of an upload is all that is needed to append to it
  await writeFile(temporary, JSON.stringify(entries), { mode: 0o600 });
  await rename(temporary, file);
}

function removeExpired(entries: Entries): void {
  for (const [key, value] of Object.entries(entries)) if (isExpired(value)) delete entries[key];
}
