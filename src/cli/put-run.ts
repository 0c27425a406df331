import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import {
  type Client,
  createClient,
  FixityClientError,
  type UploadOptions,
  type UploadProgress,
  type UploadResult,
} from "../client/node.ts";
import { printable } from "../base/printable.ts";
import type { Transfer } from "./bars.ts";
import type { PutOutcome } from "./put-report.ts";
import { isSendable, type Sendable, type Unsendable } from "./put-sources.ts";
import { type Trouble, troubleOf } from "./remote-trouble.ts";
import type { Remote } from "./remote.ts";
import { Speed } from "./speed.ts";
import type { Environment } from "../settings/config.ts";
import { counted } from "./text.ts";
import { memoryFolder, UploadMemory } from "./upload-memory.ts";

/** What a run of `fixity put` is about. */
export interface PutRunOptions {
  readonly found: readonly (Sendable | Unsendable)[];
  readonly env: Environment;
  readonly concurrency: number;
  /** Aborted when the user wants no more. */
  readonly signal: AbortSignal;
}

/** Uploads that belong together: what one meets that all would meet ends them all. */
export class PutRun implements Disposable {
  /** Aborted when nothing more is to be sent. */
  readonly signal: AbortSignal;
  readonly #remote: Remote;
  readonly #client: Client;
  readonly #end = new AbortController();
  readonly #running = new Map<Sendable, UploadProgress | null>();
  /** Files on their way, by their paths: one may be named more than once. */
  readonly #results = new Map<string, Promise<UploadResult>>();
  readonly #speed = new Speed();
  readonly #files: number;
  readonly #bytes: number | null;
  #filesDone = 0;
  #bytesDone = 0;
  #trouble: Trouble | null = null;

  constructor(remote: Remote, { found, env, concurrency, signal }: PutRunOptions) {
    const { endpoint, headers } = remote;
    const folder = memoryFolder(env);
    const storage = folder === null ? null : new UploadMemory(folder);
    this.signal = AbortSignal.any([signal, this.#end.signal]);
    this.#remote = remote;
    this.#client = createClient({ endpoint, headers, concurrency, storage });
    const sendable = found.filter(isSendable);
    this.#files = sendable.length;
    this.#bytes = sendable.reduce<number | null>(
      (sum, { size }) => (sum === null || size === null ? null : sum + size),
      0,
    );
  }

  /** What has ended the run; `null` where nothing has. */
  get trouble(): Trouble | null {
    return this.#trouble;
  }

  /** Sends one file, or says why not. */
  async send(source: Sendable | Unsendable): Promise<PutOutcome> {
    const file = source.name;
    if (source.kind === "skipped") return { status: "skipped", file, reason: source.reason };
    if (source.kind === "failed") return { status: "failed", file, code: source.code, reason: source.reason };
    if (this.signal.aborted) return { status: "stopped", file };
    this.#running.set(source, null);
    try {
      const result = await this.#upload(source);
      this.#filesDone += 1;
      this.#bytesDone += result.size;
      return { status: "stored", file, result };
    } catch (error) {
      return this.#failure(file, error);
    } finally {
      this.#running.delete(source);
    }
  }

  /** What is on its way, and below it, where there are several files, all together. */
  transfers(): readonly Transfer[] {
    const lines = Array.from(this.#running, ([{ name, size }, progress]) => transferOf(name, size, progress));
    if (this.#files < 2 || lines.length === 0) return lines;
    const sent = [...this.#running.values()].reduce((sum, progress) => sum + bytesSent(progress), 0);
    const bytes = this.#bytesDone + sent;
    const name = `${this.#filesDone.toLocaleString("en")} of ${counted(this.#files, "file")}`;
    return [...lines, { name, bytes, total: this.#bytes, rate: this.#speed.at(bytes), doing: null }];
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  async #upload(source: Sendable): Promise<UploadResult> {
    if (source.kind === "stream") return this.#uploadStream(source);
    const path = resolve(source.name);
    const result = this.#results.get(path);
    // whoever names a file twice wants two links, and not two uploads that take each other's turn
    if (result !== undefined) return { ...(await result), existed: true, sent: 0 };
    const own = this.#uploadFile(path, source);
    this.#results.set(path, own);
    try {
      return await own;
    } finally {
      this.#results.delete(path);
    }
  }

  async #uploadFile(path: string, source: Sendable): Promise<UploadResult> {
    const before = await stat(path);
    const result = await this.#client.upload(path, this.#optionsFor(source));
    const after = await stat(path);
    // the link is of what the file was when it was read; its owner, who has changed it since, would take it for what it is
    if (before.size === after.size && before.mtimeMs === after.mtimeMs && before.ino === after.ino) return result;
    throw new FixityClientError("source-changed", "The file has changed while it was sent.");
  }

  async #uploadStream(source: Sendable): Promise<UploadResult> {
    const stream = source.name === "-" ? process.stdin : createReadStream(source.name);
    try {
      return await this.#client.upload(stream, this.#optionsFor(source));
    } finally {
      // what is still read would keep the process running
      stream.destroy();
    }
  }

  #optionsFor(source: Sendable): UploadOptions {
    return {
      filename: source.filename ?? undefined,
      signal: this.signal,
      onProgress: (progress) => {
        if (this.#running.has(source)) this.#running.set(source, progress);
      },
    };
  }

  #failure(file: string, error: unknown): PutOutcome {
    if (this.signal.aborted && error instanceof FixityClientError && error.code === "aborted") {
      return { status: "stopped", file };
    }
    const trouble = troubleOf(error, this.#remote);
    if (trouble === null) throw error;
    const { code, reason } = trouble;
    if (!trouble.isGeneral) return { status: "failed", file, code, reason };
    this.#trouble ??= trouble;
    this.#end.abort();
    return { status: "stopped", file };
  }
}

function transferOf(name: string, size: number | null, progress: UploadProgress | null): Transfer {
  const { phase, bytes, total, rate } = progress ?? { phase: "sending", bytes: 0, total: size, rate: null };
  return { name: printable(name), bytes, total, rate, doing: phase === "sending" ? null : phase };
}

function bytesSent(progress: UploadProgress | null): number {
  return progress === null || progress.phase === "hashing" ? 0 : progress.bytes;
}
