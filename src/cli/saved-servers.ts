import { randomBytes } from "node:crypto";
import { closeSync, constants, fstatSync, lstatSync, openSync, readdirSync, readFileSync, type Stats } from "node:fs";
import { mkdir, rename, unlink, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import path from "node:path";
import { printable } from "../base/printable.ts";
import { systemErrorCode } from "../base/system-errors.ts";
import { FixityError } from "../core/errors.ts";
import type { Environment } from "../settings/config.ts";

/*
 * The servers that `fixity login` has saved, one file each:
 *
 *     $XDG_CONFIG_HOME/fixity/servers/<scheme>_<host>[_<port>].json     ~/.config without the variable
 *
 * A file of its own for each server means that concurrent logins need no lock: each is one rename.
 * The files contain tokens, so they are written with mode 0600, and a file that others can read or
 * may have written is not used.
 */

/** A server, and the token for it. */
export interface SavedServer {
  /** The URL of the uploads. */
  readonly endpoint: string;
  /** `null` for a server that requires none. */
  readonly token: string | null;
  /** Milliseconds since 1970. The latest login is the default server. */
  readonly savedAt: number;
}

const MAX_FILE_BYTES = 64 * 1024;

/** The server with exactly this origin; `null` if none is saved. @throws FixityError `invalid-option` */
export function savedServer(origin: string, env: Environment): SavedServer | null {
  const folder = folderOf(env);
  return folder === null ? null : readServer(path.join(folder, fileNameOf(origin)), origin);
}

/** The server of the latest login; `null` if none is saved. @throws FixityError `invalid-option` */
export function defaultServer(env: Environment): SavedServer | null {
  const folder = folderOf(env);
  if (folder === null) return null;
  const servers = namesIn(folder)
    .filter((name) => name.endsWith(".json"))
    .map((name) => readServer(path.join(folder, name), null))
    .filter((server) => server !== null);
  return servers.toSorted((one, other) => other.savedAt - one.savedAt)[0] ?? null;
}

/** Saves a server, or replaces it. @throws FixityError `invalid-option` */
export async function saveServer(server: SavedServer, env: Environment): Promise<string> {
  const folder = folderOf(env);
  if (folder === null) throw invalid("There is no home folder to save the login in: set XDG_CONFIG_HOME.");
  const file = path.join(folder, fileNameOf(new URL(server.endpoint).origin));
  const temporary = `${file}.${randomBytes(6).toString("hex")}.new`;
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    refuseUnlessPrivate(folder, lstatSync(folder));
    await writeFile(temporary, `${JSON.stringify(server, null, 2)}\n`, { mode: 0o600, flag: "wx" });
    await rename(temporary, file);
  } catch (error) {
    throw error instanceof FixityError ? error : invalid(`Cannot write ${printable(file)}: ${messageOf(error)}`, error);
  }
  return file;
}

/** Removes a server. Returns `false` if it was not saved. */
export async function removeServer(origin: string, env: Environment): Promise<boolean> {
  const folder = folderOf(env);
  if (folder === null) return false;
  const file = path.join(folder, fileNameOf(origin));
  try {
    await unlink(file);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw invalid(`Cannot remove ${printable(file)}: ${messageOf(error)}`, error);
  }
}

function folderOf(env: Environment): string | null {
  // A relative path must be ignored (XDG Base Directory Specification).
  const given = env["XDG_CONFIG_HOME"] ?? "";
  if (path.isAbsolute(given)) return path.join(given, "fixity", "servers");
  try {
    return path.join(env["HOME"] || homedir(), ".config", "fixity", "servers");
  } catch {
    return null;
  }
}

function fileNameOf(origin: string): string {
  return `${origin.replaceAll(/[^a-z0-9.-]+/g, "_")}.json`;
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (isMissing(error)) return [];
    throw invalid(`Cannot read ${printable(folder)}: ${messageOf(error)}`, error);
  }
}

/** @param origin that it must have, so that its token is sent nowhere else; `null` for any */
function readServer(file: string, origin: string | null): SavedServer | null {
  let text: string;
  try {
    const fd = openSync(file, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
    try {
      refuseUnlessPrivate(file, fstatSync(fd));
      text = readFileSync(fd, "utf8");
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (error instanceof FixityError) throw error;
    if (isMissing(error)) return null;
    if (systemErrorCode(error) === "ELOOP") throw unusable(file, "is a symbolic link");
    throw invalid(`Cannot read ${printable(file)}: ${messageOf(error)}`, error);
  }
  const server = parseServer(text);
  if (server === null) throw unusable(file, "is damaged");
  if (fileNameOf(new URL(server.endpoint).origin) !== path.basename(file)) throw unusable(file, "is of another server");
  return origin === null || new URL(server.endpoint).origin === origin ? server : null;
}

function parseServer(text: string): SavedServer | null {
  try {
    const value = JSON.parse(text) as Partial<Record<keyof SavedServer, unknown>> | null;
    const { endpoint, token, savedAt } = value ?? {};
    if (typeof endpoint !== "string" || !/^https?:$/.test(URL.parse(endpoint)?.protocol ?? "")) return null;
    if (typeof savedAt !== "number" || (token !== null && typeof token !== "string")) return null;
    return { endpoint, token, savedAt };
  } catch {
    return null;
  }
}

/** Refuses what other users can read, or may have written. */
function refuseUnlessPrivate(place: string, { mode, uid, size }: Stats): void {
  const type = mode & constants.S_IFMT;
  if (type === constants.S_IFREG && size > MAX_FILE_BYTES) throw unusable(place, "is too large");
  if (process.getuid === undefined) return;
  if (uid !== process.getuid()) throw unusable(place, "belongs to another user");
  const others = mode & 0o077;
  // The names of servers are no secret, so others may list the folder.
  if (type === constants.S_IFDIR ? (others & 0o022) !== 0 : others !== 0) {
    throw unusable(place, `is open to other users (mode ${(mode & 0o777).toString(8)})`);
  }
}

function unusable(file: string, problem: string): FixityError {
  return invalid(`${printable(file)} ${problem}: remove it, and log in again with 'fixity login URL'.`);
}

function isMissing(error: unknown): boolean {
  const code = systemErrorCode(error);
  return code === "ENOENT" || code === "ENOTDIR";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? printable(error.message) : String(error);
}

function invalid(message: string, cause?: unknown): FixityError {
  return new FixityError("invalid-option", message, { cause });
}
