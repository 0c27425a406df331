import { FixityError } from "../core/errors.ts";
import { EXIT } from "./exit-codes.ts";
import { inOrder } from "./in-order.ts";
import { Interruption } from "./interruption.ts";
import { PutReport } from "./put-report.ts";
import { PutRun } from "./put-run.ts";
import { findSources, isSendable, type Sendable, type Unsendable } from "./put-sources.ts";
import { reach } from "./reach.ts";
import type { Trouble } from "./remote-trouble.ts";
import { type Remote, remoteOf, type RemoteSources } from "./remote.ts";
import type { Environment } from "../settings/config.ts";

/** Bytes up to which files are small, on average. */
const SMALL = 1024 * 1024;

/** What `fixity put` is asked for. */
export interface PutRequest {
  readonly files: readonly string[];
  readonly isRecursive: boolean;
  /** What standard input, or the one file, is called. */
  readonly name: string | null;
  /** Files on their way at a time; `null` for what suits their sizes. */
  readonly concurrency: number | null;
  readonly isQuiet: boolean;
  readonly isJson: boolean;
}

/**
 * `fixity put`: sends files, and prints their links in the order in which the files are named.
 *
 * @returns the exit code
 * @throws FixityError `invalid-option`
 */
export async function putFiles(sources: RemoteSources, request: PutRequest): Promise<number> {
  assertPlain(request);
  const remote = remoteOf(sources);
  using interruption = new Interruption();
  const { signal } = interruption;
  const [found, answered] = await Promise.all([findAll(request, signal), reach(remote, signal)]);
  const trouble = found.some(isSendable) ? answered : null;
  const code = await sendAll(remote, { request, found, trouble, env: sources.env, signal });
  return interruption.exitCode ?? code;
}

/** Standard input can be read once, and one name is for one file. */
function assertPlain({ files, name }: PutRequest): void {
  const inputs = files.filter((file) => file === "-").length;
  if (inputs > 1) throw new FixityError("invalid-option", "Standard input (-) can be sent once only.");
  if (name === null || inputs === 1 || files.length === 1) return;
  throw new FixityError("invalid-option", "--name is for standard input (-) or a single file.");
}

async function findAll(
  { files, isRecursive, name }: PutRequest,
  signal: AbortSignal,
): Promise<readonly (Sendable | Unsendable)[]> {
  const found: (Sendable | Unsendable)[] = [];
  for await (const source of findSources(files, { isRecursive, name, signal })) {
    if (signal.aborted) break;
    found.push(source);
  }
  return found;
}

/** With small files most of the time is waiting, for answers and for disks; with large ones a few fill the line. */
function usualConcurrency(files: readonly Sendable[]): number {
  const bytes = files.reduce((sum, { size }) => sum + (size ?? Infinity), 0);
  return bytes <= files.length * SMALL ? 16 : 4;
}

interface Work {
  readonly request: PutRequest;
  readonly found: readonly (Sendable | Unsendable)[];
  /** What keeps all files from being sent. */
  readonly trouble: Trouble | null;
  readonly env: Environment;
  readonly signal: AbortSignal;
}

async function sendAll(remote: Remote, { request, found, trouble, env, signal }: Work): Promise<number> {
  const concurrency = request.concurrency ?? usualConcurrency(found.filter(isSendable));
  using run = new PutRun(remote, { found, env, concurrency, signal });
  using report = new PutReport({ ...request, env }, () => run.transfers());
  if (trouble === null) {
    await inOrder(found, {
      atOnce: concurrency,
      work: async (source) => run.send(source),
      take: (outcome) => report.tell(outcome),
      signal: run.signal,
    });
  }
  const general = trouble ?? run.trouble;
  if (general !== null && !signal.aborted) report.warn(general.reason);
  report.sumUp(found.length);
  if (general !== null) return EXIT.failed;
  return report.failed === 0 ? EXIT.ok : EXIT.notOk;
}
