import { createReadStream } from "node:fs";
import { lstat, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Digest } from "../core/digest.ts";
import { systemErrorCode } from "../base/system-errors.ts";
import { digestOf } from "../core/intake.ts";
import { localName } from "./local-name.ts";
import type { RemoteLink } from "./remote.ts";

/**
 * The path for what a link gives: the one that the user wants, or in the folder that the user wants a name of its own. That is
 * what `?filename=` of the link says, as it would be in a browser, or else the link's last segment.
 */
export async function destinationOf({ url, link }: RemoteLink, output: string | null): Promise<string> {
  const name = localName(url.searchParams.get("filename")) ?? link.toString();
  if (output === null) return name;
  return output.endsWith("/") || (await isFolder(output)) ? join(output, name) : output;
}

/** What stands at a path: `same` are the very bytes, `file` is another file, `other` is none (a folder, a device). */
export type Standing = "nothing" | "same" | "file" | "other";

/** Looks what stands at `path`, to be compared with the bytes that are to come there. */
export async function standingAt(
  path: string,
  { digest, size }: { readonly digest: Digest; readonly size: number },
): Promise<Standing> {
  const found = await statsOf(path);
  if (found === null) return "nothing";
  // what a symbolic link leads to is not what would be replaced
  if (found.isSymbolicLink()) return "file";
  if (!found.isFile()) return "other";
  if (found.size !== size) return "file";
  const content = await digestOf(createReadStream(path, { highWaterMark: 1 << 20 }));
  return content.digest.equals(digest) ? "same" : "file";
}

async function statsOf(path: string): Promise<Awaited<ReturnType<typeof lstat>> | null> {
  try {
    return await lstat(path);
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return null;
    throw error;
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    // whatever is wrong with it is found out where it is used
    return false;
  }
}
