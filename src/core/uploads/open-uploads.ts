import type { Owner } from "../../access/principal.ts";
import { FairShare } from "../../base/fair-share.ts";
import { FixityError } from "../errors.ts";
import { UploadId } from "../upload-id.ts";

/** Uploads that are looked up in the store at a time, to find some that have ended. */
const LOOKUP_BATCH = 20;

/**
 * An upload with fewer durable bytes than this may be evicted to make room for another: little has
 * to be sent again.
 */
const EVICTED_BELOW_BYTES = 1024 * 1024;
/** How long such an upload must have been without a request. */
const EVICTED_AFTER_MS = 10 * 60_000;

/** Whether an upload may make room for another: few durable bytes, and long without a request. */
export function isSmallAndIdle(offset: number, usedAt: number): boolean {
  return offset < EVICTED_BELOW_BYTES && Date.now() - usedAt >= EVICTED_AFTER_MS;
}

/** What the bound needs from the store. */
export interface OpenUploadsStore {
  /** Whether the upload is unfinished: it may have ended, or been removed, on another instance. */
  isOpen(id: UploadId): Promise<boolean>;
  /** Removes the upload unless it is in use, has grown or has ended. Returns whether it is gone. */
  evict(id: UploadId): Promise<boolean>;
}

interface OpenUpload {
  /** Milliseconds since 1970. */
  readonly expires: number;
  /** The end of the last request, in milliseconds since 1970. */
  readonly touched: number;
  /** Durable bytes. */
  readonly offset: number;
  /** The client whose share it counts towards; `null` for a client without a limit. */
  readonly client: string | null;
  /** The owner whose uploads are counted, as a key; `null` for an anonymous one. */
  readonly owner: string | null;
}

/** A new upload that asks to be admitted. */
export interface Applicant {
  /** Milliseconds since 1970. */
  readonly expires: number;
  /** The client whose share it counts towards; `null` for a client without a limit. */
  readonly client: string | null;
  readonly owner: Owner | null;
  /** The unfinished uploads that the owner may have. Anonymous owners have no such limit. */
  readonly maxOpen?: number | undefined;
}

/** The appends that run in this process, by upload. */
export class RunningAppends {
  readonly #counts = new Map<string, number>();

  /** Marks an upload as in use until the result is disposed of. */
  begin({ hex }: UploadId): Disposable {
    this.#counts.set(hex, (this.#counts.get(hex) ?? 0) + 1);
    return {
      [Symbol.dispose]: () => {
        const others = (this.#counts.get(hex) ?? 1) - 1;
        if (others === 0) this.#counts.delete(hex);
        else this.#counts.set(hex, others);
      },
    };
  }

  has(id: UploadId): boolean {
    return this.#counts.has(id.hex);
  }
}

/** {@link OpenUploads}, of this process or of the primary that keeps it for several workers. */
export type OpenUploadsBound = Pick<OpenUploads, "admit" | "note" | "forget"> & Partial<Pick<OpenUploads, "count">>;

/**
 * The unfinished uploads that were created or continued in this process, or in the workers of one
 * server: a bound on the work that one instance accepts, which no single client can use up, and no
 * owner beyond its own limit.
 */
export class OpenUploads {
  readonly #shares: FairShare;
  /** The number of uploads by owner. */
  readonly #owned = new Map<string, number>();
  readonly #store: OpenUploadsStore;
  /** By id, in the order of their last use or lookup. */
  readonly #uploads = new Map<string, OpenUpload>();
  /** Admitted, but not yet in the store. */
  readonly #beginning = new Set<string>();
  #makingRoom: Promise<void> | null = null;

  constructor(total: number, store: OpenUploadsStore) {
    this.#shares = new FairShare(total);
    this.#store = store;
  }

