import { FixityClientError } from "./errors.ts";
import { Meter } from "./meter.ts";
import { Persistence, type RetryPlan } from "./retrier.ts";
import type { Platform } from "./platform.ts";
import type { Rates } from "./rates.ts";
import { asClientError, type Service } from "./service.ts";
import type { Semaphore } from "../base/semaphore.ts";
import { Turn } from "./turn.ts";
import { openSource } from "./source.ts";
import { Steering } from "./upload-control.ts";
import type { Upload, UploadOptions, UploadResult, UploadSource, UploadStorage } from "./types.ts";
import { type KeysInUse, UploadMemory } from "./resume-entry.ts";
import { UploadTask } from "./upload.ts";

/** What the uploads of one client have in common. */
export interface UploadParts {
  readonly platform: Platform;
  readonly service: Service;
  readonly storage: UploadStorage | null;
  readonly slots: Semaphore;
  readonly rates: Rates;
  readonly plan: RetryPlan;
  readonly inUse: KeysInUse;
}

/** One upload, as its owner holds it. */
export class UploadHandle implements Upload {
  readonly done: Promise<UploadResult>;
  readonly #parts: UploadParts;
  readonly #steering = new Steering();
  #isGivenUp = false;

  constructor(parts: UploadParts, source: UploadSource, options: UploadOptions) {
    this.#parts = parts;
    this.done = this.#run(source, options);
    // whoever holds only the handle to pause it is not to be told of an unhandled rejection
    this.done.catch(() => null);
  }

  get isPaused(): boolean {
    return this.#steering.isPaused;
  }

  pause(): void {
    this.#steering.pause();
  }

  resume(): void {
    this.#steering.resume();
  }

  abort(): void {
    this.#isGivenUp = true;
    this.stop(new FixityClientError("aborted", "The upload was given up."));
  }

  /** Ends it here; what has arrived stays at the server where it is remembered. */
  stop(reason: unknown): void {
    this.#steering.stop(reason);
  }

  async #run(source: UploadSource, options: UploadOptions): Promise<UploadResult> {
    const { signal } = options;
    const stop = (): void => this.stop(signal?.reason);
    if (signal?.aborted === true) stop();
    signal?.addEventListener("abort", stop);
    const turn = new Turn(this.#parts.slots);
    try {
      const { platform, plan } = this.#parts;
      const persistence = new Persistence({ steering: this.#steering, turn, network: platform.network, plan });
      await persistence.ready();
      return await this.#upload(persistence, source, options);
    } catch (error) {
      throw asClientError(error);
    } finally {
      turn.leave();
      signal?.removeEventListener("abort", stop);
    }
  }

  async #upload(persistence: Persistence, source: UploadSource, options: UploadOptions): Promise<UploadResult> {
    const { platform, service, storage, rates, inUse } = this.#parts;
    const { declare = null, resume = true, fingerprint, onProgress } = options;
    const declared = typeof declare === "string" ? hexIn(declare) : declare;
    const opened = await openSource(source, platform);
    const naming = { filename: options.filename ?? opened.name, type: fieldText(options.type ?? opened.type) };
    const memory =
      resume && opened.content !== null
        ? UploadMemory.of(
            { ...opened, ...naming, ...(fingerprint !== undefined && known(fingerprint)) },
            { storage, endpoint: service.endpoint, inUse },
          )
        : null;
    const meter = new Meter({ onProgress, total: opened.content?.size ?? null });
    const context = { service, platform, steering: this.#steering, persistence, meter, rates, naming };
    const task = { source: opened, declare: declared, memory, keeps: () => !this.#isGivenUp };
    try {
      const receipt = await new UploadTask(context, task).run();
      return { ...receipt, sent: meter.sent };
    } finally {
      meter.end();
      memory?.release();
    }
  }
}

/** @throws FixityClientError `invalid-option` */
function hexIn(digest: string): string {
  const hex = digest.replace(/^sha256:/, "");
  if (/^[0-9a-f]{64}$/.test(hex)) return hex;
  throw new FixityClientError("invalid-option", "declare must be true, false, or sha256:<64 lower-case hex digits>.");
}

/** What a source is told from others by, where its owner says it. */
function known(fingerprint: string): { readonly identity: string; readonly lastModified: number } {
  return { identity: fingerprint, lastModified: 0 };
}

/** What can stand in a field; a type that cannot is none. */
function fieldText(type: string | null): string | null {
  return type !== null && /^[\x20-\x7e]+$/.test(type) ? type : null;
}
