import type { Owner } from "../access/principal.ts";
import { timeLimit } from "../base/abort-race.ts";
import type { BlobStat } from "./blob-stat.ts";
import { ByteRange } from "./byte-range.ts";
import { asFixityError, FixityError } from "./errors.ts";
import type { Receipt } from "./link.ts";
import { mediaTypeOf } from "./media-type.ts";
import type { BlobReader, OpenOptions } from "./store.ts";
import type { Digest } from "./digest.ts";

/** What `inspect` sees of a file, at most. */
const HEAD_MAX_BYTES = 4096;

const INSPECT_TIMEOUT_MS = 10_000;

/** A file that has arrived and is not stored yet, or whose stored copy an upload claims. */
export interface InspectedFile<Context = unknown> {
  /** The first 4 KiB, or less if the file is smaller. */
  readonly head: Uint8Array;
  /** Bytes. */
  readonly size: number;
  /** The media type of the extension that its link would have. */
  readonly type: string;
  /** The file's name, cleaned. */
  readonly name: string | null;
  /** As in {@link StoredDetails}. */
  readonly principal: Owner;
  /** As in {@link StoredDetails}. */
  readonly context: Context | null;
}

/**
 * The result of an inspection:
 *
 * - `allow`: the file is stored.
 * - `octet-stream`: the file is stored, and its link has no extension, so browsers offer it for
 *   download.
 * - `refuse`, or `{ refuse: "the reason, for the client" }`: nothing is stored.
 */
export type Inspection = "allow" | "octet-stream" | "refuse" | { readonly refuse: string };

/** What `onStored` receives besides the receipt. */
export interface StoredDetails<Context = unknown> {
  /** The principal that uploaded the file; of a resumable upload, the one that created it. */
  readonly principal: Owner;
  /**
   * What the embedder knows about the request that completes the upload; `null` if no request does:
   * after a crash another instance or a collection completes it.
   */
  readonly context: Context | null;
  /** What the embedder kept when the upload was created; `null` for nothing. */
  readonly kept: unknown;
  /**
   * The same for every call about one upload, so that a call can be made idempotent: the id of a
   * resumable upload, otherwise that of the request.
   */
  readonly key: string;
}

/** The calls of a service to the app that embeds it. */
export interface HookOptions<Context = unknown> {
  /**
   * Decides by the beginning of a file whether it is stored. A policy, not a protection: the rest of
   * the file is not looked at. Called once all bytes have arrived, before the file exists; for a
   * resumable upload perhaps again after a crash. If it fails, or does not answer in time, the file
   * is refused (`content-refused`), which ends a resumable upload for good.
   */
  inspect?(file: InspectedFile<Context>): Promise<Inspection> | Inspection;

  /**
   * Milliseconds that `inspect` has to answer.
   *
   * @default 10000
   */
  readonly inspectTimeout?: number;

  /**
   * Called for every upload that is about to be acknowledged, also if its content was stored
   * before, once the file is durable. If it fails, so does the request, with its error if that is a
   * `FixityError`. The file stays stored, and a repeated upload calls it again: it must be
   * idempotent, by `details.key` for example.
   *
   * A resumable upload is complete only once the call has succeeded. Until then the upload keeps
   * its full offset, and a request to it calls again, even after the process was killed. The
   * upload of a single request cannot be resumed, so if the process is killed between the moment
   * when the file is durable and the response, the call may not have happened. The client has no
   * response then, and uploads again.
   *
   * Requests for the same upload wait for the call, so it must end, and must not ask for the upload
   * itself.
   */
  onStored?(receipt: Receipt, details: StoredDetails<Context>): Promise<void> | void;
}

/** An upload that was stored. */
export interface StoredUpload {
  readonly principal: Owner;
  readonly context: unknown;
  /** JSON. */
  readonly kept: string | null;
  readonly key: string;
}

/** A file to be inspected. */
export interface FileToInspect extends Omit<InspectedFile, "type"> {
  /** The extension of the link to be. */
  readonly extension: string | null;
}

/** The hooks of one service. */
export class Hooks {
  readonly #options: HookOptions;
  readonly #inspectTimeoutMs: number;
  readonly #log: (message: string, cause?: unknown) => void;

