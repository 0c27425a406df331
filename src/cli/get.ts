import { dirname } from "node:path";
import { type BlobInfo, type Client, createClient, FixityClientError } from "../client/node.ts";
import { FixityError } from "../core/errors.ts";
import { printable } from "../base/printable.ts";
import { Bars } from "./bars.ts";
import { destinationOf, standingAt } from "./destination.ts";
import { EXIT } from "./exit-codes.ts";
import { systemErrorCode } from "../base/system-errors.ts";
import { fileTrouble } from "./file-trouble.ts";
import { fetchFile, isMismatch } from "./fetch-file.ts";
import { type GetOutcome, tellGet } from "./get-report.ts";
import { Interruption } from "./interruption.ts";
import { outputExitCode, printBytes } from "./output.ts";
import { troubleOf } from "./remote-trouble.ts";
import { type RemoteLink, remoteLink, type RemoteSources } from "./remote.ts";
import { Speed } from "./speed.ts";
import type { Environment } from "../settings/config.ts";

/** What `fixity get` is asked for. */
export interface GetRequest {
  readonly link: string;
  /** A file, a folder, `-` for standard output, or `null` for a name of its own in the working folder. */
  readonly output: string | null;
  readonly replaces: boolean;
  readonly isQuiet: boolean;
  readonly isJson: boolean;
}

/**
 * `fixity get`: fetches a file, and gives it its name once its bytes are known to be those of the link.
 *
 * @returns the exit code
 * @throws FixityError `invalid-link` or `invalid-option`
 */
export async function getFile(sources: RemoteSources, request: GetRequest): Promise<number> {
  if (request.isJson && request.output === "-") {
    throw new FixityError("invalid-option", "--json and -o - both want standard output.");
  }
  const remote = remoteLink(request.link, sources);
  using interruption = new Interruption();
  const outcome = await outcomeOf({ remote, request, env: sources.env, signal: interruption.signal });
  // of what was printed nothing is left to go on with
  const isOver = outcome.status === "stopped" && request.output === "-";
  if (isOver) return interruption.exitCode ?? outputExitCode() ?? EXIT.failed;
  const code = tellGet(outcome, { ...request, digest: remote.digest });
  return interruption.exitCode ?? code;
}

/** Errors of a file system without room. */
const FULL: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT"]);

interface Job {
  readonly remote: RemoteLink;
  readonly request: GetRequest;
  readonly env: Environment;
  readonly signal: AbortSignal;
}

async function outcomeOf(job: Job): Promise<GetOutcome> {
  const { remote, signal } = job;
  try {
    const info = await find(remote, signal);
    return info === null ? { status: "missing" } : await get(job, info);
  } catch (error) {
    if (signal.aborted || outputExitCode() !== null) return { status: "stopped" };
    if (isMismatch(error)) return { status: "damaged" };
    const trouble = troubleOf(error, remote);
    if (trouble === null) throw error;
    return { status: "failed", ...trouble };
  }
}

/** Asks once: a mistyped address is told at once, not after many attempts. */
async function find({ endpoint, headers, url }: RemoteLink, signal: AbortSignal): Promise<BlobInfo | null> {
  const client = createClient({ endpoint, headers, storage: null, retry: { attempts: 0 } });
  try {
    return await client.stat(url, { signal });
  } finally {
    client.close();
  }
}

async function get(job: Job, info: BlobInfo): Promise<GetOutcome> {
  const { remote, request } = job;
  const { endpoint, headers } = remote;
  const client = createClient({ endpoint, headers, storage: null });
  try {
    if (request.output === "-") return await getToOutput(job, client, info);
    const path = await destinationOf(remote, request.output);
    return await getToFile(job, { client, info, path });
  } finally {
    client.close();
  }
}

interface Target {
  readonly client: Client;
  readonly info: BlobInfo;
  readonly path: string;
}

async function getToFile({ remote, request, env, signal }: Job, { client, info, path }: Target): Promise<GetOutcome> {
  const { size } = info;
  const { replaces } = request;
  const standing = await standingAt(path, { digest: remote.digest, size });
  if (standing === "same") return { status: "present", file: path, info, received: 0 };
  if (standing === "other") {
    return failed("EEXIST", `${shown(path)} is there, and is no file: choose another name with -o`);
  }
  if (standing === "file" && !replaces) return isTaken(path);
  let bytes = 0;
  const speed = new Speed();
  const name = printable(path);
  using _bars = new Bars(env, () =>
    request.isQuiet ? [] : [{ name, bytes, total: size, rate: speed.at(bytes), doing: null }],
  );
  try {
    const onProgress = (now: number) => (bytes = now);
    const received = await fetchFile({ client, remote, size, path, replaces, signal, onProgress });
    return { status: "fetched", file: path, info, received };
  } catch (error) {
    if (error instanceof FixityClientError) throw error;
    const code = systemErrorCode(error);
    // somebody else has taken the name in the meantime
    if (code === "EEXIST") return isTaken(path);
    if (code === "ENOENT") return failed(code, `there is no folder ${shown(dirname(path))}: make it first`);
    if (code === null) throw error;
    const kept = FULL.has(code) ? ": what has come is kept for the next run" : "";
    return failed(code, `${shown(path)}: ${fileTrouble(error)}${kept}`);
  }
}

/** What is written there is verified at its end only: the exit code says how that went. */
async function getToOutput({ remote, signal }: Job, client: Client, info: BlobInfo): Promise<GetOutcome> {
  const { stream } = await client.download(remote.url, { signal });
  for await (const bytes of stream) await printBytes(bytes, signal);
  return { status: "fetched", file: null, info, received: info.size };
}

function isTaken(path: string): GetOutcome {
  return failed("EEXIST", `${shown(path)} is there already: choose another name with -o, or replace it with --force`);
}

function failed(code: string, reason: string): GetOutcome {
  return { status: "failed", code, reason };
}

function shown(path: string): string {
  return JSON.stringify(path);
}
