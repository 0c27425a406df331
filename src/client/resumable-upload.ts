import type { DigestJob } from "./upload-digest.ts";
import { DigestJudge } from "./digest-judge.ts";
import { waitForDigest } from "./digest-wait.ts";
import { FixityClientError } from "./errors.ts";
import { formatReprDigest, isComplete, parseInteger, parseLimits } from "./formats.ts";
import type { PartSize } from "./append-size.ts";
import type { Part, Parts } from "./parts.ts";
import type { WireAnswer } from "./platform.ts";
import { type Receipt, receiptIn } from "./receipt.ts";
import { targetIn } from "./redirects.ts";
import { namingFields, type UploadContext } from "./upload-context.ts";
import type { UploadMemory } from "./resume-entry.ts";

/** What a {@link ResumableUpload} sends. */
export interface ResumableOptions {
  readonly parts: Parts;
  readonly digest: DigestJob;
  /** Even where that takes longer than sending. */
  readonly mustDeclare: boolean;
  /** `null` where it is not remembered. */
  readonly memory: UploadMemory | null;
  readonly partSize: PartSize;
}

/** Questions for the offset that may be answered with `500` before the upload begins anew. */
const FAILED_LOOKS = 3;

/** Milliseconds for the last word to the server, when everything is over here. */
const LAST_WORD = 5000;

/**
 * An upload by the IETF's protocol (draft-ietf-httpbis-resumable-upload, interop version 9): an empty request creates it, others
 * append parts. It is created empty because `fetch` does not show the 104 that has the address while content is being sent.
 * No interop version is named: its only effect would be such responses.
 */
export class ResumableUpload {
  readonly #context: UploadContext;
  readonly #parts: Parts;
  readonly #digest: DigestJob;
  readonly #judge: DigestJudge;
  readonly #memory: UploadMemory | null;
  readonly #size: PartSize;
  /** The upload's address; `null` before it is created. */
  #at: string | null = null;
  /** Where the server stands; `null` where it must be asked. */
  #offset: number | null = null;
  #furthest = 0;
  #restarts = 0;
  /** Questions for the offset in a row that were answered with `500`. */
  #failedLooks = 0;
  /** The upload was begun without a digest: the server does not know yet what it will be. */
  #isUndeclared = false;
  /** The server has the content, from elsewhere. */
  #isThere = false;
  #isOver = false;
  /** The upload was begun by an earlier run. */
  #isRecalled = false;
  /** Resolves when the server has been asked for the content, or that has no point. */
  #looked: Promise<void> = Promise.resolve();

  constructor(context: UploadContext, { parts, digest, mustDeclare, memory, partSize }: ResumableOptions) {
    this.#context = context;
    this.#parts = parts;
    this.#digest = digest;
    this.#judge = new DigestJudge(digest, context.rates, mustDeclare);
    this.#memory = memory;
    this.#size = partSize;
  }

