import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { printable } from "../base/printable.ts";
import {
  type Client,
  createClient,
  FixityClientError,
  type UploadOptions,
  type UploadProgress,
  type UploadResult,
} from "../client/node.ts";
import { FixityError } from "../core/errors.ts";
import type { Environment } from "../settings/config.ts";
import { EXIT } from "./exit-codes.ts";
import { inOrder } from "./in-order.ts";
import { Interruption } from "./interruption.ts";
import { RateMeter, type Transfer, waitingText } from "./progress.ts";
import { type PutOutcome, PutReport, type StoppedAt } from "./put-report.ts";
import { findSources, isSendable, type Sendable, type Unsendable } from "./put-sources.ts";
import { explainFailure, type RemoteFailure, statOnce } from "./remote-failure.ts";
import { type Remote, remoteOf, type RemoteSources } from "./remote.ts";
import { counted } from "./text.ts";
import { UnfinishedUploads, unfinishedUploadsFolder } from "./unfinished-uploads.ts";

/** Files count as small up to this average size. */
const SMALL_FILE_MAX_BYTES = 1024 * 1024;
const SMALL_FILE_CONCURRENCY = 16;
const DEFAULT_CONCURRENCY = 4;

/** A link under which nothing is stored, to test whether the service responds. */
const UNUSED_LINK = "0".repeat(64);

export interface PutRequest {
  readonly files: readonly string[];
  readonly isRecursive: boolean;
  /** The name of standard input, or of the only file. */
  readonly name: string | null;
  /** The number of concurrent uploads; `null` to choose it by the sizes of the files. */
  readonly concurrency: number | null;
  readonly isQuiet: boolean;
  readonly isJson: boolean;
}

/**
 * `fixity put`: uploads files, and prints their links in the order in which the files are named.
 *
 * @returns the exit code
 * @throws FixityError `invalid-option`
 */
export async function putFiles(sources: RemoteSources, request: PutRequest): Promise<number> {
  checkArguments(request);
  const remote = remoteOf(sources);
  using interruption = new Interruption();
  const { signal } = interruption;
  const [found, reached] = await Promise.all([findAll(request, signal), statOnce(remote, UNUSED_LINK, signal)]);
  const sendable = found.filter(isSendable);
  const concurrency = request.concurrency ?? concurrencyFor(sendable);
  using run = new PutRun(remote, found, { env: sources.env, concurrency, signal });
  using report = new PutReport({ ...request, env: sources.env, transfers: () => run.transfers() });
  const isUnreachable = reached.status === "failed" && sendable.length > 0;
  if (!isUnreachable) {
    for (const source of found) if (!isSendable(source)) report.addNow(outcomeOf(source));
    const work = async (source: Sendable | Unsendable): Promise<PutOutcome> => {
      if (!isSendable(source)) return outcomeOf(source);
      const outcome = await run.send(source);
      report.addNow(outcome);
      return outcome;
    };
    await inOrder(found, { concurrency, work, onResult: (outcome) => report.addInOrder(outcome), signal: run.signal });
  }
  const failure = isUnreachable ? reached : run.generalFailure;
  if (failure !== null && !signal.aborted) report.addGeneralFailure(failure.reason);
  report.summarize({ files: found.length, sentBytes: run.sentBytes });
  if (interruption.exitCode !== null) return interruption.exitCode;
  if (failure !== null) return EXIT.failed;
  return report.failed === 0 ? EXIT.ok : EXIT.notOk;
}

function outcomeOf(source: Unsendable): PutOutcome {
  const { name: file, reason } = source;
  return source.kind === "skipped"
    ? { status: "skipped", file, reason }
    : { status: "failed", file, code: source.code, reason };
}