  /**
   * Admits a new upload. The caller then calls {@link note} once the store has it, or
   * {@link forget}.
   *
   * @throws FixityError `too-many-uploads`, `principal-limit-exceeded`, or a `store-…` code
   */
  async admit(id: UploadId, { expires, client, owner, maxOpen = Infinity }: Applicant): Promise<void> {
    const key = keyOf(owner);
    if (this.#reaches(maxOpen, key)) this.#dropExpired();
    if (this.#reaches(maxOpen, key)) await this.#dropEnded((upload) => upload.owner === key);
    if (this.#reaches(maxOpen, key)) throw openLimitReached(maxOpen);
    if (this.#isFull || this.#shares.isExceededBy(client)) this.#dropExpired();
    if (this.#shares.isExceededBy(client)) await this.#dropEnded((upload) => upload.client === client);
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
        "There are too many unfinished uploads. Finish some, or try again later.",
        {
          facts: { limit: this.#shares.total },
        },
      );
    }
    // another upload of this owner may have been admitted while room was made
    if (this.#reaches(maxOpen, key)) throw openLimitReached(maxOpen);
    this.#beginning.add(id.hex);
    this.#set(id.hex, { expires, touched: Date.now(), offset: 0, client, owner: key });
  }

  /** Notes the state of an upload after a request. */
  note(id: UploadId, { expires, owner }: Pick<Applicant, "expires" | "owner">, offset: number): void {
    this.#beginning.delete(id.hex);
    const client = this.#uploads.get(id.hex)?.client ?? null;
    this.#set(id.hex, { expires, touched: Date.now(), offset, client, owner: keyOf(owner) });
  }

  /** Forgets an upload that has ended or was never created. */
  forget(id: UploadId): void {
    this.#beginning.delete(id.hex);
    this.#delete(id.hex);
  }

  get count(): number {
    return this.#uploads.size;
  }

  get #isFull(): boolean {
    return this.#shares.used >= this.#shares.total;
  }

  /** Adds or replaces an upload, as the one used last. */
  #set(hex: string, upload: OpenUpload): void {
    this.#delete(hex);
    this.#uploads.set(hex, upload);
    this.#shares.add(upload.client);
    this.#countOwned(upload.owner, 1);
  }

  #delete(hex: string): boolean {
    const known = this.#uploads.get(hex);
    if (known === undefined) return false;
    this.#shares.remove(known.client);
    this.#countOwned(known.owner, -1);
    return this.#uploads.delete(hex);
  }

  #reaches(limit: number, owner: string | null): boolean {
    return owner !== null && (this.#owned.get(owner) ?? 0) >= limit;
  }

  #countOwned(owner: string | null, change: 1 | -1): void {
    if (owner === null) return;
    const count = (this.#owned.get(owner) ?? 0) + change;
    if (count === 0) this.#owned.delete(owner);
    else this.#owned.set(owner, count);
  }

  #dropExpired(): void {
    const now = Date.now();
    for (const [hex, { expires }] of this.#uploads) if (expires < now) this.#delete(hex);
  }

  /**
   * Drops what has ended, for as long as that helps; then evicts what was abandoned with few bytes.
   */
  async #makeRoom(): Promise<void> {
    try {
      let dropped = 1;
      while (this.#isFull && dropped > 0) dropped = await this.#dropEnded(() => true);
      if (this.#isFull) await this.#evictIdle();
    } finally {
      this.#makingRoom = null;
    }
  }

  /**
   * Looks up a batch of uploads and drops those that have ended, perhaps on other instances.
   *
   * @returns how many
   */
  async #dropEnded(isCandidate: (upload: OpenUpload) => boolean): Promise<number> {
    let dropped = 0;
    for (const hex of this.#batchOf(isCandidate)) {
      const id = UploadId.fromHex(hex);
      const isOpen = id !== null && (await this.#store.isOpen(id));
      if (!isOpen) dropped += 1;
      // it may have been forgotten or used in the meantime
      const upload = this.#uploads.get(hex);
      if (upload !== undefined && this.#delete(hex) && isOpen) this.#set(hex, upload);
    }
    return dropped;
  }

  async #evictIdle(): Promise<void> {
    for (const hex of this.#batchOf(({ offset, touched }) => isSmallAndIdle(offset, touched))) {
      const id = UploadId.fromHex(hex);
      if (id !== null && (await this.#store.evict(id))) this.forget(id);
    }
  }

  /** The ids of a batch of such uploads, least recently used first. */
  #batchOf(isCandidate: (upload: OpenUpload) => boolean): readonly string[] {
    return this.#uploads
      .entries()
      .filter(([hex, upload]) => !this.#beginning.has(hex) && isCandidate(upload))
      .map(([hex]) => hex)
      .take(LOOKUP_BATCH)
      .toArray();
  }
}

function keyOf(owner: Owner | null): string | null {
  return owner === null || owner.kind === "anonymous" ? null : `${owner.kind} ${owner.name}`;
}

function openLimitReached(limit: number): FixityError {
  return new FixityError(
    "principal-limit-exceeded",
    `You already have ${limit} unfinished uploads, and may not have more. Finish or cancel some first.`,
    { facts: { limit } },
  );
}
