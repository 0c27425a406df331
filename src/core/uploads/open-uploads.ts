import { FairShare } from "../../base/fair-share.ts";
import { FixityError } from "../errors.ts";
import { UploadId } from "../upload-id.ts";
import type { UploadRecord } from "./upload-record.ts";

/** Uploads that are looked up in the store at a time, to find some that have ended. */
const LOOKUPS = 20;

/** An upload with fewer durable bytes than this is evicted when there is no room for another; there is little to send again. */
const EVICTED_BELOW_BYTES = 1024 * 1024;
/** Milliseconds without a request after which such an upload may be evicted. */
const EVICTED_AFTER_MS = 10 * 60_000;

/** Whether an upload, as the store has it, was left behind with few bytes. */
export function isEvictable({ saved, sealed, outcome }: UploadRecord, offset: number): boolean {
  return outcome === null && !sealed && offset < EVICTED_BELOW_BYTES && Date.now() - saved >= EVICTED_AFTER_MS;
}

/** What the store says about an upload. */
export interface OpenUploadsStore {
  /** Whether the upload is unfinished: it may have ended, or been removed, at another instance. */
  isOpen(id: UploadId): Promise<boolean>;
  /** Removes the upload, unless it is in use, has grown, or has ended. Returns whether it is gone. */
  evict(id: UploadId): Promise<boolean>;
}

/** What is known of an open upload here. */
interface OpenUpload {
  /** Milliseconds since 1970. */
  readonly expires: number;
  /** Milliseconds since 1970 of the end of the last request. */
  readonly touched: number;
  /** Durable bytes. */
  readonly offset: number;
  /** Whose share it takes; `null` for a client without a share. */
  readonly client: string | null;
}

/** An upload after a request. */
export interface Noted {
  readonly expires: number;
  readonly offset: number;
}

/**
 * Unfinished uploads that were begun or continued in this process: a bound on what one instance takes on, of which no client
 * can take all.
 */
export class OpenUploads {
  readonly #shares: FairShare;
  readonly #store: OpenUploadsStore;
  /** By id. Those that were used, or looked up, last stand last. */
  readonly #uploads = new Map<string, OpenUpload>();
  /** Admitted, and not in the store yet. */
  readonly #beginning = new Set<string>();
  #makingRoom: Promise<void> | null = null;

  constructor(most: number, store: OpenUploadsStore) {
    this.#shares = new FairShare(most);
    this.#store = store;
  }

  /**
   * Admits a new upload, for which {@link note} must be called when the store has it, or {@link forget}.
   *
   * @param client whose share it takes; `null` for a client without a share
   * @throws FixityError `too-many-uploads` where there is no room for it, or a `store-…` code
   */
  async admit(id: UploadId, expires: number, client: string | null): Promise<void> {
    if (this.#isFull || this.#shares.isExceededBy(client)) this.#dropExpired();
    if (this.#shares.isExceededBy(client)) await this.#dropEndedOf(client);
    if (this.#shares.isExceededBy(client)) {
      throw new FixityError(
        "too-many-uploads",
        `Little room for unfinished uploads is left, and ${this.#shares.share} are from your network. Finish some first.`,
        { facts: { limit: this.#shares.share } },
      );
    }
    if (this.#isFull) await (this.#makingRoom ??= this.#makeRoom());
    if (this.#isFull) {
      throw new FixityError(
        "too-many-uploads",
        "There are too many unfinished uploads. Finish some, or come again later.",
        { facts: { limit: this.#shares.total } },
      );
    }
    this.#beginning.add(id.hex);
    this.#set(id.hex, { expires, touched: Date.now(), offset: 0, client });
  }

  note(id: UploadId, { expires, offset }: Noted): void {
    this.#beginning.delete(id.hex);
    const client = this.#uploads.get(id.hex)?.client ?? null;
    this.#set(id.hex, { expires, touched: Date.now(), offset, client });
  }

  forget(id: UploadId): void {
    this.#beginning.delete(id.hex);
    this.#delete(id.hex);
  }

  get #isFull(): boolean {
    return this.#shares.used >= this.#shares.total;
  }

  /** Puts it last. */
  #set(hex: string, upload: OpenUpload): void {
    this.#delete(hex);
    this.#uploads.set(hex, upload);
    this.#shares.add(upload.client);
  }

  #delete(hex: string): boolean {
    const known = this.#uploads.get(hex);
    if (known === undefined) return false;
    this.#shares.remove(known.client);
    return this.#uploads.delete(hex);
  }

  #dropExpired(): void {
    const now = Date.now();
    for (const [hex, { expires }] of this.#uploads) if (expires < now) this.#delete(hex);
  }

  /** Some of a client's uploads may have ended at other instances. */
  async #dropEndedOf(client: string | null): Promise<void> {
    await this.#lookUp((upload) => upload.client === client);
  }

  /** Drops what has ended, for as long as that helps; then evicts what was left behind with few bytes. */
  async #makeRoom(): Promise<void> {
    try {
      let dropped = 1;
      while (this.#isFull && dropped > 0) dropped = await this.#lookUp(() => true);
      if (this.#isFull) await this.#evictIdle();
    } finally {
      this.#makingRoom = null;
    }
  }

  /** @returns how many of some have ended, and are dropped */
  async #lookUp(isWanted: (upload: OpenUpload) => boolean): Promise<number> {
    const candidates = this.#candidates(isWanted);
    let dropped = 0;
    for (const hex of candidates) {
      const id = UploadId.fromHex(hex);
      const isOpen = id !== null && (await this.#store.isOpen(id));
      if (!isOpen) dropped += 1;
      // it may have been forgotten, or used, meanwhile
      const upload = this.#uploads.get(hex);
      if (upload !== undefined && this.#delete(hex) && isOpen) this.#set(hex, upload);
    }
    return dropped;
  }

  async #evictIdle(): Promise<void> {
    const now = Date.now();
    const isIdle = ({ offset, touched }: OpenUpload): boolean =>
      offset < EVICTED_BELOW_BYTES && now - touched >= EVICTED_AFTER_MS;
    for (const hex of this.#candidates(isIdle)) {
      const id = UploadId.fromHex(hex);
      if (id !== null && (await this.#store.evict(id))) this.forget(id);
    }
  }

  /** The ids of some such uploads, those that were not used for longest first. */
  #candidates(isWanted: (upload: OpenUpload) => boolean): readonly string[] {
    return this.#uploads
      .entries()
      .filter(([hex, upload]) => !this.#beginning.has(hex) && isWanted(upload))
      .map(([hex]) => hex)
      .take(LOOKUPS)
      .toArray();
  }
}
