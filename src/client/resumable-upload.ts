import type { AppendSize } from "./append-size.ts";
import { FixityClientError } from "./errors.ts";
import { formatReprDigest, isComplete, parseInteger, parseLimits } from "./formats.ts";
import type { Meter } from "./meter.ts";
import type { WireResponse } from "./platform.ts";
import { isSecondUploadRefusal, type Receipt, receiptIn } from "./responses.ts";
import type { ResumeEntry } from "./resume-entry.ts";
import type { Retrier } from "./retrier.ts";
import { resolveLocation, type Service } from "./service.ts";
import type { Append, AppendSource } from "./source.ts";
import type { UploadControl } from "./upload-control.ts";
import type { TransferRates, UploadDigest } from "./upload-digest.ts";

/** The upload of one file, in whichever way it is sent. */
export interface UploadRun {
  readonly service: Service;
  readonly control: UploadControl;
  readonly retrier: Retrier;
  readonly meter: Meter;
  readonly rates: TransferRates;
  /** The header fields that name the file and its type. */
  readonly namingFields: Readonly<Record<string, string>>;
}

/** What a {@link ResumableUpload} sends. */
export interface ResumableFile {
  readonly source: AppendSource;
  readonly digest: UploadDigest;
  /** `null` if no later run can resume the upload. */
  readonly entry: ResumeEntry | null;
  readonly appendSize: AppendSize;
}

/** An upload resource of the server. */
interface Resource {
  readonly url: string;
  /** Whether an earlier run has created it. */
  readonly isFromEarlierRun: boolean;
}

/** The state of the upload. `furthest` is the largest offset that the server has acknowledged. */
type State =
  | { readonly kind: "absent" }
  /** Only the server knows the offset. */
  | { readonly kind: "offset-unknown"; readonly resource: Resource; readonly furthest: number }
  | { readonly kind: "offset-known"; readonly resource: Resource; readonly furthest: number; readonly offset: number };

/** The state of the question whether the server already has the content. */
type LookupState =
  /** The creation declared the digest, which answers the question; or it no longer matters. */
  | "done"
  /** The upload was created without a digest: ask as soon as the digest is known. */
  | "pending"
  /** The server has the content. */
  | "found";

/** Consecutive 500 responses to requests for the offset after which the upload starts over. */
const MAX_OFFSET_FAILURES = 3;

/** Times that an upload starts over after the server has lost it. */
const MAX_RESTARTS = 2;

/** Time for the request that removes an upload that the client has given up. */
const CANCEL_TIMEOUT_MS = 5000;

/**
 * An upload over the IETF protocol (draft-ietf-httpbis-resumable-upload, interop version 9): an
 * empty request creates it, and others append to it. It is created empty because `fetch` does not
 * show the 104 response that carries the URL while content is being sent. No interop version is
 * announced, because its only effect would be such responses.
 *
 * Each step sends one request and moves to the next state. A step that fails leaves a state in
 * which the next attempt first asks the server for the offset.
 */
export class ResumableUpload {
  readonly #run: UploadRun;
  readonly #source: AppendSource;
  readonly #digest: UploadDigest;
  readonly #entry: ResumeEntry | null;
  readonly #appendSize: AppendSize;
  #state: State = { kind: "absent" };
  #lookupState: LookupState = "done";
  /** Resolves when the lookup has ended, or will not take place. */
  #lookup: Promise<void> = Promise.resolve();
  #restarts = 0;
  #offsetFailures = 0;

  constructor(run: UploadRun, { source, digest, entry, appendSize }: ResumableFile) {
    this.#run = run;
    this.#source = source;
    this.#digest = digest;
    this.#entry = entry;
    this.#appendSize = appendSize;
  }

