import { abortRace } from "../base/abort-race.ts";
import { mapConcurrent } from "../base/map-concurrent.ts";
import type { BlobIdentity } from "./blob-stat.ts";
import type { ByteSpan } from "./byte-range.ts";
import { Digest } from "./digest.ts";
import type { DocumentStore } from "./document-store.ts";
import { FixityError } from "./errors.ts";
import type { MarkKind, Marks } from "./marks.ts";
import type { Purges } from "./purges.ts";
import type { BlobReader } from "./store.ts";

/** The names of blocks, up to the digest in hex. */
const BLOCKED_PREFIX = "marks/blocked-";

const REASON_MAX_LENGTH = 1000;
const BY_MAX_LENGTH = 200;

/** Blocks that are read at the same time. */
const CONCURRENT_READS_MAX = 8;

/** Why a blob is blocked. For operators: clients never see it. */
export interface BlockOptions {
  /** 1 to 1000 characters. */
  readonly reason: string;
  /** The person or program that blocks it: 1 to 200 characters. */
  readonly by?: string | undefined;
}

/** A block. What its document does not state is `null`: every document with its name blocks the blob. */
export interface Block {
  /** The content that is blocked. */
  readonly digest: Digest;
  /** For people; `null` if none was given. */
  readonly reason: string | null;
  /** The person or program that blocked it; `null` if that is unknown. */
  readonly by: string | null;
  /** When it was blocked; `null` if that is unknown. */
  readonly time: Date | null;
}

/**
 * The blobs that the operator has blocked: they are neither read nor uploaded, whether they are
 * stored or not, and what is stored of them stays. A block is the document
 * `marks/blocked-<digest>`, whose name says it all: of a listing no text is read, so thousands of
 * blocks cost a start few requests. The text has the reason.
 *
 * A block counts in this process at once, and on every other instance within ten seconds
 * (`marks.ts`). If the blocks cannot be listed, those that are known still count; as long as a
 * process has not listed any, nothing is read or stored.
 */
export class Blocks implements MarkKind {
  readonly #marks: Marks;
  readonly #purges: Purges;
  /** The tags of the documents, by digest in hex. */
  readonly #tags = new Map<string, string>();

  constructor(marks: Marks, purges: Purges) {
    this.#marks = marks;
    this.#purges = purges;
    marks.keep(this);
  }

  /** Lists the blocks if they are due, for a check that follows later. */
  prepare(): void {
    void this.#marks.refresh();
  }

  /** Whether a blob is blocked. @throws FixityError `store-…` if that cannot be known */
  async has(digest: Digest, signal?: AbortSignal): Promise<boolean> {
    const refreshed = this.#marks.refresh();
    if (refreshed !== undefined) await abortRace(refreshed, signal);
    const failure = this.#marks.unknownBecause;
    if (failure !== null) throw failure;
    return this.#tags.has(digest.hex);
  }

  /** @throws FixityError `blob-blocked`, or `store-…` as {@link has} does */
  async assertNone(digest: Digest, signal?: AbortSignal): Promise<void> {
    if (await this.has(digest, signal)) throw blobBlocked();
  }

  /** @throws FixityError `invalid-option`, or a `store-…` code */
  async add(digest: Digest, { reason, by }: BlockOptions): Promise<Block> {
    const documents = this.#documents();
    assertText("reason", reason, REASON_MAX_LENGTH);
    if (by !== undefined) assertText("by", by, BY_MAX_LENGTH);
    const time = new Date();
    const text = JSON.stringify({ version: 1, reason, by: by ?? null, time: time.toISOString() });
    // Another block of the blob is replaced: its reason was corrected.
    const tag = await documents.write(nameOf(digest), text);
    this.#tags.set(digest.hex, tag ?? "");
    await this.#purges.now(digest, "blocked");
    return { digest, reason, by: by ?? null, time };
  }

  /** @returns whether the blob was blocked */
  async remove(digest: Digest): Promise<boolean> {
    const isRemoved = await this.#documents().remove(nameOf(digest));
    const wasKnown = this.#tags.delete(digest.hex);
    if (isRemoved || wasKnown) await this.#purges.now(digest, "unblocked");
    return isRemoved;
  }

