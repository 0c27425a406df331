import { fstatSync, writeSync } from "node:fs";
import { isatty } from "node:tty";
import { styleText } from "node:util";
import { printable } from "../base/printable.ts";
import { redacted } from "../base/redact.ts";
import { systemErrorCode } from "../base/system-errors.ts";
import { EXIT, SIGNAL_EXITS, SIGPIPE_EXIT } from "./exit-codes.ts";
import { fileErrorText } from "./local-files.ts";

/*
 * The output of commands: results on standard output, problems on standard error. If output cannot
 * be written (the disk is full, the pipe is closed), the command has failed: its signal is aborted,
 * one line on standard error states why, and the process exits with `SIGPIPE_EXIT` or `EXIT.failed`.
 */

const STDOUT_FD = 1;

/** Exit codes of signals, which a later failure of the output does not replace. */
const SIGNAL_EXIT_CODES: ReadonlySet<number> = new Set(Object.values(SIGNAL_EXITS));

/** Whether a reader that leaves is no news to the user: a list is often cut (`| head`). */
let mayReaderLeave = false;

/** The exit code of the first failure; `null` as long as all output could be written. */
let failureExitCode: number | null = null;
let isWatched = false;
const failureListeners = new Set<() => void>();

/** Prints text on standard output. */
export function print(text: string): void {
  watchOutput();
  if (failureExitCode !== null) return;
  if (!isSynchronous()) return void process.stdout.write(text);
  try {
    writeFully(Buffer.from(text));
  } catch (error) {
    reportFailure("standard output", error);
  }
}

/** Prints a value as one line of JSON. */
export function printJson(value: unknown): void {
  print(`${JSON.stringify(value)}\n`);
}

/** Prints `fixity: <text>` on standard error, without credentials: it may be kept as a log. */
export function printProblem(text: string): void {
  process.stderr.write(`fixity: ${printable(redacted(text))}\n`);
}

/**
 * Text in a style for standard output, if the terminal supports styles and the user wants them
 * (`NO_COLOR`).
 */
export function paint(style: Parameters<typeof styleText>[0], text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

/**
 * Writes bytes to standard output. Resolves when there is room for more.
 *
 * @throws the error of the system
 */
export async function printBytes(bytes: Uint8Array, signal: AbortSignal): Promise<void> {
  watchOutput();
  signal.throwIfAborted();
  if (isSynchronous()) {
    try {
      return writeFully(bytes);
    } catch (error) {
      reportFailure("standard output", error);
      throw error;
    }
  }
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort);
  process.stdout.write(bytes, (error) => (error ? reject(error) : resolve()));
  await promise.finally(() => signal.removeEventListener("abort", onAbort));
}

/** From now on, notices when output cannot be written. */
export function watchOutput(): void {
  if (isWatched) return;
  isWatched = true;
  process.stdout.on("error", (error) => reportFailure("standard output", error));
  process.stderr.on("error", (error) => reportFailure("standard error", error));
}

/** From now on, the command ends without a word if the reader of its output is gone. */
export function letReaderLeave(): void {
  mayReaderLeave = true;
}

/** The exit code of a process whose output could not be written; `null` if it could. */
export function outputExitCode(): number | null {
  return failureExitCode;
}

/** Calls `listener` when output can no longer be written. @returns a function that ends this */
export function onOutputFailure(listener: () => void): () => void {
  watchOutput();
  failureListeners.add(listener);
  return () => void failureListeners.delete(listener);
}

function reportFailure(name: string, error: unknown): void {
  if (failureExitCode !== null) return;
  const isUnread = systemErrorCode(error) === "EPIPE";
  const exitCode = isUnread ? SIGPIPE_EXIT : EXIT.failed;
  failureExitCode = exitCode;
  // Overrides the exit code of the command, which may have ended before the failure.
  process.on("exit", () => {
    if (!SIGNAL_EXIT_CODES.has(Number(process.exitCode))) process.exitCode = exitCode;
  });
  const isExpected = isUnread && mayReaderLeave;
  if (!isExpected) printProblem(`cannot write to ${name}: ${isUnread ? "its reader is gone" : fileErrorText(error)}`);
  for (const listener of failureListeners) listener();
}

/**
 * Whether standard output is a file or a device: Node writes to those synchronously, and ignores
 * partial writes.
 */
function isSynchronous(): boolean {
  const stats = fstatSync(STDOUT_FD);
  return stats.isFile() || (stats.isCharacterDevice() && !isatty(STDOUT_FD));
}

function writeFully(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(STDOUT_FD, bytes, at);
}
