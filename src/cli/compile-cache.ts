import { enableCompileCache } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Environment } from "../settings/config.ts";

/**
 * Keeps compiled code from one start to the next, which halves the time of a start. In the user's own cache, not in Node's
 * usual place below the shared temporary folder: whoever makes that folder first decides what code others run.
 * `NODE_COMPILE_CACHE` and `NODE_DISABLE_COMPILE_CACHE` go before.
 */
export function cacheCompiledCode(env: Environment): void {
  const folder = env["XDG_CACHE_HOME"] || ownCache();
  if (folder !== null) enableCompileCache(join(folder, "fixity"));
}

/** `null` for a user without a home, as in some containers. */
function ownCache(): string | null {
  try {
    return join(homedir(), ".cache");
  } catch {
    return null;
  }
}
