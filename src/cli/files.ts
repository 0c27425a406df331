import { stat } from "node:fs/promises";
import { systemErrorCode } from "../base/system-errors.ts";

/** When a file was last changed; `null` where there is none. */
export async function lastChange(path: string): Promise<Date | null> {
  try {
    return (await stat(path)).mtime;
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return null;
    throw error;
  }
}

/** `false` where what was to be moved or removed is gone: another process was first. */
export async function unlessGone(call: Promise<void>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return false;
    throw error;
  }
}
