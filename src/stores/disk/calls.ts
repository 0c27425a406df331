import fs from "node:fs";
import { promisify } from "node:util";

/**
 * System calls as promises over plain descriptors. `node:fs/promises` wraps a descriptor in a
 * `FileHandle`, which makes the file work of a small upload about a sixth slower. Everything here
 * is asynchronous: tests stop a store between any two of these calls.
 */
export const open: (path: string, flags: string | number, mode?: number) => Promise<number> = promisify(fs.open);
export const close: (fd: number) => Promise<void> = promisify(fs.close);
export const fsync: (fd: number) => Promise<void> = promisify(fs.fsync);
export const fdatasync: (fd: number) => Promise<void> = promisify(fs.fdatasync);
export const ftruncate: (fd: number, length: number) => Promise<void> = promisify(fs.ftruncate);
export const fchmod: (fd: number, mode: number) => Promise<void> = promisify(fs.fchmod);
export const fchown: (fd: number, uid: number, gid: number) => Promise<void> = promisify(fs.fchown);
export const chmod: (path: string, mode: number) => Promise<void> = promisify(fs.chmod);
export const chown: (path: string, uid: number, gid: number) => Promise<void> = promisify(fs.chown);
export const fstat: (fd: number) => Promise<fs.Stats> = promisify(fs.fstat);
export const lstat: (path: string) => Promise<fs.Stats> = promisify(fs.lstat);
export const stat: (path: string) => Promise<fs.Stats> = promisify(fs.stat);
export const link: (from: string, to: string) => Promise<void> = promisify(fs.link);
export const rename: (from: string, to: string) => Promise<void> = promisify(fs.rename);
export const unlink: (path: string) => Promise<void> = promisify(fs.unlink);
export const mkdir: (path: string, mode?: number) => Promise<void> = promisify(fs.mkdir);
export const rmdir: (path: string) => Promise<void> = promisify(fs.rmdir);
export const readdir: (path: string) => Promise<string[]> = promisify(fs.readdir);

/**
 * The facts of a file that often does not exist; `null` then, and if something above it is a file.
 * Asking without an exception costs half of {@link statOrNull}, and every commit asks.
 */
export function look(path: string): Promise<fs.Stats | null> {
  return new Promise((resolve, reject) => {
    fs.stat(path, { throwIfNoEntry: false }, (error, facts) =>
      error === null ? resolve(facts ?? null) : reject(error),
    );
  });
}

/** The facts of a file; `null` if it does not exist. */
export async function statOrNull(path: string): Promise<fs.Stats | null> {
  try {
    return await stat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/**
 * Reads into `bytes` from `position` of the file. Returns how many bytes were read: perhaps fewer,
 * 0 at the end.
 */
export function read(fd: number, bytes: Uint8Array, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(fd, bytes, 0, bytes.length, position, (error, count) => (error === null ? resolve(count) : reject(error)));
  });
}

/**
 * Writes the chunks in one call, at `position`, or after what was written before if that is `null`.
 * Returns how many bytes were taken: perhaps fewer than there are.
 */
export function writev(fd: number, chunks: readonly Uint8Array[], position: number | null = null): Promise<number> {
  return new Promise((resolve, reject) => {
    // @types/node does not allow null; Node writes at the current position for anything that is not
    // a number.
    fs.writev(fd, chunks, position as number, (error, count) => (error === null ? resolve(count) : reject(error)));
  });
}
