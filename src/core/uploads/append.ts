import { type Admission, shuttingDown } from "../admissions.ts";
import type { Digest } from "../digest.ts";
import { FixityError } from "../errors.ts";
import { type ByteSource, type Hashes, sizeLimitExceeded } from "../intake.ts";
import type { UploadId } from "../upload-id.ts";
import type { HeldUpload } from "../upload-store.ts";
import { AppendPass, tooMuch } from "./append-pass.ts";
import type { HashKeeper } from "./upload-hashes.ts";
import { formatRecord, parseRecord, type UploadRecord } from "./upload-record.ts";

/** What the whole of an upload must be, where that was not told before. */
export interface Expectation {
  readonly digest?: Digest | undefined;
  readonly sha512?: Buffer | undefined;
}

/** What a request says of the bytes that it brings. */
export interface Announced {
  /** Where they begin. */
  readonly offset: number;
  /** Whether the upload is complete behind them: it is, it is not, or it is where they reach its length. */
  readonly completes: boolean | "at-length";
  /** How many there are, where that is said. */
  readonly announced?: number | undefined;
}

/** One request's bytes for an upload. */
export interface AppendOptions extends Announced, Expectation {
  /** Of the request that brings them; see {@link Fixity.admit}. @default one of its own */
  readonly admission?: Admission | undefined;
  readonly source: ByteSource;
  /** Bytes of the whole upload, as this request tells them, perhaps in several ways. */
  readonly lengths?: readonly number[];
  /** The bytes count as a whole or not at all. Else what came in before an interruption counts. */
  readonly whole?: boolean;
  /**
   * Whether a request that announces bytes past the upload's length, or past the largest size, ends the upload for good, as
   * one does that brings them unannounced. Otherwise it is refused and the upload can be continued.
   *
   * @default false
   */
  readonly excessEnds?: boolean;
  /**
   * Called when all bytes are there and before they count: tells what the end of a request demands of the whole upload.
   * What it throws fails the request, and content that has not been saved by then does not count.
   */
  readonly check?: () => Expectation | void;
  /** Told of offsets as they become durable. */
  readonly onProgress?: (offset: number) => void;
  /** Told the durable offset when the request fails and the upload can be continued. */
  readonly onFailure?: (offset: number) => void;
}

/** Limits on one append. */
export interface AppendLimits {
  readonly maxSize: number;
  readonly maxAppendSize: number;
  readonly minAppendSize: number;
  /** Milliseconds after a save that an upload is kept. */
  readonly expiry: number;
}

/** Milliseconds after which bytes that came in are saved, at the latest: what a killed process loses of a slow sender. */
const SAVE_INTERVAL_MS = 5_000;

/** What an append works on, and with. */
export interface AppendContext {
  readonly id: UploadId;
  readonly held: HeldUpload;
  readonly record: UploadRecord;
  readonly limits: AppendLimits;
  readonly keeper: HashKeeper;
  /** Aborted, with a `shutting-down`, when the service is being closed. */
  readonly stopped: AbortSignal;
}

/** What an append has come to. */
export interface Appended {
  readonly record: UploadRecord;
  readonly offset: number;
  /** The hashes of bytes that are to be committed without having been saved. `null` if they are saved, with the record. */
  readonly unsaved: Hashes | null;
}

/** An append to an upload that is held, and has not ended. */
export class Append {
  readonly #context: AppendContext;
  readonly #held: HeldUpload;
  readonly #options: AppendOptions;
  readonly #limits: AppendLimits;
  /** The end of the request has refused its content: what has not been saved does not count. */
  #isRefused = false;
  /** As it will be saved next. */
  #record: UploadRecord;

  constructor(context: AppendContext, options: AppendOptions) {
    this.#context = context;
    this.#held = context.held;
    this.#record = context.record;
    this.#options = options;
    this.#limits = context.limits;
  }

  /** The upload has gone wrong for good. */
  get hasFailed(): boolean {
    return this.#record.outcome !== null;
  }

