import { fstatSync, writeSync } from "node:fs";
import { isatty } from "node:tty";
import { EXIT, SIGPIPE_EXIT } from "./exit-codes.ts";
import { systemErrorCode } from "../base/system-errors.ts";
import { fileTrouble } from "./file-trouble.ts";

const STDOUT = 1;

/**
 * What commands print. Output that cannot be written (a full disk, a reader that has gone) is a failure of the command: it is
 * asked to stop, one line on standard error says why, and the process ends with `SIGPIPE_EXIT` or `EXIT.failed`.
 */

/** Of the first failure; `null` while all could be written. */
let failedExitCode: number | null = null;
let isWatched = false;
const listeners = new Set<() => void>();

/** Prints text on standard output. */
export function print(text: string): void {
  watchOutput();
  if (failedExitCode !== null) return;
  if (!isFile()) return void process.stdout.write(text);
  try {
    writeWhole(Buffer.from(text));
  } catch (error) {
    fail("standard output", error);
  }
}

/** Writes bytes to standard output. Resolves when there is room for more. @throws what the system answers */
export async function printBytes(bytes: Uint8Array, signal: AbortSignal): Promise<void> {
  watchOutput();
  signal.throwIfAborted();
  if (isFile()) {
    try {
      return writeWhole(bytes);
    } catch (error) {
      fail("standard output", error);
      throw error;
    }
  }
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const stop = (): void => reject(signal.reason);
  signal.addEventListener("abort", stop);
  process.stdout.write(bytes, (error) => (error ? reject(error) : resolve()));
  await promise.finally(() => signal.removeEventListener("abort", stop));
}

/** Notices output that cannot be written, from now on. */
export function watchOutput(): void {
  if (isWatched) return;
  isWatched = true;
  process.stdout.on("error", (error) => fail("standard output", error));
  process.stderr.on("error", (error) => fail("standard error", error));
}

/** The exit code of a process whose output could not be written; `null` where it could. */
export function outputExitCode(): number | null {
  return failedExitCode;
}

/** Calls back when output can no longer be written. @returns what ends that */
export function onOutputFailure(callback: () => void): () => void {
  watchOutput();
  listeners.add(callback);
  return () => void listeners.delete(callback);
}

function fail(name: string, error: unknown): void {
  if (failedExitCode !== null) return;
  const isUnread = systemErrorCode(error) === "EPIPE";
  const exitCode = isUnread ? SIGPIPE_EXIT : EXIT.failed;
  failedExitCode = exitCode;
  // whatever the command itself ends with: it may know nothing of it, or have ended
  process.on("exit", () => {
    if (!SIGNALLED.has(Number(process.exitCode))) process.exitCode = exitCode;
  });
  const reason = isUnread ? "its reader has gone" : fileTrouble(error);
  process.stderr.write(`fixity: ${name} cannot be written: ${reason}\n`);
  for (const callback of listeners) callback();
}

/** Exit codes of signals, which came first. */
const SIGNALLED: ReadonlySet<number> = new Set([130, 143]);

/** Whether standard output is a file or a device, which Node writes at once and without looking how much was written. */
function isFile(): boolean {
  const stats = fstatSync(STDOUT);
  return stats.isFile() || (stats.isCharacterDevice() && !isatty(STDOUT));
}

function writeWhole(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(STDOUT, bytes, at);
}
