import type { UploadId } from "../../core/upload-id.ts";
import type {
  CreateUploadOptions,
  EndedUpload,
  HeldUpload,
  ReadUpload,
  UploadStore,
  UploadSummary,
} from "../../core/upload-store.ts";
import type { Hold } from "../uploads/hold.ts";
import type { MemoryBlobs } from "./memory-blob.ts";
import { MemoryHeldUpload } from "./memory-held-upload.ts";

/** An upload as its last save has left it. */
export interface MemoryUpload {
  readonly id: UploadId;
  record: string;
  /** When the record was last written, in milliseconds since 1970. */
  modified: number;
  isEnded: boolean;
  offset: number;
  chunks: Uint8Array[];
  hold: Hold | null;
}

/** Uploads in this process's memory: the port in its plainest form, to be read beside the contract. */
export class MemoryUploads implements UploadStore {
  readonly #blobs: MemoryBlobs;
  readonly #uploads = new Map<string, MemoryUpload>();

  constructor(blobs: MemoryBlobs) {
    this.#blobs = blobs;
  }

  /** What is announced of the whole saves no work here. */
  async create(id: UploadId, record: string, { isEnded = false }: CreateUploadOptions = {}): Promise<void> {
    this.#uploads.set(id.hex, { id, record, modified: Date.now(), isEnded, offset: 0, chunks: [], hold: null });
  }

  async read(id: UploadId, signal?: AbortSignal): Promise<ReadUpload | null> {
    signal?.throwIfAborted();
    const upload = this.#uploads.get(id.hex);
    if (upload === undefined) return null;
    return { record: upload.record, offset: upload.offset, isHeld: upload.hold !== null };
  }

  async hold(id: UploadId, signal?: AbortSignal): Promise<HeldUpload | EndedUpload | null> {
    signal?.throwIfAborted();
    for (;;) {
      const upload = this.#uploads.get(id.hex);
      if (upload === undefined) return null;
      const { hold, record } = upload;
      if (upload.isEnded) return { status: "ended", record, remove: async () => void this.#uploads.delete(id.hex) };
      if (hold === null) return this.#take(upload);
      const given = await hold.give(signal);
      // It may have been given to another one who waited, or be gone.
      if (given || upload.hold !== hold) continue;
      hold.lose();
      upload.hold = null;
    }
  }

  async *list(signal?: AbortSignal): AsyncGenerator<UploadSummary> {
    for (const { id, modified, isEnded } of this.#uploads.values()) {
      signal?.throwIfAborted();
      const age = Date.now() - modified;
      yield { id, age: age < 0 ? null : age, isEnded };
    }
  }

  #take(upload: MemoryUpload): HeldUpload {
    const blobs = this.#blobs;
    return new MemoryHeldUpload({ upload, blobs, remove: () => this.#uploads.delete(upload.id.hex) });
  }
}
