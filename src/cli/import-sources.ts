import { constants, type Dirent, type Stats } from "node:fs";
import { type FileHandle, open, opendir, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { systemErrorCode } from "../base/system-errors.ts";
import type { Naming } from "../core/file-name.ts";
import type { ByteSource } from "../core/intake.ts";
import type { ForeignObjects } from "../stores/s3/foreign-objects.ts";
import { fileErrorText } from "./local-files.ts";

/** Bytes that are read from a file at a time. */
const READ_CHUNK_BYTES = 1024 * 1024;

/** Neither follows a link that has taken the place of the file, nor waits for the writer of a FIFO. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Something that others have stored, to be imported. */
export interface Importable {
  /** Its path below the folder, or its key below the prefix, with forward slashes. */
  readonly path: string;
  /** Bytes, as it was found. */
  readonly size: number;
  /** Its path in the file system; `null` for an object. */
  readonly localPath: string | null;
  /** Its whole key in the bucket; `null` for a file. */
  readonly key: string | null;
  /** What its link's extension comes from. @default the path */
  readonly naming?: Naming;
  /** Opens it; `null` if it is gone. */
  open(signal: AbortSignal): Promise<OpenedImport | null>;
  /** Opens what has the same name followed by `suffix`; `null` if there is nothing. */
  openBeside(suffix: string, signal: AbortSignal): Promise<OpenedImport | null>;
}

/** Content that is being imported. */
export interface OpenedImport extends AsyncDisposable {
  readonly size: number;
  readonly bytes: ByteSource;
  /** Whether it is still as it was when it was opened. Called once its bytes have been read. */
  isUnchanged(): Promise<boolean>;
}

/** Something that is no file, or cannot be looked at. */
export interface Unimportable {
  readonly path: string;
  /** `skipped`: a symbolic link, a socket, the store itself. */
  readonly status: "skipped" | "failed";
  readonly reason: string;
}

export function isImportable(found: Importable | Unimportable): found is Importable {
  return "open" in found;
}

/**
 * All files below a folder, in constant memory. Symbolic links are not followed.
 *
 * @param ignored the folder of the store, if it is below `root`
 */
export async function* filesBelow(
  root: string,
  ignored: string | null,
  signal: AbortSignal,
): AsyncGenerator<Importable | Unimportable, void, undefined> {
  const ofStore = ignored === null ? null : await stat(ignored).catch(() => null);
  yield* walk(root);

  async function* walk(folder: string): AsyncGenerator<Importable | Unimportable, void, undefined> {
    try {
      for await (const entry of await opendir(folder)) {
        signal.throwIfAborted();
        yield* found(folder, entry);
      }
    } catch (error) {
      if (folder === root || systemErrorCode(error) === null) throw error;
      yield { path: pathOf(folder), status: "failed", reason: fileErrorText(error) };
    }
  }

  async function* found(folder: string, entry: Dirent): AsyncGenerator<Importable | Unimportable, void, undefined> {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (ofStore !== null && isSameFile(ofStore, await stat(path))) {
        yield { path: pathOf(path), status: "skipped", reason: "the folder of the store" };
      } else yield* walk(path);
    } else if (!entry.isFile()) {
      const reason = entry.isSymbolicLink() ? "a symbolic link" : "not a regular file";
      yield { path: pathOf(path), status: "skipped", reason };
    } else {
      const facts = await stat(path).catch(() => null);
      // Node replaces bytes that are not UTF-8 by this character, so the file cannot be found.
      const isGarbled = facts === null && entry.name.includes("\ufffd");
      if (isGarbled) yield { path: pathOf(path), status: "failed", reason: "its name is not UTF-8: rename it" };
      else if (facts !== null) {
        const openBeside = (suffix: string): Promise<OpenedImport | null> => openIfNameable(path + suffix);
        yield {
          path: pathOf(path),
          size: facts.size,
          localPath: path,
          key: null,
          open: () => openFile(path),
          openBeside,
        };
      }
    }
  }

  function pathOf(path: string): string {
    return relative(root, path).replaceAll("\\", process.platform === "win32" ? "/" : "\\");
  }
}

/** All objects below the prefix of a bucket. The objects stay open until the last one has been read. */
export async function* objectsIn(
  objects: ForeignObjects,
  keyPrefix: string,
  signal: AbortSignal,
): AsyncGenerator<Importable, void, undefined> {
  for await (const { key, size } of objects.list(signal)) {
    // Consoles show an empty object with such a key as a folder.
    if (key.endsWith("/") && size === 0) continue;
    yield {
      path: key.slice(keyPrefix.length),
      size,
      localPath: null,
      key,
      open: (reading) => openObject(objects, key, reading),
      openBeside: (suffix, reading) => openObject(objects, key + suffix, reading),
    };
  }
}

async function openObject(objects: ForeignObjects, key: string, signal: AbortSignal): Promise<OpenedImport | null> {
  const reader = await objects.open(key, signal);
  if (reader === null) return null;
  const dispose = async (): Promise<void> => await reader[Symbol.asyncDispose]();
  // An object is replaced as a whole: what was opened is read to its end.
  return { size: reader.size, bytes: reader, isUnchanged: async () => true, [Symbol.asyncDispose]: dispose };
}

/** As `openFile`; also `null` for a name that is longer than the file system can have. */
async function openIfNameable(path: string): Promise<OpenedImport | null> {
  try {
    return await openFile(path);
  } catch (error) {
    if (systemErrorCode(error) === "ENAMETOOLONG") return null;
    throw error;
  }
}

async function openFile(path: string): Promise<OpenedImport | null> {
  let file: FileHandle;
  try {
    file = await open(path, READ_FLAGS);
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return null;
    throw error;
  }
  const dispose = async (): Promise<void> => await file.close();
  try {
    const before = await file.stat();
    if (!before.isFile()) {
      await dispose();
      return null;
    }
    return {
      size: before.size,
      bytes: bytesOf(file),
      isUnchanged: async () => isUnchanged(before, await file.stat()),
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function* bytesOf(file: FileHandle): AsyncGenerator<Uint8Array, void, undefined> {
  for (let position = 0; ;) {
    const { buffer, bytesRead } = await file.read(
      Buffer.allocUnsafeSlow(READ_CHUNK_BYTES),
      0,
      READ_CHUNK_BYTES,
      position,
    );
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/** A program that writes sets the times, and the time of the last change of status cannot be set back. */
function isUnchanged(before: Stats, after: Stats): boolean {
  return before.size === after.size && before.mtimeMs === after.mtimeMs && before.ctimeMs === after.ctimeMs;
}

function isSameFile(one: Stats, other: Stats): boolean {
  return one.dev === other.dev && one.ino === other.ino;
}
