import { randomUUID } from "node:crypto";
import type { Digest } from "../../core/digest.ts";
import { FixityError } from "../../core/errors.ts";
import type { CommitOptions, Committed } from "../../core/staged-blob.ts";
import type { UploadId } from "../../core/upload-id.ts";
import type {
  CreateUploadOptions,
  EndedUpload,
  HeldUpload,
  ReadUpload,
  UploadStore,
  UploadSummary,
} from "../../core/upload-store.ts";
import { Lease, Takeovers, type TakeoverTarget, Untaken } from "../takeover.ts";
import type { MemoryBlobs } from "./memory-blobs.ts";

/** The distance of `nextSave` from the last save. A save costs no more than its call here. */
const SAVE_INTERVAL_BYTES = 1024 * 1024;

/** An upload as its last save has left it. */
interface MemoryUpload {
  readonly id: UploadId;
  record: string;
  /** When the record was last written, in milliseconds since 1970. */
  modified: number;
  isEnded: boolean;
  offset: number;
  chunks: Uint8Array[];
  /** The name of the lease under which it is held. */
  holder: string | null;
}

interface Sighting {
  readonly upload: MemoryUpload;
  readonly holder: string | null;
}

interface Taken {
  readonly upload: MemoryUpload;
  readonly lease: Lease;
}

/** Resumable uploads in the memory of this process. */
export class MemoryUploads implements UploadStore {
  readonly #blobs: MemoryBlobs;
  readonly #uploads = new Map<string, MemoryUpload>();
  readonly #takeovers = new Takeovers();

  constructor(blobs: MemoryBlobs) {
    this.#blobs = blobs;
  }

  async create(id: UploadId, record: string, { isEnded = false }: CreateUploadOptions = {}): Promise<void> {
    this.#uploads.set(id.hex, { id, record, modified: Date.now(), isEnded, offset: 0, chunks: [], holder: null });
  }

  async read(id: UploadId, signal?: AbortSignal): Promise<ReadUpload | null> {
    signal?.throwIfAborted();
    const upload = this.#uploads.get(id.hex);
    if (upload === undefined) return null;
    return { record: upload.record, offset: upload.offset, isHeld: upload.holder !== null };
  }

  async hold(id: UploadId, signal?: AbortSignal): Promise<HeldUpload | EndedUpload | null> {
    const taken = await this.#takeovers.takeOver(id, this.#target(id), signal);
    if (taken === null || "status" in taken) return taken;
    return new MemoryHeldUpload(taken, this.#blobs, () => this.#uploads.delete(id.hex));
  }

  async *list(signal?: AbortSignal): AsyncGenerator<UploadSummary> {
    for (const { id, modified, isEnded } of this.#uploads.values()) {
      signal?.throwIfAborted();
      const age = Date.now() - modified;
      yield { id, age: age < 0 ? null : age, isEnded };
    }
  }

  #target(id: UploadId): TakeoverTarget<Sighting, Taken, EndedUpload | null> {
    return {
      pollMs: 0,
      look: async () => {
        const upload = this.#uploads.get(id.hex);
        if (upload === undefined) return new Untaken(null);
        if (upload.isEnded) return new Untaken(this.#ended(upload));
        return { upload, holder: upload.holder };
      },
      // All holders are in this process.
      ask: async () => {},
      take: async ({ upload, holder }) => {
        if (this.#uploads.get(id.hex) !== upload || upload.holder !== holder || upload.isEnded) return null;
        const lease = new Lease(randomUUID());
        upload.holder = lease.name;
        return { upload, lease };
      },
    };
  }

  #ended({ id, record }: MemoryUpload): EndedUpload {
    return { status: "ended", record, remove: async () => void this.#uploads.delete(id.hex) };
  }
}

/** A held upload in memory. */
class MemoryHeldUpload implements HeldUpload {
  readonly status = "held";
  readonly #upload: MemoryUpload;
  readonly #lease: Lease;
  readonly #blobs: MemoryBlobs;
  readonly #onRemove: () => void;
  /** Written since the last save. */
  #chunks: Uint8Array[] = [];
  #length = 0;
  #isReleased = false;

  constructor({ upload, lease }: Taken, blobs: MemoryBlobs, onRemove: () => void) {
    this.#upload = upload;
    this.#lease = lease;
    this.#blobs = blobs;
    this.#onRemove = onRemove;
  }

  get record(): string {
    return this.#upload.record;
  }

  get offset(): number {
    return this.#upload.offset;
  }

  get takeover(): AbortSignal {
    return this.#lease.takeover;
  }

  get nextSave(): number {
    return this.offset + this.#length - (this.#length % SAVE_INTERVAL_BYTES) + SAVE_INTERVAL_BYTES;
  }

  write(bytes: Uint8Array): void {
    this.#assertHeld();
    this.#chunks.push(bytes);
    this.#length += bytes.length;
  }

  async save(record: string): Promise<void> {
    this.#assertHeld();
    this.#keep(record);
    this.#upload.chunks.push(...this.#chunks);
    this.#upload.offset += this.#length;
    this.#dropUnsaved();
  }

  async renew(record: string): Promise<void> {
    this.#assertHeld();
    this.#keep(record);
  }

  async *read(from = 0): AsyncGenerator<Uint8Array> {
    let skip = from;
    for (const chunk of this.#upload.chunks) {
      this.#assertHeld();
      // A copy: the receiver may write to it.
      if (skip < chunk.length) yield Buffer.from(chunk.subarray(skip));
      skip = Math.max(skip - chunk.length, 0);
    }
  }

  async commit(digest: Digest, options: CommitOptions = {}): Promise<Committed> {
    this.#assertHeld();
    return this.#blobs.commit(digest, this.#upload.chunks, options);
  }

  async conclude(record: string): Promise<void> {
    this.#assertHeld();
    this.#dropUnsaved();
    this.#keep(record);
    this.#upload.isEnded = true;
    this.#upload.chunks = [];
    this.#upload.offset = 0;
  }

  async remove(): Promise<void> {
    this.#assertHeld();
    this.#onRemove();
    this.#release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#release();
  }

  #keep(record: string): void {
    this.#upload.record = record;
    this.#upload.modified = Date.now();
  }

  #release(): void {
    this.#isReleased = true;
    this.#dropUnsaved();
    if (this.#upload.holder === this.#lease.name) this.#upload.holder = null;
    this.#lease.release();
  }

  #dropUnsaved(): void {
    this.#chunks = [];
    this.#length = 0;
  }

  #assertHeld(): void {
    this.#lease.assertHeld();
    if (this.#isReleased) throw new FixityError("internal-error", "The upload was released or removed.");
  }
}
