import { channel, type Channel } from "node:diagnostics_channel";
import type { Digest } from "./digest.ts";
import type { StoreUsage } from "./store.ts";
import { asFixityError, type FixityError } from "./errors.ts";

/**
 * The seams for metrics, tracing and tests: channels of `node:diagnostics_channel`. They cost
 * nothing while nothing subscribes, and a subscriber cannot change or delay what it observes.
 * Durations are in milliseconds, sizes in bytes.
 *
 *     import { subscribe } from "node:diagnostics_channel";
 *     subscribe("fixity:upload", (event) => …);
 */

/** How a request came: `none` for a call of the program itself. */
export interface RequestSource {
  /** What its path addresses; an `upload` is a resumable one. */
  readonly route: "collection" | "link" | "name" | "upload" | "none";
  /** The protocol of an upload, or `plain` HTTP. */
  readonly protocol: "form" | "plain" | "ietf" | "tus" | "none";
}

export const NO_SOURCE: RequestSource = { route: "none", protocol: "none" };

/**
 * An upload ended: the plain upload of one request, or a resumable upload with its last append. A
 * claim of stored content is an upload too.
 */
export interface UploadEvent extends RequestSource {
  /** One request, or several. */
  readonly kind: "plain" | "resumable";
  /**
   * `stored` and `existed` were acknowledged; `failed` covers refusals, disconnects and store
   * errors. Only unfinished resumable uploads are `expired`, `cancelled` by a request, or `evicted`
   * to make room for others.
   */
  readonly outcome: "stored" | "existed" | "failed" | "expired" | "cancelled" | "evicted";
  /** The error's code; `null` unless the upload failed. */
  readonly code: string | null;
  /**
   * Bytes of a plain upload that arrived, 0 for a claim; bytes of a resumable upload as a whole.
   */
  readonly size: number;
  /** Of a resumable upload, the duration of its last request. */
  readonly durationMs: number;
  /** The part of it in which bytes arrived; `null` unless all of them did. */
  readonly receiveMs: number | null;
  /** The part of `receiveMs` in which they were hashed. */
  readonly hashMs: number | null;
  /** The part of it in which they were made durable and readable; `null` unless that succeeded. */
  readonly commitMs: number | null;
}

/** An append to a resumable upload ended; not a repetition of one that is complete. */
export interface AppendEvent extends RequestSource {
  /** Whether all of its bytes were saved. */
  readonly outcome: "ok" | "failed";
  /** The error's code; `null` unless the append failed. */
  readonly code: string | null;
  /** Where it began. Above 0, it resumed the upload. */
  readonly offset: number;
  /** Bytes that it added. */
  readonly size: number;
  /** The whole append, with the saves. */
  readonly durationMs: number;
}

/** A request to the service over HTTP ended, whatever it was for. */
export interface RequestEvent extends RequestSource {
  /** What it had to be authorized for, such as `create`; `none` if it was refused before. */
  readonly action: string;
  /** The status of the response. */
  readonly status: number;
  /** The code of the failure that the response reports, or `null`. */
  readonly code: string | null;
  /** Whether the client received less than the whole response. */
  readonly aborted: boolean;
  /** Bytes of content. */
  readonly bytesReceived: number;
  /** Bytes of content. */
  readonly bytesSent: number;
  /** From the header of the request to the end of the response. */
  readonly durationMs: number;
}

/** The bytes of a stored blob were compared with its digest. */
export interface VerificationEvent {
  /** The digest that the bytes should have. */
  readonly digest: Digest;
  /** A blob is read again if a read is `different`, and is `damaged` if that differs too. */
  readonly outcome: "intact" | "different" | "damaged";
}

/** The response to a GET of a blob ended. */
export interface DownloadEvent {
  /**
   * `complete` if every byte was handed to the socket; `delegated` if another server sends them.
   */
  readonly outcome: "complete" | "aborted" | "failed" | "delegated";
  /** The status of the response. */
  readonly status: number;
  /** Bytes of content that were sent. */
  readonly size: number;
  /** From the header of the request to the end of the response. */
  readonly durationMs: number;
}

/** A call to a store's server ended, retries included. */
export interface StoreRequestEvent {
  /** What the store's protocol calls it: `PutObject`. */
  readonly operation: string;
  /** Whether the last attempt succeeded. */
  readonly outcome: "ok" | "failed";
  /** The last status; `null` without a response. */
  readonly status: number | null;
  /** 1 if it was not repeated. */
  readonly attempts: number;
  /** All attempts, with the delays between them. */
  readonly durationMs: number;
}

