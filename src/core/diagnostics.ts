import { channel, type Channel } from "node:diagnostics_channel";
import { FixityError } from "./errors.ts";

/**
 * The seams for metrics, tracing and tests: five channels of `node:diagnostics_channel`. They cost
 * nothing while nothing subscribes, and a subscriber cannot change or delay what it observes.
 * Durations are in milliseconds, sizes in bytes.
 *
 *     import { subscribe } from "node:diagnostics_channel";
 *     subscribe("fixity:upload", (event) => …);
 */

/**
 * An upload ended: the plain upload of one request, or a resumable upload with its last append. A
 * claim of stored content is an upload too.
 */
export interface UploadEvent {
  readonly kind: "plain" | "resumable";
  /**
   * `stored` and `existed` were acknowledged; `failed` covers refusals, disconnects and store
   * errors.
   */
  readonly outcome: "stored" | "existed" | "failed";
  /** The error's code; `null` unless the upload failed. */
  readonly code: string | null;
  /**
   * Bytes of a plain upload that arrived, 0 for a claim; bytes of a resumable upload as a whole.
   */
  readonly size: number;
  /** Of a resumable upload, the duration of its last request. */
  readonly durationMs: number;
}

/** The response to a GET of a blob ended. */
export interface DownloadEvent {
  /**
   * `complete` if every byte was handed to the socket; `delegated` if another server sends them.
   */
  readonly outcome: "complete" | "aborted" | "failed" | "delegated";
  readonly status: number;
  /** Bytes of content that were sent. */
  readonly size: number;
  readonly durationMs: number;
}

/** A call to a store's server ended, retries included. */
export interface StoreRequestEvent {
  /** What the store's protocol calls it: `PutObject`. */
  readonly operation: string;
  readonly outcome: "ok" | "failed";
  /** The last status; `null` without a response. */
  readonly status: number | null;
  readonly attempts: number;
  readonly durationMs: number;
}

/** A collection ended: what dead processes left behind and expired uploads were removed. */
export interface CleanupEvent {
  readonly outcome: "ok" | "failed";
  readonly staged: number;
  /** Bytes freed, as far as the store can tell. */
  readonly bytes: number;
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

/**
 * Publishes that an upload ended.
 *
 * @param startedAt what `performance.now()` returned at its start, or at the start of its last
 *   request
 */
export function publishUpload(
  kind: UploadEvent["kind"],
  result: { readonly existed: boolean } | FixityError,
  { size, startedAt }: { readonly size: number; readonly startedAt: number },
): void {
  if (!uploadEnded.isObserved) return;
  const durationMs = performance.now() - startedAt;
  if (result instanceof FixityError)
    uploadEnded.publish({ kind, outcome: "failed", code: result.code, size, durationMs });
  else uploadEnded.publish({ kind, outcome: result.existed ? "existed" : "stored", code: null, size, durationMs });
}