  /** All blocks of the store at this moment, by digest. */
  async list(signal?: AbortSignal): Promise<Block[]> {
    const documents = this.#documents();
    const digests: Digest[] = [];
    for await (const { name } of documents.list(BLOCKED_PREFIX, signal)) {
      const digest = digestOf(name);
      if (digest !== null) digests.push(digest);
    }
    digests.sort((one, other) => (one.hex < other.hex ? -1 : 1));
    const blocks = await mapConcurrent(digests, CONCURRENT_READS_MAX, async (digest) => {
      const document = await documents.read(nameOf(digest), signal);
      return document === null ? null : parseBlock(digest, document.text);
    });
    return blocks.filter((block) => block !== null);
  }

  beginListing(): (found: ReadonlyMap<string, string>) => Promise<void> {
    const known = new Map(this.#tags);
    return async (found) => {
      for (const [name, tag] of found) {
        const digest = digestOf(name);
        if (digest === null) continue;
        const { hex } = digest;
        const isNew = !this.#tags.has(hex);
        // This process has unblocked it during the listing.
        if (isNew && known.has(hex)) continue;
        this.#tags.set(hex, tag);
        if (isNew) this.#purges.later(digest, "blocked");
      }
      for (const [hex, tag] of known) {
        const digest = Digest.fromHex(hex);
        if (digest === null || found.has(nameOf(digest)) || this.#tags.get(hex) !== tag) continue;
        this.#tags.delete(hex);
        this.#purges.later(digest, "unblocked");
      }
    };
  }

  /**
   * A reader that fails as soon as its blob is blocked, so that no cache keeps the response of a
   * download that ends after the cache was purged.
   */
  guard(digest: Digest, reader: BlobReader): BlobReader {
    const isBlocked = (): boolean => {
      void this.#marks.refresh();
      return this.#tags.has(digest.hex);
    };
    return new GuardedReader(reader, isBlocked);
  }

  #documents(): DocumentStore {
    const { documents } = this.#marks;
    if (documents !== undefined) return documents;
    throw new FixityError("invalid-option", "This store keeps no documents, so it cannot keep blocks.");
  }
}

/** A blob that is read in several pieces. */
class GuardedReader implements BlobReader {
  readonly size: number;
  readonly span: ByteSpan;
  readonly identity?: BlobIdentity;
  readonly #reader: BlobReader;
  readonly #isBlocked: () => boolean;

  constructor(reader: BlobReader, isBlocked: () => boolean) {
    this.size = reader.size;
    this.span = reader.span;
    if (reader.identity !== undefined) this.identity = reader.identity;
    this.#reader = reader;
    this.#isBlocked = isBlocked;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of this.#reader) {
      if (this.#isBlocked()) throw blobBlocked();
      yield chunk;
    }
  }

  recycle(chunk: Uint8Array): void {
    this.#reader.recycle?.(chunk);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader[Symbol.asyncDispose]();
  }
}

function blobBlocked(): FixityError {
  return new FixityError("blob-blocked", "The operator of this service has blocked this file.");
}

function nameOf(digest: Digest): string {
  return BLOCKED_PREFIX + digest.hex;
}

/** The digest in the name of a document; `null` if that is no block. */
function digestOf(name: string): Digest | null {
  return name.startsWith(BLOCKED_PREFIX) ? Digest.fromHex(name.slice(BLOCKED_PREFIX.length)) : null;
}

/** @throws FixityError `invalid-option` */
function assertText(name: string, text: string, maxLength: number): void {
  if (text.trim() !== "" && text.length <= maxLength && text.isWellFormed()) return;
  throw new FixityError("invalid-option", `A block has a ${name} of 1 to ${maxLength} characters.`);
}

/** Whatever the text is, the blob is blocked: a later version may write another. */
function parseBlock(digest: Digest, text: string): Block {
  let stated: Readonly<Record<string, unknown>> = {};
  try {
    stated = (JSON.parse(text) as Record<string, unknown> | null) ?? {};
  } catch {
    // Nothing is stated.
  }
  const { reason, by, time } = stated;
  const date = new Date(typeof time === "string" ? time : Number.NaN);
  return {
    digest,
    reason: typeof reason === "string" ? reason : null,
    by: typeof by === "string" ? by : null,
    time: Number.isNaN(date.getTime()) ? null : date,
  };
}