  /** @throws FixityClientError */
  async run(): Promise<Receipt> {
    const { persistence } = this.#context;
    this.#at = (await this.#memory?.recall()) ?? null;
    this.#isRecalled = this.#at !== null;
    this.#isUndeclared = this.#isRecalled;
    // only a digest tells whether what an earlier run has sent was the same file
    this.#judge.mustDeclare ||= this.#isRecalled;
    this.#looked = this.#lookForContent();
    try {
      for (;;) {
        const receipt = await persistence.run((signal) => this.#step(signal));
        if (receipt === null) continue;
        await this.#memory?.forget();
        return receipt;
      }
    } finally {
      this.#isOver = true;
    }
  }

  /** Tells the server that the upload is given up. */
  async cancel(): Promise<void> {
    await this.#memory?.forget();
    await this.#remove(this.#at, AbortSignal.timeout(LAST_WORD));
  }

  /** What is to be done next; `null` where there is more. */
  async #step(signal: AbortSignal): Promise<Receipt | null> {
    if (this.#isThere) return this.#claim(signal);
    if (this.#at === null) return this.#create(signal);
    if (this.#offset === null) return this.#locate(this.#at, signal);
    return this.#append(this.#at, this.#offset, signal);
  }

  async #create(signal: AbortSignal): Promise<Receipt | null> {
    this.#isUndeclared = this.#digest.hex === null;
    const answer = await this.#requestCreation(signal);
    if (isComplete(answer)) return this.#receiptIn(answer);
    this.#at = this.#locationIn(answer);
    this.#offset = parseInteger(answer.field("upload-offset")) ?? 0;
    const limits = parseLimits(answer.field("upload-limit"));
    this.#size.limit(limits);
    await this.#memory?.note(this.#at, limits.age);
    return null;
  }

  #requestCreation(signal: AbortSignal): Promise<WireAnswer> {
    const { service, naming } = this.#context;
    const { total } = this.#parts;
    return service.send({
      method: "POST",
      url: service.endpoint,
      headers: {
        ...namingFields(naming),
        "Upload-Complete": "?0",
        ...(total !== null && { "Upload-Length": String(total) }),
        ...this.#digestFields(),
      },
      signal,
    });
  }

  /** Asks where the server stands. */
  async #locate(at: string, signal: AbortSignal): Promise<Receipt | null> {
    const { service, persistence, meter } = this.#context;
    let answer: WireAnswer;
    try {
      answer = await service.send({ method: "HEAD", url: at, signal });
    } catch (error) {
      // what an earlier run has left can never be completed
      if (error instanceof FixityClientError && error.final && this.#isRecalled) return this.#startAnew();
      return this.#afterFailedLook(error);
    }
    this.#failedLooks = 0;
    if (isComplete(answer)) {
      // what the lost answer to the last part said
      return this.#receiptIn(await service.send({ method: "GET", url: at, signal }));
    }
    const offset = parseInteger(answer.field("upload-offset"));
    const length = parseInteger(answer.field("upload-length"));
    if (offset === null || (length !== null && length !== (this.#parts.total ?? length))) return this.#startAnew();
    this.#size.limit(parseLimits(answer.field("upload-limit")));
    if (offset > this.#furthest) persistence.progressed();
    this.#furthest = Math.max(this.#furthest, offset);
    this.#offset = offset;
    meter.stands(offset);
    return null;
  }

  async #append(at: string, offset: number, signal: AbortSignal): Promise<Receipt | null> {
    const { service, persistence, rates } = this.#context;
    const part = await this.#nextPart(offset);
    if (part === null) return null;
    const { content, isLast } = part;
    const completes = isLast && !this.#digest.isPending;
    // whatever happens from here on, only the server knows where it stands
    this.#offset = null;
    const began = performance.now();
    let answer: WireAnswer;
    try {
      answer = await service.send({
        method: "PATCH",
        url: at,
        headers: {
          "Content-Type": "application/partial-upload",
          "Upload-Offset": String(offset),
          "Upload-Complete": completes ? "?1" : "?0",
          // asks proxies not to collect the content first (RFC 10036): what has not arrived is lost when the connection breaks
          ...(content.size > 0 && { Incremental: "?1" }),
          ...(completes && this.#digestFields()),
        },
        content,
        onSent: this.#counter(offset),
        signal,
      });
    } catch (error) {
      if (!signal.aborted) return this.#afterRefusal(error, content.size);
      throw error;
    }
    const ms = performance.now() - began;
    rates.sent(content.size, ms);
    if (completes) return this.#receiptIn(answer);
    this.#size.passed(content.size, ms);
    if (content.size > 0) persistence.progressed();
    this.#offset = offset + content.size;
    this.#furthest = this.#offset;
    return null;
  }

  /** `null` where the digest had to be waited for: it may have changed what to do. */
  async #nextPart(offset: number): Promise<Part | null> {
    const { steering, meter } = this.#context;
    if (this.#judge.adviceAt(offset, this.#parts.total) === "wait") return this.#await(this.#looked);
    const part = await steering.wait(this.#parts.take(offset, this.#size.bytes));
    if (part.isLast) meter.total = offset + part.content.size;
    // what is less than servers take can only be the end, and that is said with the digest
    const isEndOnly = part.isLast && part.content.size < Math.max(1, this.#size.least);
    if (isEndOnly && this.#digest.isPending) return this.#await(this.#digest.settled);
    meter.stands(offset);
    return part;
  }

  /** Counts what a part sends, and judges the digest on the way: a part may take long enough for it to prove too late. */
  #counter(offset: number): (bytes: number) => void {
    const count = this.#context.meter.counter(offset);
    return (bytes) => {
      count(bytes);
      this.#judge.adviceAt(offset + bytes, this.#parts.total);
    };
  }

  async #await(outcome: Promise<unknown>): Promise<null> {
    await waitForDigest(this.#context, this.#digest, outcome);
    return null;
  }

  /** A part was refused: one of another size may be taken. @throws FixityClientError */
  #afterRefusal(error: unknown, bytes: number): null {
    if (!(error instanceof FixityClientError) || error.final) throw error;
    const { status, code, facts } = error;
    // servers before append-too-small used one code for both limits
    if ((code === "append-limit-exceeded" || code === "append-too-small") && typeof facts["limit"] === "number") {
      const { limit } = facts as { readonly limit: number };
      if (this.#size.limit(bytes > limit ? { max: limit, min: 0 } : { max: Infinity, min: limit })) return null;
    }
    if (status === 413 && code !== "size-limit-exceeded" && this.#size.refused(bytes)) return null;
    if (code === "network-error") this.#size.broke(bytes);
    return this.#afterLoss(error);
  }

  /**
   * The server does not tell where the upload stands. A `500` says that it fails at this upload, not that it is out of reach:
   * after a few of them in a row the upload begins anew. An outage (`502`, `503`, no connection) is waited for.
   */
  #afterFailedLook(error: unknown): null {
    const isFault = error instanceof FixityClientError && error.status === 500;
    this.#failedLooks = isFault ? this.#failedLooks + 1 : 0;
    if (this.#failedLooks < FAILED_LOOKS) return this.#afterLoss(error);
    this.#failedLooks = 0;
    return this.#restart(error);
  }

  /** The server may have forgotten or lost the upload. @throws FixityClientError `error` if that is not so */
  #afterLoss(error: unknown): null {
    if (!(error instanceof FixityClientError)) throw error;
    if (error.code === "upload-damaged") return this.#restart(error);
    if (error.final || (error.status !== 404 && error.status !== 410)) throw error;
    return this.#restart(error);
  }

  /** Begins anew, a bounded number of times. @throws `error` when that was done too often */
  #restart(error: unknown): null {
    this.#restarts += 1;
    if (this.#restarts > 2) throw error;
    return this.#startAnew();
  }

  #startAnew(): null {
    this.#at = null;
    this.#isRecalled = false;
    this.#offset = null;
    this.#furthest = 0;
    return null;
  }

  /** While bytes are sent: as soon as the digest is known, asks whether the server has the content. */
  async #lookForContent(): Promise<void> {
    const { service, steering } = this.#context;
    try {
      const hex = await this.#digest.settled;
      if (hex === null || this.#isOver || !this.#isUndeclared) return;
      await service.send({ method: "HEAD", url: `${service.endpoint}/${hex}`, signal: steering.signal });
      if (this.#isOver || this.#parts.total === null) return;
      this.#isThere = true;
      steering.interrupt();
    } catch {
      // it is not there, or not told: the upload goes on
    }
  }

  /** Takes what the server has, by an upload of this digest that is complete when it begins, and drops the one under way. */
  async #claim(signal: AbortSignal): Promise<Receipt | null> {
    const answer = await this.#requestCreation(signal);
    if (isComplete(answer)) {
      const receipt = this.#receiptIn(answer);
      await this.#remove(this.#at, signal);
      return receipt;
    }
    // it was there, and has been removed
    await this.#remove(this.#locationIn(answer), signal);
    this.#isThere = false;
    this.#offset = null;
    return null;
  }

  /** Best effort: what is not removed expires. */
  async #remove(at: string | null, signal: AbortSignal): Promise<void> {
    if (at === null) return;
    await this.#context.service.send({ method: "DELETE", url: at, signal }).catch(() => null);
  }

  #digestFields(): Record<string, string> {
    const { hex } = this.#digest;
    return hex === null ? {} : { "Repr-Digest": formatReprDigest(hex) };
  }

  #locationIn(answer: WireAnswer): string {
    const location = answer.field("location");
    if (location !== null) return targetIn(location, this.#context.service.endpoint, answer.status);
    throw new FixityClientError("unexpected-answer", "The server does not tell where the upload is.", {
      status: answer.status,
    });
  }

  #receiptIn(answer: WireAnswer): Receipt {
    const expected = { digest: this.#digest.hex, size: this.#parts.total };
    return receiptIn(answer, this.#context.service.endpoint, expected);
  }
}
