/**
 * The oldest major version of Node that fixity runs on; package.json's `engines` states the same.
 */
const MIN_NODE_MAJOR = 24;

/** The part of `process.versions` that decides. */
interface RuntimeVersions {
  readonly node?: string | undefined;
  readonly bun?: string | undefined;
  readonly deno?: string | undefined;
}

/**
 * `null` where this runtime can run fixity, otherwise a sentence that states the required version.
 * Bun and Deno report the version of Node whose API they imitate, which says nothing about what
 * they can do, so they are not refused.
 *
 * This module and all that loads it before the answer is known must run on any Node that can load
 * modules: no static import of a name that older versions lack, since that fails before the first
 * line is executed.
 */
export function unsupportedRuntime(versions: RuntimeVersions = process.versions): string | null {
  const { node, bun, deno } = versions;
  if (node === undefined || bun !== undefined || deno !== undefined) return null;
  const major = Number.parseInt(node, 10);
  return major < MIN_NODE_MAJOR ? `fixity needs Node ${MIN_NODE_MAJOR} or newer; this is v${node}.` : null;
}