/** Standard input can be read only once, and a name fits only one file. */
function checkArguments({ files, name }: PutRequest): void {
  const inputs = files.filter((file) => file === "-").length;
  if (inputs > 1) throw new FixityError("invalid-option", "Standard input (-) can be uploaded only once.");
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

/** Small files mostly wait for responses and disks; a few large ones fill the network. */
function concurrencyFor(files: readonly Sendable[]): number {
  const bytes = files.reduce((sum, { size }) => sum + (size ?? Infinity), 0);
  return bytes <= files.length * SMALL_FILE_MAX_BYTES ? SMALL_FILE_CONCURRENCY : DEFAULT_CONCURRENCY;
}

interface PutRunOptions {
  readonly env: Environment;
  readonly concurrency: number;
  /** Aborted when the user interrupts the command. */
  readonly signal: AbortSignal;
}

/** The uploads of one command. A failure that all files would meet ends the whole run. */
class PutRun implements Disposable {
  /** Aborted when nothing more may be sent. */
  readonly signal: AbortSignal;
  readonly #remote: Remote;
  readonly #client: Client;
  readonly #end = new AbortController();
  readonly #storage: UnfinishedUploads | null;
  readonly #running = new Map<Sendable, RunningUpload>();
  /** Running uploads by path: a file may be named more than once. */
  readonly #results = new Map<string, Promise<UploadResult>>();
  readonly #rate = new RateMeter();
  readonly #fileCount: number;
  readonly #totalBytes: number | null;
  #doneFiles = 0;
  #failedFiles = 0;
  #doneBytes = 0;
  #sentBytes = 0;
  #generalFailure: RemoteFailure | null = null;

  constructor(remote: Remote, found: readonly (Sendable | Unsendable)[], { env, concurrency, signal }: PutRunOptions) {
    const { endpoint, headers } = remote;
    const folder = unfinishedUploadsFolder(env);
    this.#storage = folder === null ? null : new UnfinishedUploads(folder);
    this.signal = AbortSignal.any([signal, this.#end.signal]);
    this.#remote = remote;
    this.#client = createClient({ endpoint, headers, concurrency, storage: this.#storage });
    this.#fileCount = found.filter(({ kind }) => kind !== "skipped").length;
    this.#failedFiles = found.filter(({ kind }) => kind === "failed").length;
    this.#totalBytes = found
      .filter(isSendable)
      .reduce<number | null>((sum, { size }) => (sum === null || size === null ? null : sum + size), 0);
  }

  /** The failure that ended the run; `null` if there was none. */
  get generalFailure(): RemoteFailure | null {
    return this.#generalFailure;
  }

  /** Bytes sent so far, also those of uploads that failed or were interrupted. */
  get sentBytes(): number {
    return this.#sentBytes;
  }

  /** Uploads one file. */
  async send(source: Sendable): Promise<PutOutcome> {
    const file = source.name;
    if (this.signal.aborted) return { status: "stopped", file, progress: null };
    this.#running.set(source, NOT_SENDING);
    try {
      const result = await this.#upload(source);
      this.#doneFiles += 1;
      this.#doneBytes += result.size;
      this.#sentBytes += result.sent;
      return { status: "stored", file, result };
    } catch (error) {
      return this.#failed(source, error);
    } finally {
      this.#running.delete(source);
    }
  }

  /** The running uploads and, if there are several files, all files together. */
  transfers(): readonly Transfer[] {
    const transfers = Array.from(this.#running, ([{ name, size }, { progress }]) => transferOf(name, size, progress));
    if (this.#fileCount < 2 || transfers.length === 0) return transfers;
    const sent = [...this.#running.values()].reduce((sum, { progress }) => sum + sentBytes(progress), 0);
    const bytes = this.#doneBytes + sent;
    const failed = this.#failedFiles === 0 ? "" : `, ${this.#failedFiles.toLocaleString("en")} failed`;
    const name = `${this.#doneFiles.toLocaleString("en")} of ${counted(this.#fileCount, "file")}${failed}`;
    return [...transfers, { name, bytes, total: this.#totalBytes, rate: this.#rate.sample(bytes), phase: null }];
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  async #upload(source: Sendable): Promise<UploadResult> {
    if (source.kind === "stream") return this.#uploadStream(source);
    const path = resolve(source.name);
    const running = this.#results.get(path);
    // A file that is named twice gets two links from one upload; two uploads would take each other
    // over.
    if (running !== undefined) return { ...(await running), existed: true, sent: 0 };
    const result = this.#uploadFile(path, source);
    this.#results.set(path, result);
    try {
      return await result;
    } finally {
      this.#results.delete(path);
    }
  }

  async #uploadFile(path: string, source: Sendable): Promise<UploadResult> {
    const before = await stat(path);
    const result = await this.#client.upload(path, this.#optionsFor(source));
    const after = await stat(path);
    // The link names the bytes that were read, but the user would take it for the link of the file
    // as it is now.
    if (before.size === after.size && before.mtimeMs === after.mtimeMs && before.ino === after.ino) return result;
    throw new FixityClientError("source-changed", "The file changed during the upload.");
  }

  async #uploadStream(source: Sendable): Promise<UploadResult> {
    const stream = source.name === "-" ? process.stdin : createReadStream(source.name);
    try {
      return await this.#client.upload(stream, this.#optionsFor(source));
    } finally {
      // An open stream would keep the process running.
      stream.destroy();
    }
  }

  #optionsFor(source: Sendable): UploadOptions {
    return {
      filename: source.filename ?? undefined,
      signal: this.signal,
      onProgress: (progress) => {
        const running = this.#running.get(source);
        if (running === undefined) return;
        const firstOffset = running.firstOffset ?? (progress.phase === "sending" ? progress.bytes : null);
        this.#running.set(source, { progress, firstOffset });
      },
    };
  }

  #failed(source: Sendable, error: unknown): PutOutcome {
    const file = source.name;
    const { progress, firstOffset } = this.#running.get(source) ?? NOT_SENDING;
    const stoppedAt = progress === null || firstOffset === null ? null : this.#stoppedAt(source, progress);
    this.#sentBytes += Math.max(0, (stoppedAt?.bytes ?? 0) - (firstOffset ?? 0));
    if (this.signal.aborted && error instanceof FixityClientError && error.code === "aborted") {
      return { status: "stopped", file, progress: stoppedAt };
    }
    const failure = explainFailure(error, this.#remote);
    if (failure === null) throw error;
    if (!failure.affectsAll) {
      this.#failedFiles += 1;
      return { status: "failed", file, code: failure.code, reason: failure.reason };
    }
    this.#generalFailure ??= failure;
    this.#end.abort();
    return { status: "stopped", file, progress: stoppedAt };
  }

  #stoppedAt(source: Sendable, { bytes, total }: UploadProgress): StoppedAt {
    const expires = source.kind === "file" ? (this.#storage?.expiryOf(resolve(source.name)) ?? null) : null;
    return { bytes, total, expires };
  }
}

/** A running upload. */
interface RunningUpload {
  readonly progress: UploadProgress | null;
  /** Where it began to send in this run; `null` as long as it has not. */
  readonly firstOffset: number | null;
}

const NOT_SENDING: RunningUpload = { progress: null, firstOffset: null };

function transferOf(name: string, size: number | null, progress: UploadProgress | null): Transfer {
  const { phase, bytes, total, rate, wait } = progress ?? {
    phase: "sending",
    bytes: 0,
    total: size,
    rate: null,
    wait: null,
  };
  const activity = wait === null ? phase : waitingText(wait);
  return { name: printable(name), bytes, total, rate, phase: phase === "sending" ? null : activity };
}

function sentBytes(progress: UploadProgress | null): number {
  return progress === null || progress.phase === "hashing" ? 0 : progress.bytes;
}
