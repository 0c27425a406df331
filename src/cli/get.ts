import { dirname } from "node:path";
import { formatSize } from "../base/format-size.ts";
import { printable } from "../base/printable.ts";
import { systemErrorCode } from "../base/system-errors.ts";
import { type BlobInfo, FixityClientError, type RetryWait } from "../client/node.ts";
import { FixityError } from "../core/errors.ts";
import type { Environment } from "../settings/config.ts";
import { destinationOf, Download, isMismatch } from "./download.ts";
import { EXIT } from "./exit-codes.ts";
import { Interruption } from "./interruption.ts";
import { fileErrorText } from "./local-files.ts";
import { outputExitCode, print, printJson, printProblem } from "./output.ts";
import { ProgressBars, RateMeter, waitingText } from "./progress.ts";
import { explainFailure, statOnce } from "./remote-failure.ts";
import { withoutPage } from "./signed-page.ts";
import { type RemoteLink, remoteLink, type RemoteSources } from "./remote.ts";

export interface GetRequest {
  readonly link: string;
  /**
   * A file, a folder, `-` for standard output, or `null` for the file's own name in the current
   * folder.
   */
  readonly output: string | null;
  readonly mayReplace: boolean;
  readonly isQuiet: boolean;
  readonly isJson: boolean;
}

/** The result of a download. */
type GetOutcome =
  | {
      /** `present`: the file already existed, with these bytes. */
      readonly status: "fetched" | "present";
      /** The path; `null` for standard output. */
      readonly file: string | null;
      readonly info: BlobInfo;
      /** Bytes received in this run. */
      readonly received: number;
    }
  | { readonly status: "missing" }
  /** The received bytes do not match the link. */
  | { readonly status: "damaged" }
  | { readonly status: "failed"; readonly code: string; readonly reason: string }
  | { readonly status: "stopped" };

const EXIT_CODES: Readonly<Record<GetOutcome["status"], number>> = {
  fetched: EXIT.ok,
  present: EXIT.ok,
  missing: EXIT.notOk,
  damaged: EXIT.notOk,
  failed: EXIT.failed,
  stopped: EXIT.failed,
};

/** Codes of file systems without space: the bytes received so far stay for the next run. */
const NO_SPACE_CODES: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT"]);

/**
 * `fixity get`: downloads a file, which gets its name once its bytes are verified.
 *
 * @returns the exit code
 * @throws FixityError `invalid-link` or `invalid-option`
 */
export async function getFile(sources: RemoteSources, request: GetRequest): Promise<number> {
  if (request.isJson && request.output === "-") {
    throw new FixityError("invalid-option", "--json and -o - cannot be combined: both use standard output.");
  }
  const link = remoteLink(request.link, sources);
  using interruption = new Interruption();
  const outcome = await get(link, { ...request, env: sources.env, signal: interruption.signal });
  // Bytes that went to standard output are not kept, so there is nothing to resume.
  if (outcome.status === "stopped" && request.output === "-") {
    return interruption.exitCode ?? outputExitCode() ?? EXIT.failed;
  }
  if (request.isJson) printOutcomeJson(outcome, request.link, link);
  else printOutcome(outcome, request, link);
  return interruption.exitCode ?? EXIT_CODES[outcome.status];
}

interface GetOptions extends GetRequest {
  readonly env: Environment;
  readonly signal: AbortSignal;
}

async function get(given: RemoteLink, options: GetOptions): Promise<GetOutcome> {
  const { output, signal } = options;
  const link = await withoutPage(given, signal);
  try {
    const found = await statOnce(link, link.url, signal);
    if (signal.aborted) return { status: "stopped" };
    if (found.status !== "stored") return found;
    const { info } = found;
    using download = new Download(link, info, signal);
    if (output === "-") {
      await download.toOutput();
      return { status: "fetched", file: null, info, received: info.size };
    }
    return await getToFile(download, await destinationOf(given, output), options);
  } catch (error) {
    if (signal.aborted || outputExitCode() !== null) return { status: "stopped" };
    if (isMismatch(error)) return { status: "damaged" };
    const failure = explainFailure(error, link);
    if (failure === null) throw error;
    return { status: "failed", code: failure.code, reason: failure.reason };
  }
}