  /** @throws FixityError `invalid-option` */
  constructor(options: HookOptions, log: (message: string, cause?: unknown) => void) {
    const { inspectTimeout = INSPECT_TIMEOUT_MS } = options;
    if (!Number.isSafeInteger(inspectTimeout) || inspectTimeout < 1) {
      throw new FixityError("invalid-option", "inspectTimeout must be a whole number of milliseconds, at least 1.");
    }
    this.#options = options;
    this.#inspectTimeoutMs = inspectTimeout;
    this.#log = log;
  }

  /** Whether the beginning of a file has to be kept for {@link inspect}. */
  get hasInspect(): boolean {
    return this.#options.inspect !== undefined;
  }

  /**
   * Has a file inspected.
   *
   * @returns the extension that its link may have
   * @throws FixityError `content-refused`
   */
  async inspect({ extension, context, ...file }: FileToInspect): Promise<string | null> {
    if (!this.hasInspect) return extension;
    const inspected = { ...file, type: mediaTypeOf(extension), context: context ?? null };
    let inspection: unknown;
    try {
      const answer = Promise.try(() => this.#options.inspect?.(inspected));
      inspection = await timeLimit(answer, this.#inspectTimeoutMs);
    } catch (error) {
      this.#log("the hook inspect failed, so a file was refused", error);
      throw contentRefused(undefined, error);
    }
    if (inspection === "allow") return extension;
    if (inspection === "octet-stream") return null;
    if (inspection === "refuse") throw contentRefused();
    if (typeof inspection === "object" && inspection !== null && "refuse" in inspection) {
      throw contentRefused(String(inspection.refuse));
    }
    const what = inspection === null ? `did not answer within ${this.#inspectTimeoutMs} ms` : "answered something else";
    this.#log(`the hook inspect ${what}, so a file was refused`);
    throw contentRefused();
  }

  /** Whether uploads have to wait for {@link stored}. */
  get hasOnStored(): boolean {
    return this.#options.onStored !== undefined;
  }

  /**
   * Calls `onStored`.
   *
   * @param receipt the true one, whatever the caller is told about existing content
   * @throws FixityError the failure of the hook
   */
  async stored(receipt: Receipt, { principal, context, kept, key }: StoredUpload): Promise<void> {
    if (!this.hasOnStored) return;
    try {
      const details = { principal, context: context ?? null, kept: kept === null ? null : JSON.parse(kept), key };
      await this.#options.onStored?.(receipt, details);
    } catch (error) {
      throw asFixityError(error);
    }
  }
}

/** The beginning of a file, collected as its bytes arrive. */
export class ContentHead {
  readonly #chunks: Buffer[] = [];
  #size = 0;

  /** @param known what has arrived before */
  constructor(known: Uint8Array = new Uint8Array()) {
    this.add(known);
  }

  /** Takes the next bytes; those past the head are ignored. */
  add(bytes: Uint8Array): void {
    if (this.isFull || bytes.length === 0) return;
    // a copy: the bytes belong to the store from now on
    const chunk = Buffer.from(bytes.subarray(0, HEAD_MAX_BYTES - this.#size));
    this.#chunks.push(chunk);
    this.#size += chunk.length;
  }

  get isFull(): boolean {
    return this.#size === HEAD_MAX_BYTES;
  }

  /** Whether this is the whole head of so many bytes. */
  isOf(byteCount: number): boolean {
    return this.#size === Math.min(byteCount, HEAD_MAX_BYTES);
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}

/** The head of a stored blob; `null` if the blob was removed, or is damaged. */
export async function headOf(
  { digest, size }: BlobStat,
  blobs: { open(digest: Digest, options: OpenOptions): Promise<BlobReader | null> },
  signal?: AbortSignal,
): Promise<Uint8Array | null> {
  const head = new ContentHead();
  if (size === 0) return head.bytes;
  const range = ByteRange.over({ start: 0, end: Math.min(size, HEAD_MAX_BYTES) });
  try {
    await using reader = await blobs.open(digest, { range, signal });
    if (reader === null) return null;
    for await (const bytes of reader) head.add(bytes);
    return head.bytes;
  } catch (error) {
    if (error instanceof FixityError && error.code === "blob-damaged") return null;
    throw error;
  }
}

function contentRefused(reason = "This file is not accepted here.", cause?: unknown): FixityError {
  return new FixityError("content-refused", reason, { cause });
}
