import type { Dirent } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { systemErrorCode } from "../base/system-errors.ts";
import { fileErrorText } from "./local-files.ts";

/** Something that can be uploaded. */
export interface Sendable {
  /** As the user names it: a path, or `-` for standard input. */
  readonly name: string;
  readonly kind: "file" | "stream";
  /** The file's name at the service; `null` if it has none. */
  readonly filename: string | null;
  /** Bytes; `null` for a stream. */
  readonly size: number | null;
}

/** A path that the user named, or one in a folder that the user named, that cannot be uploaded. */
export type Unsendable =
  | {
      readonly name: string;
      readonly kind: "failed";
      /** The system's error code, such as `ENOENT`. */
      readonly code: string;
      readonly reason: string;
    }
  /** Found in a folder, and not a regular file: a symbolic link, a socket. */
  | { readonly name: string; readonly kind: "skipped"; readonly reason: string };

export function isSendable(source: Sendable | Unsendable): source is Sendable {
  return source.kind === "file" || source.kind === "stream";
}

export interface SourceOptions {
  readonly isRecursive: boolean;
  /** The name of standard input, or of the only file; `null` to take it from the path. */
  readonly name: string | null;
  readonly signal: AbortSignal;
}

/**
 * The sources that `args` name, in their order; files in folders in the order of their names.
 * Symbolic links are followed if the user names them, but not in folders: uploading a folder must
 * not upload files outside it.
 */
export async function* findSources(
  args: readonly string[],
  options: SourceOptions,
): AsyncGenerator<Sendable | Unsendable, void, undefined> {
  const [first, ...others] = args;
  // With several arguments, the name is that of standard input.
  const fileOptions = others.length === 0 && first !== "-" ? options : { ...options, name: null };
  for (const name of args) {
    if (name === "-") yield { name, kind: "stream", filename: options.name, size: null };
    else yield* inspect(name, fileOptions);
  }
}

async function* inspect(name: string, options: SourceOptions): AsyncGenerator<Sendable | Unsendable, void, undefined> {
  if (options.signal.aborted) return;
  try {
    const found = await stat(name);
    if (found.isFile()) yield { name, kind: "file", filename: options.name ?? basename(name), size: found.size };
    else if (!found.isDirectory()) yield { name, kind: "stream", filename: options.name, size: null };
    else if (options.isRecursive) yield* walk(name, { ...options, name: null });
    else yield { name, kind: "failed", code: "EISDIR", reason: "is a folder: add -r to upload the files in it" };
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === null) throw error;
    yield { name, kind: "failed", code, reason: inspectErrorText(name, error) };
  }
}

async function* walk(folder: string, options: SourceOptions): AsyncGenerator<Sendable | Unsendable, void, undefined> {
  const entries = await readdir(folder, { withFileTypes: true });
  entries.sort((one, other) => (one.name < other.name ? -1 : 1));
  for (const entry of entries) {
    const name = join(folder, entry.name);
    if (entry.isFile() || entry.isDirectory()) yield* inspect(name, options);
    else yield { name, kind: "skipped", reason: skipReason(entry) };
  }
}

function skipReason(entry: Dirent): string {
  return entry.isSymbolicLink() ? "a symbolic link: name it to upload what it points to" : "not a regular file";
}

function inspectErrorText(name: string, error: unknown): string {
  // Node decodes arguments as UTF-8 and replaces invalid bytes with this character, so the file
  // cannot be found.
  const isGarbled = name.includes("\ufffd");
  return isGarbled ? "its name is not UTF-8: rename it, or send it as - with --name" : fileErrorText(error);
}