async function getToFile(download: Download, path: string, options: GetOptions): Promise<GetOutcome> {
  const { info } = download;
  const { mayReplace, isQuiet, env } = options;
  const existing = await download.compareWith(path);
  if (existing === "same") return { status: "present", file: path, info, received: 0 };
  if (existing === "other") {
    return failed("EEXIST", `${JSON.stringify(path)} exists and is not a file: choose another name with -o`);
  }
  if (existing === "file" && !mayReplace) return alreadyExists(path);
  let bytes = 0;
  let wait: RetryWait | null = null;
  const rate = new RateMeter();
  const name = printable(path);
  using _bars = new ProgressBars(env, () =>
    isQuiet
      ? []
      : [{ name, bytes, total: info.size, rate: rate.sample(bytes), phase: wait === null ? null : waitingText(wait) }],
  );
  try {
    const received = await download.toFile(path, {
      mayReplace,
      onProgress: (now) => (bytes = now),
      onWait: (now) => (wait = now),
    });
    return { status: "fetched", file: path, info, received };
  } catch (error) {
    if (error instanceof FixityClientError) throw error;
    const code = systemErrorCode(error);
    // Another process has created a file of this name in the meantime.
    if (code === "EEXIST") return alreadyExists(path);
    if (code === "ENOENT") {
      return failed(code, `there is no folder ${JSON.stringify(dirname(path))}: create it first`);
    }
    if (code === null) throw error;
    const kept = NO_SPACE_CODES.has(code) ? "; the bytes received so far are kept for the next run" : "";
    return failed(code, `${JSON.stringify(path)}: ${fileErrorText(error)}${kept}`);
  }
}

function alreadyExists(path: string): GetOutcome {
  return failed(
    "EEXIST",
    `${JSON.stringify(path)} already exists: choose another name with -o, or replace it with --force`,
  );
}

function failed(code: string, reason: string): GetOutcome {
  return { status: "failed", code, reason };
}

function printOutcome(outcome: GetOutcome, { link: given, isQuiet }: GetRequest, { digest }: RemoteLink): void {
  switch (outcome.status) {
    case "fetched":
    case "present": {
      const { file } = outcome;
      if (!isQuiet) process.stderr.write(`${printable(file ?? "-")}: ${successText(outcome)}\n`);
      if (file !== null) print(`${file}\n`);
      return;
    }
    case "missing":
      return printProblem(`${given}: the service has no such file`);
    case "damaged":
      return printProblem(
        `${given}: rejected: the received bytes do not match ${String(digest)}; tell the operator of the service`,
      );
    case "failed":
      return printProblem(`${given}: ${outcome.reason}`);
    case "stopped":
      process.stderr.write("Interrupted. Run the same command again to resume.\n");
  }
}

function successText(outcome: GetOutcome & { readonly status: "fetched" | "present" }): string {
  const { size } = outcome.info;
  if (outcome.status === "present") return `already exists and is intact, ${formatSize(size)}`;
  const earlier = outcome.received === size ? "" : ` (${formatSize(size - outcome.received)} of it in an earlier run)`;
  return `fetched and verified, ${formatSize(size)}${earlier}`;
}

function printOutcomeJson(outcome: GetOutcome, given: string, { digest }: RemoteLink): void {
  switch (outcome.status) {
    case "fetched":
    case "present": {
      const { status, file, received, info } = outcome;
      return printJson({ status, link: given, file, digest, size: info.size, type: info.type, received });
    }
    case "missing":
    case "damaged":
      return printJson({ status: outcome.status, link: given, digest });
    case "failed":
      return printJson({ status: "failed", link: given, digest, code: outcome.code, reason: outcome.reason });
    case "stopped":
  }
}
