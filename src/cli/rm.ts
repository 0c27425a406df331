import { once } from "node:events";
import { createInterface } from "node:readline";
import { forEachConcurrent } from "../base/map-concurrent.ts";
import type { Digest } from "../core/digest.ts";
import { FixityError } from "../core/errors.ts";
import { createFixity } from "../core/fixity.ts";
import { parseBlobNames } from "./blob-names.ts";
import { EXIT } from "./exit-codes.ts";
import { Interruption } from "./interruption.ts";
import { paint, print, printJson } from "./output.ts";
import { explainFailure } from "./remote-failure.ts";
import { type Remote, remoteOf } from "./remote.ts";
import { removeBlobAt } from "./service-requests.ts";
import { assertStoreExists, serviceOptions, type StoreCommandSources, withStore } from "./store-command.ts";
import { counted } from "./text.ts";

/** Files that are removed at the same time. */
const CONCURRENCY = 8;

/** What the user asks for. */
export interface RemoveRequest {
  /** Digests or links; `-` for those on standard input. */
  readonly names: readonly string[];
  /** The URL of a service that removes them; `undefined` to remove them from the store itself. */
  readonly from: string | undefined;
  /** The user has confirmed the removal with a flag. */
  readonly isConfirmed: boolean;
  readonly isJson: boolean;
}

/** Removes a blob; `false` if there was none. */
type Remove = (digest: Digest, signal: AbortSignal) => Promise<boolean>;

/**
 * `fixity rm`: removes blobs, and with each all links to it. From a store it does what `DELETE` does
 * at a server; with `from`, a server does it.
 *
 * @throws FixityError `invalid-digest` or `invalid-option` before anything is removed, or a
 *   `store-…` code
 */
export async function removeBlobs(sources: StoreCommandSources, request: RemoveRequest): Promise<number> {
  const { names, from } = request;
  const digests = await parseBlobNames(names);
  if (!request.isConfirmed && !(await confirm(digests, names))) return EXIT.notOk;
  if (from !== undefined)
    return await removeAtService(remoteOf({ endpoint: from, env: sources.env }), digests, request);
  return withStore(sources, async (opened) => {
    await assertStoreExists(opened);
    await using fixity = createFixity({ ...serviceOptions(opened), log: opened.warn });
    const remove: Remove = (digest, signal) => fixity.remove(digest, signal);
    return await removeAll(digests, remove, { signal: opened.signal, isJson: request.isJson });
  });
}

async function removeAtService(remote: Remote, digests: readonly Digest[], { isJson }: RemoveRequest): Promise<number> {
  using interruption = new Interruption();
  const { signal } = interruption;
  const remove: Remove = async (digest) => {
    try {
      return await removeBlobAt(remote, digest, signal);
    } catch (error) {
      signal.throwIfAborted();
      const failure = explainFailure(error, remote);
      if (failure === null) throw error;
      throw new FixityError("store-unavailable", failure.reason, { cause: error });
    }
  };
  try {
    const code = await removeAll(digests, remove, { signal, isJson });
    return interruption.exitCode ?? code;
  } catch (error) {
    if (interruption.exitCode === null) throw error;
    return interruption.exitCode;
  }
}

async function removeAll(
  digests: readonly Digest[],
  remove: Remove,
  { signal, isJson }: { readonly signal: AbortSignal; readonly isJson: boolean },
): Promise<number> {
  const counts = { removed: 0, missing: 0, failed: 0 };
  let isComplete = false;
  const removeOne = async (digest: Digest): Promise<void> => {
    const outcome = await outcomeOf(digest, remove, signal);
    const { status } = outcome;
    counts[status] += 1;
    if (isJson) return printJson(outcome);
    const reason = outcome.reason === undefined ? "" : `  ${outcome.reason}`;
    const word = status === "removed" ? status.padEnd(7) : paint("red", status.padEnd(7));
    print(`${word}  ${digest.toString()}${reason}\n`);
  };
  try {
    await forEachConcurrent(digests, CONCURRENCY, removeOne, signal);
    isComplete = true;
  } finally {
    if (isJson) printJson({ status: isComplete ? "done" : "stopped", ...counts });
  }
  return counts.missing + counts.failed === 0 ? EXIT.ok : EXIT.notOk;
}

interface RemoveOutcome {
  readonly status: "removed" | "missing" | "failed";
  readonly digest: Digest;
  readonly code?: string;
  readonly reason?: string;
}

/** @throws what would fail for every blob */
async function outcomeOf(digest: Digest, remove: Remove, signal: AbortSignal): Promise<RemoveOutcome> {
  try {
    return { status: (await remove(digest, signal)) ? "removed" : "missing", digest };
  } catch (error) {
    signal.throwIfAborted();
    // Something that is not a file stands in the place of this one.
    if (!(error instanceof FixityError) || error.code !== "store-misconfigured") throw error;
    return { status: "failed", digest, code: error.code, reason: error.message };
  }
}

/**
 * Asks on the terminal.
 *
 * @throws FixityError `invalid-option` if there is none to ask on
 */
async function confirm(digests: readonly Digest[], names: readonly string[]): Promise<boolean> {
  if (names.includes("-") || !process.stdin.isTTY || !process.stderr.isTTY) {
    throw invalid("A removed file is gone for good, and there is no terminal to ask on: confirm with --yes.");
  }
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  const what = digests.length === 1 ? String(digests[0]) : counted(digests.length, "file");
  lines.setPrompt(`Remove ${what}, and every link to it? This cannot be undone. [y/N] `);
  lines.prompt();
  try {
    // Ctrl-D and Ctrl-C close it without a line.
    const [answer] = (await Promise.race([once(lines, "line"), once(lines, "close")])) as [string?];
    if (answer !== undefined && /^y(?:es)?$/i.test(answer.trim())) return true;
    process.stderr.write(`${answer === undefined ? "\n" : ""}Nothing was removed.\n`);
    return false;
  } finally {
    lines.close();
  }
}

function invalid(message: string): FixityError {
  return new FixityError("invalid-option", message);
}
