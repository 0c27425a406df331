import { channel, type Channel } from "node:diagnostics_channel";

/**
 * The seams for metrics, tracing and tests: four channels of `node:diagnostics_channel`. They cost nothing while nobody
 * subscribes, and a subscriber cannot change or delay what it observes. Durations are in milliseconds, sizes in bytes.
 *
 *     import { subscribe } from "node:diagnostics_channel";
 *     subscribe("fixity:upload", (event) => …);
 */

/** An upload ended: the plain upload of one request, or a resumable upload with its last append. */
export interface UploadEvent {
  readonly kind: "plain" | "resumable";
  /** `stored` and `existed` were acknowledged; `failed` covers refusals, disconnects and store errors. */
  readonly outcome: "stored" | "existed" | "failed";
  /** The error's code; `null` unless the upload failed. */
  readonly code: string | null;
  /** Bytes received by this process. */
  readonly size: number;
  readonly durationMs: number;
}

/** The response to a GET of a blob ended. */
export interface DownloadEvent {
  /** `complete` if every byte was handed to the socket; `delegated` if another server sends them. */
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

/** Publishes on one channel. */
export class Seam<Event> {
  readonly #channel: Channel;

  constructor(name: string) {
    this.#channel = channel(name);
  }

  /** Whether anybody subscribes: without, callers need not make an event. */
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
