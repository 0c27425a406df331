import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { objectIn } from "../answers.ts";
import type { UploadStorage } from "../types.ts";

type Entries = Record<string, string>;

/**
 * Remembers uploads in a JSON file, which is replaced as a whole. Of two processes that write at the same time one may be
 * forgotten: its upload then begins anew. Entries that have expired are removed.
 *
 * @param path of the file; its folder is made where it is not there
 */
export function fileStorage(path: string): UploadStorage {
  const file = resolve(path);
  let last: Promise<unknown> = Promise.resolve();
  const change = (edit: (entries: Entries) => void): Promise<void> => {
    const done = last.then(async () => {
      const entries = await read(file);
      edit(entries);
      await replace(file, entries);
    });
    last = done.catch(() => null);
    return done;
  };
  return {
    get: async (key) => {
      await last;
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
    return { ...(objectIn(await readFile(file, "utf8")) as Entries | null) };
  } catch {
    return {}; // there is none yet
  }
}

async function replace(file: string, entries: Entries): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const written = `${file}.${process.pid}`;
  // who has the address of an upload can go on with it
  await writeFile(written, JSON.stringify(entries), { mode: 0o600 });
  await rename(written, file);
}

function removeExpired(entries: Entries): void {
  for (const [key, value] of Object.entries(entries)) {
    const { expires } = objectIn(value) ?? {};
    if (typeof expires !== "number" || expires <= Date.now()) delete entries[key];
  }
}