  /** @throws FixityClientError */
  async send(): Promise<Receipt> {
    const recalled = (await this.#entry?.read()) ?? null;
    if (recalled !== null) {
      this.#state = { kind: "offset-unknown", resource: { url: recalled, isFromEarlierRun: true }, furthest: 0 };
      this.#lookupState = "pending";
      // only a digest proves that the earlier run sent the same file
      this.#digest.isRequired = true;
    }
    this.#lookup = this.#lookForContent();
    try {
      let receipt: Receipt | null = null;
      while (receipt === null) receipt = await this.#run.retrier.run((signal) => this.#step(signal));
      await this.#entry?.remove();
      return receipt;
    } finally {
      this.#lookupState = "done";
    }
  }

  /** Removes the upload, here and at the server. */
  async cancel(): Promise<void> {
    await this.#entry?.remove();
    await this.#remove(this.#url, AbortSignal.timeout(CANCEL_TIMEOUT_MS));
  }

  /** Sends the next request. Returns `null` unless that completes the upload. */
  async #step(signal: AbortSignal): Promise<Receipt | null> {
    const state = this.#state;
    if (this.#lookupState === "found") return this.#createByDigest(signal);
    if (state.kind === "absent") return this.#create(signal);
    if (state.kind === "offset-unknown") return this.#requestOffset(state, signal);
    return this.#append(state, signal);
  }

  async #create(signal: AbortSignal): Promise<Receipt | null> {
    this.#lookupState = this.#digest.hex === null ? "pending" : "done";
    const response = await this.#requestCreation(signal);
    if (isComplete(response)) return this.#receiptIn(response);
    const url = this.#locationIn(response);
    const offset = parseInteger(response.field("upload-offset")) ?? 0;
    const limits = parseLimits(response.field("upload-limit"));
    this.#state = { kind: "offset-known", resource: { url, isFromEarlierRun: false }, furthest: 0, offset };
    this.#appendSize.limit(limits);
    await this.#entry?.write(url, limits.age);
    return null;
  }