  /**
   * Takes the bytes. When it returns they are durable, or the last ones and ready to be committed; the record says whether
   * the upload is complete with them.
   *
   * @throws FixityError, when what can be kept of the bytes is durable; `shutting-down` has the offset among its facts
   */
  async run(): Promise<Appended> {
    const { offset } = this.#options;
    if (offset !== this.#held.offset) throw mismatch(this.#held.offset, offset);
    await this.#endOnExcess();
    this.#record = withExpectations(this.#record, this.#options);
    this.#checkLength();
    checkAnnounced({ ...this.#options, length: this.#record.length }, this.#limits);
    const hashes = await this.#takeHashes();
    const pass = this.#newPass(hashes);
    try {
      await this.#receive(pass);
      this.#expect(this.#check(), hashes);
      this.#sealAt(hashes.size);
    } catch (error) {
      throw await this.#salvage(pass, hashes, error);
    }
    if (this.#record.sealed && this.#held.commitUnsaved !== undefined) {
      await pass.saved();
      void this.#recordNow(hashes);
      return { record: this.#record, offset: hashes.size, unsaved: hashes };
    }
    await pass.save(!this.#record.sealed);
    this.#context.keeper.keep(this.#context.id, hashes);
    return { record: this.#record, offset: hashes.size, unsaved: null };
  }

  #check(): Expectation {
    try {
      return this.#options.check?.() ?? {};
    } catch (error) {
      this.#isRefused = true;
      throw error;
    }
  }

  async #takeHashes(): Promise<Hashes> {
    const { keeper, id, stopped } = this.#context;
    try {
      return await keeper.take(id, this.#held, this.#record, stopped);
    } catch (error) {
      throw error === stopped.reason ? shuttingDown(this.#held.offset) : error;
    }
  }

  #newPass(hashes: Hashes): AppendPass {
    const { whole = false, onProgress = () => undefined } = this.#options;
    return new AppendPass({
      held: this.#held,
      hashes,
      length: this.#record.length,
      limits: this.#limits,
      whole,
      stopped: this.#context.stopped,
      record: () => this.#recordNow(hashes),
      onProgress,
    });
  }

  /**
   * Takes all of the source. Meanwhile the upload cannot expire: what has come in is saved every few seconds, and where
   * nothing can be saved (the bytes count as a whole, or the sender pauses) the record alone is renewed in time.
   */
  async #receive(pass: AppendPass): Promise<void> {
    const { expiry } = this.#limits;
    const timer = setInterval(
      () => {
        pass.saveProgress();
        const saved = parseRecord(this.#held.record);
        const now = Date.now();
        if (saved.expires - now <= expiry / 2) pass.renew(formatRecord({ ...saved, expires: now + expiry }));
      },
      Math.min(SAVE_INTERVAL_MS, Math.max(expiry / 4, 1)),
    );
    try {
      await pass.take(this.#options.source);
    } finally {
      clearInterval(timer);
    }
  }

  /** @throws FixityError `inconsistent-length` or `size-limit-exceeded`, when the upload has been ended by it */
  async #endOnExcess(): Promise<void> {
    if (this.#options.excessEnds !== true) return;
    const excess = excessOf({ ...this.#options, length: this.#record.length }, this.#limits);
    if (excess === null) return;
    await this.#end(excess);
    throw excess;
  }

  #checkLength(): void {
    const { length } = this.#record;
    const { offset } = this.#held;
    if (length === null) return;
    if (length < offset) throw inconsistent(`The upload has ${offset} bytes already, more than a length of ${length}.`);
    if (length > this.#limits.maxSize) throw sizeLimitExceeded(this.#limits.maxSize);
  }

  #expect(told: Expectation, hashes: Hashes): void {
    this.#record = withExpectations(this.#record, told);
    // too late to begin with it, where the bytes cannot be had again
    if (this.#record.sha512 === null || hashes.has("sha512") || this.#held.read !== undefined) return;
    throw new FixityError(
      "unsupported-digest",
      "Announce a sha-512 that follows as a trailer field: Trailer: Repr-Digest.",
    );
  }

  #sealAt(offset: number): void {
    const { completes } = this.#options;
    const { length } = this.#record;
    const isComplete = completes === "at-length" ? offset === length : completes;
    if (!isComplete) return;
    if (length !== null && offset !== length) {
      throw inconsistent(`The upload is said to be complete with ${offset} bytes, and has a length of ${length}.`);
    }
    this.#record = { ...this.#record, length: offset, sealed: true };
  }

  /** The record of the bytes that came in until now. */
  #recordNow(hashes: Hashes): string {
    const now = Date.now();
    this.#record = { ...this.#record, saved: now, expires: now + this.#limits.expiry, hashes: hashes.states() };
    return formatRecord(this.#record);
  }

  /** After a failure: keeps what came in, or ends an upload that has gone wrong for good. @returns the failure to report */
  async #salvage(pass: AppendPass, hashes: Hashes, error: unknown): Promise<unknown> {
    const isStopped = error === this.#context.stopped.reason;
    try {
      await pass.settle();
      if (pass.overran && error instanceof FixityError) {
        await this.#end(error);
      } else if (this.#options.whole !== true && !this.#isRefused) {
        await pass.save(true);
        this.#context.keeper.keep(this.#context.id, hashes);
      }
      return isStopped ? shuttingDown(this.#held.offset) : error;
    } catch (failure) {
      // Normally the first failure is the one to report, and the offset has stayed what it was. At a shutdown nothing was
      // wrong until the save failed: its failure tells the client, or the log, what has become of the bytes.
      if (!isStopped) return error;
      const isSuperseded = failure instanceof FixityError && failure.code === "upload-superseded";
      return isSuperseded ? failure : shuttingDown(undefined, failure);
    }
  }

  /** "marking the upload resource invalid and rejecting any further interaction with it" (draft, "Upload Append"). */
  async #end({ code: failed, message, facts }: FixityError): Promise<void> {
    const now = Date.now();
    const ended = { ...this.#record, saved: now, expires: now + this.#limits.expiry, hashes: null };
    const record = { ...ended, outcome: { failed, message, facts } };
    await this.#held.conclude(formatRecord(record));
    this.#record = record;
  }
}

/**
 * Refuses content by what is announced of it.
 *
 * @throws FixityError `append-limit-exceeded`, `append-too-small`, `inconsistent-length`, `size-limit-exceeded`
 */
export function checkAnnounced(
  announcement: Announced & { readonly length: number | null },
  limits: AppendLimits,
): void {
  const { announced, completes } = announcement;
  const { maxAppendSize, minAppendSize } = limits;
  if (announced === undefined) return;
  if (announced > maxAppendSize) throw tooMuch(maxAppendSize);
  if (announced > 0 && announced < minAppendSize && completes === false) {
    throw new FixityError("append-too-small", `One request must bring ${minAppendSize} bytes at least.`, {
      facts: { limit: minAppendSize },
    });
  }
  const excess = excessOf(announcement, limits);
  if (excess !== null) throw excess;
}

/** What is wrong with content that is announced to end past the upload's length or the largest size, or `null`. */
function excessOf(
  { offset, announced = 0, length }: Announced & { readonly length: number | null },
  { maxSize }: AppendLimits,
): FixityError | null {
  const end = offset + announced;
  if (length !== null && end > length) return inconsistent(`The bytes would end at ${end}, past the length ${length}.`);
  return end > maxSize ? sizeLimitExceeded(maxSize) : null;
}

function withExpectations(record: UploadRecord, told: Expectation & Pick<AppendOptions, "lengths">): UploadRecord {
  const { lengths = [], digest, sha512 } = told;
  const length = [record.length, ...lengths].reduce(agreedLength, null);
  const sha256 = digest?.hex ?? record.sha256;
  if (record.sha256 !== null && sha256 !== record.sha256) throw disagreement();
  const wanted512 = sha512?.toString("base64") ?? record.sha512;
  if (record.sha512 !== null && wanted512 !== record.sha512) throw disagreement();
  return { ...record, length, sha256, sha512: wanted512 };
}

/** "If multiple requests include indicators, their indicated values MUST match" (length). */
export function agreedLength(known: number | null, told: number | null): number | null {
  if (known === null || told === null || known === told) return known ?? told;
  throw inconsistent(`The upload was said to have ${known} bytes, and now ${told}.`);
}

export function disagreement(): FixityError {
  return new FixityError("digest-mismatch", "The upload was announced with another digest.");
}

export function inconsistent(message: string): FixityError {
  return new FixityError("inconsistent-length", message);
}

export function mismatch(expected: number, provided: number): FixityError {
  return new FixityError("offset-mismatch", `The upload stands at ${expected}, and the bytes begin at ${provided}.`, {
    facts: { "expected-offset": expected, "provided-offset": provided },
  });
}
