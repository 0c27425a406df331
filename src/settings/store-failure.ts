/**
 * What an operator reads when the configured store cannot be used: the setting with its value, the
 * failed system call, and what to do. The messages of the stores themselves name no folder and no
 * bucket, because clients of a server read those.
 */
import { accessSync, constants, statSync } from "node:fs";
import { userInfo } from "node:os";
import path from "node:path";
import { printable } from "../base/printable.ts";
import { redacted } from "../base/redact.ts";
import { FixityError } from "../core/errors.ts";
import type { Config } from "./config.ts";

/** A failed system call: the first one in the chain of causes. */
type SystemError = NodeJS.ErrnoException & { readonly code: string };

/** Settings to check after a failed request to a bucket, by the provider's code. */
const BUCKET_REMEDIES: Readonly<Record<string, string>> = {
  NoCredentials: "Set UPLOAD_BUCKET_ACCESS_KEY and UPLOAD_BUCKET_SECRET_KEY.",
  InvalidAccessKeyId: "Check UPLOAD_BUCKET_ACCESS_KEY.",
  SignatureDoesNotMatch: "Check UPLOAD_BUCKET_SECRET_KEY.",
  InvalidToken: "Check UPLOAD_BUCKET_SESSION_TOKEN.",
  ExpiredToken: "Set new ones, and UPLOAD_BUCKET_SESSION_TOKEN.",
  NoSuchBucket: "Create it, or check UPLOAD_BUCKET_NAME and UPLOAD_BUCKET_ENDPOINT.",
  AuthorizationHeaderMalformed: "Check UPLOAD_BUCKET_REGION.",
  PermanentRedirect: "Check UPLOAD_BUCKET_REGION.",
};

const READING_CALLS: ReadonlySet<string> = new Set(["access", "read", "scandir", "stat"]);

const ANOTHER_FOLDER = "set UPLOAD_DIR or --dir to another folder";

/**
 * The error for an operator who has configured a store that cannot be used. Other errors than those
 * of stores are returned as they are.
 */
export function explainStoreFailure(error: unknown, config: Config): unknown {
  if (!(error instanceof FixityError) || !error.code.startsWith("store-")) return error;
  const message =
    config.bucketName === undefined ? folderFailure(error, config) : bucketFailure(error, config.bucketName);
  return new FixityError(error.code, message, { cause: error });
}

function bucketFailure(error: FixityError, bucket: string): string {
  const { cause } = error;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  const isUnreachable = error.code === "store-unavailable";
  const remedy = BUCKET_REMEDIES[code] ?? (isUnreachable ? "Check UPLOAD_BUCKET_ENDPOINT, or try again later." : "");
  return `Cannot use UPLOAD_BUCKET_NAME=${bucket}: ${error.message} ${remedy}`.trimEnd();
}

function folderFailure(error: FixityError, { dir, dirGroup }: Config): string {
  const failed = systemErrorOf(error);
  const setting = `UPLOAD_DIR=${printable(dir)}`;
  if (failed === null) return `Cannot use ${setting}: ${error.message}`;
  // A group is the only reason to change an owner.
  if (dirGroup !== undefined && /chown/.test(failed.syscall ?? "")) {
    const fact = `Cannot give ${setting} to UPLOAD_DIR_GROUP=${dirGroup} (${reasonOf(failed)}).`;
    return `${fact} Add user ${userName()} to that group (usermod -aG), and start again from a new login.`;
  }
  const problem = READING_CALLS.has(failed.syscall ?? "") ? "Cannot read" : "Cannot write to";
  return `${problem} ${setting} (${reasonOf(failed)}). ${folderRemedy(failed, path.resolve(dir))}`;
}

/** A path in it may have the id of an upload, which is a secret. */
function reasonOf({ message }: SystemError): string {
  return redacted(printable(message));
}

function folderRemedy({ code }: SystemError, dir: string): string {
  switch (code) {
    case "EACCES":
    case "EPERM":
      return permissionRemedy(dir);
    case "EEXIST":
    case "ENOTDIR": {
      const file = ancestorsOf(dir).find((ancestor) => isFile(ancestor));
      return file === undefined
        ? `It has a file where a store has a folder: restore it from a backup, or ${ANOTHER_FOLDER}.`
        : `${printable(file)} is a file: remove it, or ${ANOTHER_FOLDER}.`;
    }
    case "EROFS":
      return `Mount the file system for writing, or ${ANOTHER_FOLDER}.`;
    case "ENOSPC":
    case "EDQUOT":
      return `Free some space, or ${ANOTHER_FOLDER}.`;
    case "EMFILE":
    case "ENFILE":
      return "Raise the limit of open files (ulimit -n).";
    case "EIO":
      return "Check the disk (dmesg shows its errors).";
    // Some file systems, such as /proc, refuse new files with this code.
    case "ENOENT":
      return `Nothing can be created there: ${ANOTHER_FOLDER}.`;
    default:
      return "Set UPLOAD_DIR or --dir to another folder; 'fixity doctor' tests what a folder can do.";
  }
}

/** Names the folder that refuses the user, and the command that gives access. */
function permissionRemedy(dir: string): string {
  const user = userName();
  const ancestors = ancestorsOf(dir);
  const closed = ancestors.find((ancestor) => isRefused(ancestor, constants.X_OK) && ancestor !== dir);
  if (closed !== undefined) {
    return `User ${user} may not enter ${printable(closed)}: change its permissions, or ${ANOTHER_FOLDER}.`;
  }
  if (process.getuid?.() === 0) return `Not even root may write there: ${ANOTHER_FOLDER}.`;
  const command = ancestors.some((ancestor) => ancestor === dir && exists(ancestor))
    ? `chown -R ${user} ${shellQuoted(dir)}`
    : `install -d -o ${user} ${shellQuoted(dir)}`;
  return `User ${user} has no permission: ${ANOTHER_FOLDER}, or run: sudo ${command}`;
}

/** The folder with all folders above it, from the root on. */
function ancestorsOf(folder: string): readonly string[] {
  const parent = path.dirname(folder);
  return parent === folder ? [folder] : [...ancestorsOf(parent), folder];
}

function isRefused(place: string, mode: number): boolean {
  try {
    accessSync(place, mode);
    return false;
  } catch (error) {
    return (error as SystemError).code === "EACCES";
  }
}

function exists(place: string): boolean {
  return statSync(place, { throwIfNoEntry: false }) !== undefined;
}

function isFile(place: string): boolean {
  try {
    return !statSync(place).isDirectory();
  } catch {
    return false;
  }
}

/** The name of the user who runs this process; a container may have a number only. */
export function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? "of this process");
  }
}

function shellQuoted(text: string): string {
  return /^[\w./@+-]+$/.test(text) ? text : `'${printable(text).replaceAll("'", "'\\''")}'`;
}

function systemErrorOf(error: unknown): SystemError | null {
  if (!(error instanceof Error)) return null;
  if ("code" in error && "errno" in error && typeof error.code === "string") return error as SystemError;
  return systemErrorOf(error.cause);
}