/** A collection ended: what dead processes left behind and expired uploads were removed. */
export interface CleanupEvent {
  /** Whether the collection came to its end. */
  readonly outcome: "ok" | "failed";
  /** Leftovers and expired uploads that were removed. */
  readonly staged: number;
  /** Bytes freed, as far as the store can tell. */
  readonly bytes: number;
  /** The whole collection. */
  readonly durationMs: number;
}

/** An event for other systems was delivered, could not be delivered yet, or was given up. */
export interface EventHandledEvent {
  readonly outcome: "delivered" | "failed" | "dead";
  /** `blob.stored` and the like. */
  readonly type: string;
  /** Deliveries so far, in this process. */
  readonly attempts: number;
  /** Of the delivery; 0 if it was given up. */
  readonly durationMs: number;
}

/** What a service has in hand at the moment, in this process. */
export interface FixityUsage extends StoreUsage {
  /** Unfinished resumable uploads that were created or continued here. */
  readonly openUploads: number;
  /** Damaged blobs that are known here. */
  readonly damagedBlobs: number;
}

/** Publishes events on one channel. */
export class Seam<Event> {
  readonly #channel: Channel;

  constructor(name: string) {
    this.#channel = channel(name);
  }

  /** Whether there are subscribers. Without any, callers need not create an event. */
  get isObserved(): boolean {
    return this.#channel.hasSubscribers;
  }

  publish(event: Event): void {
    this.#channel.publish(event);
  }
}

export const uploadEnded: Seam<UploadEvent> = new Seam("fixity:upload");
export const downloadEnded: Seam<DownloadEvent> = new Seam("fixity:download");
export const storeRequestEnded: Seam<StoreRequestEvent> = new Seam("fixity:store-request");
export const cleanupEnded: Seam<CleanupEvent> = new Seam("fixity:cleanup");
export const eventHandled: Seam<EventHandledEvent> = new Seam("fixity:event");
export const appendEnded: Seam<AppendEvent> = new Seam("fixity:append");
export const requestEnded: Seam<RequestEvent> = new Seam("fixity:request");
export const verificationEnded: Seam<VerificationEvent> = new Seam("fixity:verification");

/** Publishes the result of a verification. */
export function publishVerification(digest: Digest, outcome: VerificationEvent["outcome"]): void {
  if (verificationEnded.isObserved) verificationEnded.publish({ digest, outcome });
}

/** Observes one upload, or one request to a resumable upload, and publishes its end. */
export class UploadTrace {
  /** Set by the observed code as it gets there; see {@link UploadEvent}. */
  receiveMs: number | null = null;
  hashMs: number | null = null;
  commitMs: number | null = null;
  readonly #kind: UploadEvent["kind"];
  readonly #source: RequestSource;
  readonly #startedAt = performance.now();
  #hasAppended = false;

  constructor(kind: UploadEvent["kind"], source: RequestSource = NO_SOURCE) {
    this.#kind = kind;
    this.#source = source;
  }

  /** The upload was acknowledged, or has failed. */
  ended(result: { readonly existed: boolean } | FixityError, size: number): void {
    if (!("existed" in result)) this.#publish("failed", size, result);
    else this.#publish(result.existed ? "existed" : "stored", size, null);
  }

  /** Measures a commit. */
  async committing<Result>(commit: () => Promise<Result>): Promise<Result> {
    const startedAt = performance.now();
    const result = await commit();
    this.commitMs = performance.now() - startedAt;
    return result;
  }

  /** The upload was removed, unfinished. */
  removed(outcome: "expired" | "cancelled" | "evicted", size: number): void {
    this.#publish(outcome, size, null);
  }

  /** An append brought the upload to `reached`. What fails after it has ended is not the append. */
  appended({ offset, reached }: { readonly offset: number; readonly reached: number }, error?: unknown): void {
    if (!appendEnded.isObserved || this.#hasAppended) return;
    this.#hasAppended = true;
    const { route, protocol } = this.#source;
    const code = error === undefined ? null : asFixityError(error).code;
    const size = Math.max(reached - offset, 0);
    const outcome = code === null ? "ok" : "failed";
    appendEnded.publish({ route, protocol, outcome, code, offset, size, durationMs: this.#elapsedMs });
  }

  get #elapsedMs(): number {
    return performance.now() - this.#startedAt;
  }

  #publish(outcome: UploadEvent["outcome"], size: number, error: FixityError | null): void {
    if (!uploadEnded.isObserved) return;
    const { receiveMs, hashMs, commitMs } = this;
    const { route, protocol } = this.#source;
    uploadEnded.publish({
      kind: this.#kind,
      route,
      protocol,
      outcome,
      code: error?.code ?? null,
      size,
      durationMs: this.#elapsedMs,
      receiveMs,
      hashMs,
      commitMs,
    });
  }
}
