import { setImmediate as yieldToOthers } from "node:timers/promises";
import { createHash } from "node:crypto";
import type { Loan } from "./memory-budget.ts";
import { type Completion, MultipartUpload, type UploadContext } from "./multipart-upload.ts";
import type { Part } from "./multipart.ts";
import { UNSIGNED_PAYLOAD } from "./signer.ts";

/** Bytes hashed in one go: a few hundred microseconds, for which everything else stands still. */
const HASH_SLICE = 1024 * 1024;

/** How the parts of a large upload are sent. */
export interface LargeUploadOptions {
  readonly context: UploadContext;
  readonly key: string;
  readonly contentType: string;
  /** Parts at once. */
  readonly concurrency: number;
  /** S3 is told the digest of each part. */
  readonly signParts: boolean;
}

/** Bytes of a part, and the memory they lie in, which is given back when they have been sent. */
export interface FilledPart {
  readonly chunks: readonly Uint8Array[];
  readonly length: number;
  readonly loan: Loan;
}

/** Content of more than a part on its way to S3. A part is kept until S3 has confirmed it. */
export class LargeUpload {
  readonly key: string;
  readonly #options: LargeUploadOptions;
  readonly #parts: Part[] = [];
  readonly #sending = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  #begun: Promise<MultipartUpload> | null = null;
  #count = 0;
  #size = 0;

  constructor(options: LargeUploadOptions) {
    this.key = options.key;
    this.#options = options;
  }

  /** The number of the part that is to be sent next. */
  get nextNumber(): number {
    return this.#count + 1;
  }

  /** Begins to send a part. Its failure shows at the next {@link room} or at {@link flush}. */
  send(part: FilledPart): void {
    this.#count += 1;
    this.#size += part.length;
    const number = this.#count;
    const sending = this.#send(number, part)
      .catch((error: unknown) => this.#stop.abort(error))
      .finally(() => {
        part.loan.end();
        this.#sending.delete(sending);
      });
    this.#sending.add(sending);
  }

  /** Waits until one more part may be sent. */
  async room(signal: AbortSignal | undefined): Promise<void> {
    while (this.#sending.size >= this.#options.concurrency) await orAborted(Promise.race(this.#sending), signal);
    this.#stop.signal.throwIfAborted();
  }

  /** Waits until S3 has all parts. */
  async flush(signal?: AbortSignal): Promise<void> {
    await orAborted(Promise.all(this.#sending), signal);
    this.#stop.signal.throwIfAborted();
  }

  /** Makes an object of all parts. */
  async complete(): Promise<Completion> {
    await this.flush();
    const upload = await this.#begin();
    return upload.complete(this.#parts, this.#size);
  }

  /** Throws all parts away, as far as that is safe. Does not fail. */
  async abort(reason: unknown): Promise<void> {
    this.#stop.abort(reason);
    await Promise.all(this.#sending);
    const upload = await this.#begun?.catch(() => null);
    await upload?.abort();
  }

  async #send(number: number, { chunks, length }: FilledPart): Promise<void> {
    const upload = await this.#begin();
    this.#stop.signal.throwIfAborted();
    const digest = this.#options.signParts ? await digestOf(chunks) : UNSIGNED_PAYLOAD;
    this.#parts[number - 1] = await upload.upload(number, { chunks, length, digest }, this.#stop.signal);
  }

  #begin(): Promise<MultipartUpload> {
    const { context, key, contentType } = this.#options;
    this.#begun ??= MultipartUpload.begin(context, key, contentType);
    return this.#begun;
  }
}

/** Waits for `work`, which never rejects, but no longer than until the signal is aborted. */
async function orAborted(work: Promise<unknown>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return void (await work);
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const leave = () => reject(signal.reason as Error);
  signal.addEventListener("abort", leave, { once: true });
  try {
    await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", leave);
  }
}

async function digestOf(chunks: readonly Uint8Array[]): Promise<string> {
  const hash = createHash("sha256");
  let since = 0;
  for (const chunk of chunks) {
    hash.update(chunk);
    since += chunk.length;
    if (since < HASH_SLICE) continue;
    since = 0;
    await yieldToOthers();
  }
  return hash.digest("hex");
}