  #requestCreation(signal: AbortSignal): Promise<WireResponse> {
    const { service, namingFields } = this.#run;
    const { total } = this.#source;
    return service.send({
      method: "POST",
      url: service.endpoint,
      headers: {
        ...namingFields,
        "Upload-Complete": "?0",
        ...(total !== null && { "Upload-Length": String(total) }),
        ...this.#digestFields(),
      },
      signal,
    });
  }

  /** Asks the server for the offset. */
  async #requestOffset(
    { resource, furthest }: State & { kind: "offset-unknown" },
    signal: AbortSignal,
  ): Promise<Receipt | null> {
    const { service, retrier, meter } = this.#run;
    let response: WireResponse;
    try {
      response = await service.send({ method: "HEAD", url: resource.url, signal });
    } catch (error) {
      // an upload of an earlier run that can never be completed
      if (error instanceof FixityClientError && error.final && resource.isFromEarlierRun) return this.#startOver();
      return this.#afterFailedOffsetRequest(error);
    }
    this.#offsetFailures = 0;
    if (isComplete(response)) {
      // an earlier run may have completed the upload of another file
      if (resource.isFromEarlierRun && this.#digest.isPending) return this.#waitForDigest(this.#digest.settled);
      // the response to the last append was lost; this one is the same
      const receipt = await service.send({ method: "GET", url: resource.url, signal });
      return resource.isFromEarlierRun ? this.#earlierReceiptIn(receipt) : this.#receiptIn(receipt);
    }
    const offset = parseInteger(response.field("upload-offset"));
    const length = parseInteger(response.field("upload-length"));
    if (offset === null || (length !== null && length !== (this.#source.total ?? length))) return this.#startOver();
    this.#appendSize.limit(parseLimits(response.field("upload-limit")));
    if (offset > furthest) retrier.progressed();
    this.#state = { kind: "offset-known", resource, furthest: Math.max(furthest, offset), offset };
    meter.reached(offset);
    return null;
  }

  async #append(state: State & { kind: "offset-known" }, signal: AbortSignal): Promise<Receipt | null> {
    const { resource, offset, furthest } = state;
    const { service, retrier, rates } = this.#run;
    const append = await this.#nextAppend(offset);
    if (append === null) return null;
    const { content, isLast } = append;
    const completes = isLast && !this.#digest.isPending;
    // whatever happens to the request, only the server knows the new offset
    this.#state = { kind: "offset-unknown", resource, furthest };
    const began = performance.now();
    let response: WireResponse;
    try {
      response = await service.send({
        method: "PATCH",
        url: resource.url,
        headers: {
          "Content-Type": "application/partial-upload",
          "Upload-Offset": String(offset),
          "Upload-Complete": completes ? "?1" : "?0",
          // asks proxies not to buffer the content (RFC 10036): what has not reached the server is
          // lost with the connection
          ...(content.size > 0 && { Incremental: "?1" }),
          ...(completes && this.#digestFields()),
        },
        content,
        onSent: this.#counter(offset),
        signal,
      });
    } catch (error) {
      if (!signal.aborted) return this.#afterFailedAppend(error, content.size);
      throw error;
    }
    const ms = performance.now() - began;
    rates.sent(content.size, ms);
    if (completes) return this.#receiptIn(response);
    this.#appendSize.succeeded(content.size, ms);
    if (content.size > 0) retrier.progressed();
    const reached = offset + content.size;
    this.#state = { kind: "offset-known", resource, furthest: reached, offset: reached };
    return null;
  }

  /** Returns `null` if it had to wait for the digest, after which another step may be due. */
  async #nextAppend(offset: number): Promise<Append | null> {
    const { control, meter } = this.#run;
    if (this.#digest.reconsiderAt(offset, this.#source.total) === "wait") return this.#waitForDigest(this.#lookup);
    const append = await control.wait(this.#source.take(offset, this.#appendSize.bytes));
    if (append.isLast) meter.total = offset + append.content.size;
    // an append below the server's minimum must complete the upload, and needs the digest for that
    const isEndOnly = append.isLast && append.content.size < Math.max(1, this.#appendSize.min);
    if (isEndOnly && this.#digest.isPending) return this.#waitForDigest(this.#digest.settled);
    meter.reached(offset);
    return append;
  }

  async #waitForDigest(outcome: Promise<unknown>): Promise<null> {
    await this.#digest.wait(outcome, this.#run);
    return null;
  }

  /**
   * Counts the bytes of an append. Meanwhile it reconsiders the digest, which may become useless
   * during a long append.
   */
  #counter(offset: number): (bytes: number) => void {
    const count = this.#run.meter.counter(offset);
    return (bytes) => {
      count(bytes);
      this.#digest.reconsiderAt(offset + bytes, this.#source.total);
    };
  }

  /** Returns if an append of another size, or a new upload, may succeed. @throws FixityClientError */
  #afterFailedAppend(error: unknown, bytes: number): null {
    if (!(error instanceof FixityClientError) || error.final) throw error;
    const { status, code, facts } = error;
    // servers without append-too-small use one code for both limits
    if ((code === "append-limit-exceeded" || code === "append-too-small") && typeof facts["limit"] === "number") {
      const { limit } = facts as { readonly limit: number };
      if (this.#appendSize.limit(bytes > limit ? { max: limit, min: 0 } : { max: Infinity, min: limit })) return null;
    }
    if (status === 413 && code !== "size-limit-exceeded" && this.#appendSize.refused(bytes)) return null;
    if (code === "network-error") this.#appendSize.broke(bytes);
    return this.#afterLoss(error);
  }

  /**
   * A 500 means that the server fails at this upload, not that it is unreachable: after a few in a
   * row the upload starts over. During an outage (502, 503, no connection) the retrier waits.
   *
   * @throws FixityClientError
   */
  #afterFailedOffsetRequest(error: unknown): null {
    const isFault = error instanceof FixityClientError && error.status === 500;
    this.#offsetFailures = isFault ? this.#offsetFailures + 1 : 0;
    if (this.#offsetFailures < MAX_OFFSET_FAILURES) return this.#afterLoss(error);
    this.#offsetFailures = 0;
    return this.#restart(error);
  }

  /**
   * Starts over if the server no longer has the upload, or has lost bytes of it.
   *
   * @throws FixityClientError `error`, in all other cases
   */
  #afterLoss(error: unknown): null {
    if (!(error instanceof FixityClientError)) throw error;
    if (error.code === "upload-damaged") return this.#restart(error);
    if (error.final || (error.status !== 404 && error.status !== 410)) throw error;
    return this.#restart(error);
  }

  /** Starts over, a bounded number of times. @throws `error` once that is exhausted */
  #restart(error: unknown): null {
    this.#restarts += 1;
    if (this.#restarts > MAX_RESTARTS) throw error;
    return this.#startOver();
  }

  #startOver(): null {
    this.#state = { kind: "absent" };
    return null;
  }

  /** Beside the steps: asks whether the server has the content, as soon as the digest is known. */
  async #lookForContent(): Promise<void> {
    const { service, control } = this.#run;
    try {
      const hex = await this.#digest.settled;
      if (hex === null || this.#lookupState !== "pending") return;
      // with this parameter the response is 204 and not 404, which a browser would show as an error
      const url = `${service.endpoint}/${hex}?stored`;
      const { status } = await service.send({ method: "HEAD", url, signal: control.signal });
      if (status === 204 || this.#lookupState !== "pending" || this.#source.total === null) return;
      this.#lookupState = "found";
      control.interrupt();
    } catch {
      // it is not stored, or the server cannot tell: the upload proceeds
    }
  }

  /**
   * Creates an upload with the digest, which is complete at once because the server has the
   * content and has verified it. Drops the other one. Until then nothing is acknowledged: the
   * response to `HEAD` states only that there is a file with this name.
   */
  async #createByDigest(signal: AbortSignal): Promise<Receipt | null> {
    let response: WireResponse;
    try {
      response = await this.#requestCreation(signal);
    } catch (error) {
      if (!isSecondUploadRefusal(error)) throw error;
      return this.#endLookup();
    }
    if (isComplete(response)) {
      const receipt = this.#receiptIn(response);
      await this.#remove(this.#url, signal);
      return receipt;
    }
    // the content was removed in the meantime, is damaged, or was not verified in time
    await this.#remove(this.#locationIn(response), signal);
    return this.#endLookup();
  }

  /** Continues the first upload, whose last append the lookup has interrupted. */
  #endLookup(): null {
    this.#lookupState = "done";
    const state = this.#state;
    if (state.kind === "offset-known") this.#state = { ...state, kind: "offset-unknown" };
    return null;
  }

  /** Best effort: an upload that is not removed expires. */
  async #remove(url: string | null, signal: AbortSignal): Promise<void> {
    if (url === null) return;
    await this.#run.service.send({ method: "DELETE", url, signal }).catch(() => null);
  }

  get #url(): string | null {
    return this.#state.kind === "absent" ? null : this.#state.resource.url;
  }

  #digestFields(): Record<string, string> {
    const { hex } = this.#digest;
    return hex === null ? {} : { "Repr-Digest": formatReprDigest(hex) };
  }

  #locationIn(response: WireResponse): string {
    const location = response.field("location");
    if (location !== null) return resolveLocation(location, this.#run.service.endpoint, response.status);
    throw new FixityClientError("unexpected-answer", "The response to the creation has no Location.", {
      status: response.status,
    });
  }

  /** The receipt of an upload that an earlier run completed; if it was another file, this upload starts over. */
  #earlierReceiptIn(response: WireResponse): Receipt | null {
    try {
      return this.#receiptIn(response);
    } catch (error) {
      if (error instanceof FixityClientError && error.code === "digest-mismatch") return this.#startOver();
      throw error;
    }
  }

  #receiptIn(response: WireResponse): Receipt {
    return receiptIn(response, this.#run.service.endpoint, { digest: this.#digest.hex, size: this.#source.total });
  }
}
