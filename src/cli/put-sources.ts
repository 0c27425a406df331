import type { Dirent } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { systemErrorCode } from "../base/system-errors.ts";
import { fileTrouble } from "./file-trouble.ts";

/** Something to be sent. */
export interface Sendable {
  /** As the user names it: a path, or `-` for standard input. */
  readonly name: string;
  readonly kind: "file" | "stream";
  /** What the file is called at the service; `null` where it has no name. */
  readonly filename: string | null;
  /** Bytes; `null` of what comes in by and by. */
  readonly size: number | null;
}

/** Something that was named, or lies in a folder that was, and is not sent. */
export type Unsendable =
  | {
      readonly name: string;
      readonly kind: "failed";
      /** The system's, such as `ENOENT`. */
      readonly code: string;
      readonly reason: string;
    }
  /** Nobody named it, and it is no file of its own: a symbolic link, a socket. */
  | { readonly name: string; readonly kind: "skipped"; readonly reason: string };

export function isSendable(source: Sendable | Unsendable): source is Sendable {
  return source.kind === "file" || source.kind === "stream";
}

/** How arguments are looked at. */
export interface SourceOptions {
  readonly isRecursive: boolean;
  /** What standard input, or the one file, is called; `null` for what its path says. */
  readonly name: string | null;
  readonly signal: AbortSignal;
}

/**
 * What `args` name, in their order, and the files of folders in the order of their names. Symbolic links are followed where
 * the user names them, and not where they lie in a folder: whoever sends a folder does not send what else it leads to.
 */
export async function* findSources(
  args: readonly string[],
  options: SourceOptions,
): AsyncGenerator<Sendable | Unsendable, void, undefined> {
  const [only, ...others] = args;
  // with several arguments the name is that of standard input
  const rest = others.length === 0 && only !== "-" ? options : { ...options, name: null };
  for (const name of args) {
    if (name === "-") yield { name, kind: "stream", filename: options.name, size: null };
    else yield* lookAt(name, rest);
  }
}

async function* lookAt(name: string, options: SourceOptions): AsyncGenerator<Sendable | Unsendable, void, undefined> {
  if (options.signal.aborted) return;
  try {
    const found = await stat(name);
    if (found.isFile()) yield { name, kind: "file", filename: options.name ?? basename(name), size: found.size };
    else if (!found.isDirectory()) yield { name, kind: "stream", filename: options.name, size: null };
    else if (options.isRecursive) yield* walk(name, { ...options, name: null });
    else yield { name, kind: "failed", code: "EISDIR", reason: "is a folder: add -r to send the files in it" };
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === null) throw error;
    yield { name, kind: "failed", code, reason: lookTrouble(name, error) };
  }
}

async function* walk(folder: string, options: SourceOptions): AsyncGenerator<Sendable | Unsendable, void, undefined> {
  const entries = await readdir(folder, { withFileTypes: true });
  entries.sort((one, other) => (one.name < other.name ? -1 : 1));
  for (const entry of entries) {
    const name = join(folder, entry.name);
    if (entry.isFile() || entry.isDirectory()) yield* lookAt(name, options);
    else yield { name, kind: "skipped", reason: reasonToSkip(entry) };
  }
}

function reasonToSkip(entry: Dirent): string {
  return entry.isSymbolicLink() ? "a symbolic link: name it to send what it leads to" : "no file";
}

function lookTrouble(name: string, error: unknown): string {
  // what this program was given is text, and Node has put this in where the bytes of a name were none
  const isGarbled = name.includes("\ufffd");
  return isGarbled ? "its name is not UTF-8: rename it, or send it as - with --name" : fileTrouble(error);
}
