/**
 * Many uploads as a store for user interfaces: `subscribe` and `getSnapshot` are what React's
 * `useSyncExternalStore`, Vue, Svelte and Solid bind to. The client's `concurrency` bounds how many
 * run at the same time. Snapshots are immutable, and only entries that have changed are new objects.
 */
import { asClientError, type FixityClientError } from "./errors.ts";
import type { Client, Upload, UploadOptions, UploadProgress, UploadResult, UploadSource } from "./types.ts";

/**
 * `queued`: it has not begun, because others run. `cancelled`: `cancel()` has removed what had
 * arrived at the server.
 */
export type QueuedUploadStatus = "queued" | "running" | "paused" | "done" | "failed" | "cancelled";

/** One upload of a queue, at one moment. */
export interface QueuedUpload {
  /** Unique within the queue. */
  readonly id: string;
  /** The name of a `File`, or the option `filename`; `null` if there is none. */
  readonly name: string | null;
  /** Bytes of a `Blob` or of bytes in memory; `null` if unknown. */
  readonly size: number | null;
  readonly status: QueuedUploadStatus;
  /** The last report; `null` before the first. Its `wait` is set while the upload waits. */
  readonly progress: UploadProgress | null;
  /** Set when it is `done`. */
  readonly result: UploadResult | null;
  /** Set when it has `failed`. */
  readonly error: FixityClientError | null;
}

/**
 * A list of uploads, in the order in which they were added. Methods need no `this`. Those that take
 * an optional id apply to all uploads without one, and ignore uploads in other states.
 */
export interface UploadQueue {
  /** Calls a function after every change. Returns a function that ends that. */
  readonly subscribe: (listener: () => void) => () => void;
  /** The same object until something changes. */
  readonly getSnapshot: () => readonly QueuedUpload[];
  /** Starts uploads. Returns their ids. `onProgress` is called besides the queue's own. */
  readonly add: (sources: Iterable<UploadSource>, options?: UploadOptions) => string[];
  /** Pauses an upload, or all. Others may run meanwhile. */
  readonly pause: (id?: string) => void;
  /** Continues a paused upload, or all. */
  readonly resume: (id?: string) => void;
  /** Starts failed and cancelled uploads again. They resume from what the server has. */
  readonly retry: (id?: string) => void;
  /** Cancels uploads that have not ended, here and at the server. They stay in the list. */
  readonly cancel: (id?: string) => void;
  /** Removes an upload from the list, or all. Cancels those that have not ended. */
  readonly remove: (id?: string) => void;
}

/** Creates an empty queue. Creating it sends nothing, so a module may do so on a server, too. */
export function createUploadQueue(client: Client): UploadQueue {
  const entries = new Map<string, Entry>();
  const listeners = new Set<() => void>();
  let snapshot: readonly QueuedUpload[] | null = [];
  let lastNumber = 0;
  const changed = (): void => {
    snapshot = null;
    for (const listener of listeners) listener();
  };
  const each = (id: string | undefined, act: (entry: Entry) => void): void => {
    const chosen = id === undefined ? [...entries.values()] : [entries.get(id)];
    for (const entry of chosen) if (entry !== undefined) act(entry);
  };
  return {
    subscribe: (listener) => {
      // the same function may subscribe twice
      const own = (): void => listener();
      listeners.add(own);
      return () => void listeners.delete(own);
    },
    getSnapshot: () => (snapshot ??= Array.from(entries.values(), ({ state }) => state)),
    add: (sources, options = {}) => {
      const ids: string[] = [];
      for (const source of sources) {
        lastNumber += 1;
        const id = `upload-${lastNumber}`;
        ids.push(id);
        entries.set(id, new Entry({ client, source, options, id, changed }));
      }
      for (const id of ids) entries.get(id)?.start();
      changed();
      return ids;
    },
    pause: (id) => each(id, (entry) => entry.pause()),
    resume: (id) => each(id, (entry) => entry.resume()),
    retry: (id) => each(id, (entry) => entry.retry()),
    cancel: (id) => each(id, (entry) => entry.cancel()),
    remove: (id) => {
      each(id, (entry) => {
        entries.delete(entry.state.id);
        entry.cancel();
      });
      changed();
    },
  };
}

interface EntryOptions {
  readonly client: Client;
  readonly source: UploadSource;
  readonly options: UploadOptions;
  readonly id: string;
  readonly changed: () => void;
}

/** One upload and its retries. */
class Entry {
  state: QueuedUpload;
  readonly #options: EntryOptions;
  /** The running attempt; `null` when it has ended. */
  #upload: Upload | null = null;

  constructor(options: EntryOptions) {
    const { id, source } = options;
    this.#options = options;
    const name = options.options.filename ?? (source instanceof File ? source.name : null);
    const state = {
      id,
      name,
      size: sizeOf(source),
      status: "queued",
      progress: null,
      result: null,
      error: null,
    } as const;
    this.state = Object.freeze(state);
  }

  start(): void {
    const { client, source, options } = this.#options;
    const upload = client.start(source, {
      ...options,
      onProgress: (progress) => {
        if (this.#upload === upload) {
          this.#update({ progress, ...(!upload.isPaused && { status: "running" }) });
        }
        options.onProgress?.(progress);
      },
    });
    this.#upload = upload;
    upload.done.then(
      (result) => this.#end(upload, { status: "done", result }),
      (error: unknown) => this.#end(upload, { status: "failed", error: asClientError(error) }),
    );
  }

  pause(): void {
    if (this.#upload === null) return;
    this.#upload.pause();
    this.#update({ status: "paused" });
  }

  resume(): void {
    if (this.#upload === null || this.state.status !== "paused") return;
    this.#upload.resume();
    this.#update({ status: "queued" });
  }

  retry(): void {
    const { status } = this.state;
    if (status !== "failed" && status !== "cancelled") return;
    this.#update({ status: "queued", progress: null, error: null });
    this.start();
  }

  cancel(): void {
    if (this.#upload === null) return;
    const upload = this.#upload;
    this.#upload = null;
    upload.abort();
    this.#update({ status: "cancelled" });
  }

  #end(upload: Upload, state: Partial<QueuedUpload>): void {
    // a cancelled upload ends, too
    if (this.#upload !== upload) return;
    this.#upload = null;
    this.#update(state);
  }

  #update(changes: Partial<QueuedUpload>): void {
    this.state = Object.freeze({ ...this.state, ...changes });
    this.#options.changed();
  }
}

function sizeOf(source: UploadSource): number | null {
  if (source instanceof Blob) return source.size;
  return source instanceof ArrayBuffer || ArrayBuffer.isView(source) ? source.byteLength : null;
}
