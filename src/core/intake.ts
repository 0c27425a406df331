/**
 * The one place where incoming bytes are counted, limited and hashed: plain uploads
 * ({@link receive}), appends to resumable uploads ({@link Intake} over {@link Hashes} that outlive
 * a request), and the digests and checksums of a request's content ({@link HashedSource}). Stores
 * and routes do none of the three.
 */
import { createHash } from "node:crypto";
import zlib from "node:zlib";
import { formatExactSize } from "../base/format-size.ts";
import { uploadEnded } from "./diagnostics.ts";
import { Digest } from "./digest.ts";
import { FixityError } from "./errors.ts";

/** Bytes as they arrive. */
export type ByteSource = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** What is announced or required of content before it arrives. */
export interface Expectations {
  /** The largest size accepted. */
  readonly maxSize: number;
  /** The announced length. */
  readonly length?: number | undefined;
  /** The announced digest. */
  readonly digest?: Digest | undefined;
}

/** Content that has arrived. */
export interface Received {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds spent on hashing; 0 while nothing observes uploads. */
  readonly hashMs: number;
}

/**
 * Passes a source through to a sink, never faster than the sink accepts it, and compares it with
 * what was announced. A chunk that exceeds a limit does not reach the sink.
 *
 * @throws FixityError `size-limit-exceeded`, `length-mismatch`, `digest-mismatch`
 */
export async function receive(
  source: ByteSource,
  sink: (bytes: Uint8Array) => Promise<void> | void,
  { maxSize, length, digest: announced }: Expectations,
): Promise<Received> {
  if (length !== undefined && length > maxSize) throw sizeLimitExceeded(maxSize);
  const hashes = Hashes.native(["sha256"]);
  const limits: ByteLimit[] = [{ end: maxSize, exceeded: () => sizeLimitExceeded(maxSize) }];
  if (length !== undefined) limits.push({ end: length, exceeded: (received) => lengthMismatch(length, received) });
  const intake = new Intake(hashes, limits);
  for await (const bytes of source) {
    intake.update(bytes);
    const accepted = sink(bytes);
    if (accepted !== undefined) await accepted;
  }
  const { size } = hashes;
  if (length !== undefined && size !== length) throw lengthMismatch(length, size);
  const digest = hashes.sha256();
  if (announced !== undefined && !announced.equals(digest)) throw digestMismatch(announced, digest);
  return { digest, size, hashMs: hashes.elapsedMs };
}

/** Reads a source to its end for its digest and size. */
export async function digestOf(source: ByteSource): Promise<Received> {
  return await receive(source, () => {}, { maxSize: Infinity });
}

/** A position that bytes must not pass. */
export interface ByteLimit {
  readonly end: number;
  /** The error for bytes that would end at `reached`, past the limit. */
  readonly exceeded: (reached: number) => FixityError;
}

/**
 * Hashes bytes as long as they stay within limits. Positions are those of the hashes: they go on
 * where earlier bytes ended.
 */
export class Intake {
  readonly hashes: Hashes;
  readonly #limits: readonly ByteLimit[];

  constructor(hashes: Hashes, limits: readonly ByteLimit[]) {
    this.hashes = hashes;
    this.#limits = limits;
  }

  /** @throws the error of the first limit that so many more bytes exceed */
  check(byteCount: number): void {
    const reached = this.hashes.size + byteCount;
    for (const { end, exceeded } of this.#limits) if (reached > end) throw exceeded(reached);
  }

  /** Counts and hashes the next bytes. @throws as {@link check} does, before they are counted */
  update(bytes: Uint8Array): void {
    this.check(bytes.length);
    this.hashes.update(bytes);
  }
}

/** The algorithms of digests (`sha256`, `sha512`), and of tus checksums. */
export type HashAlgorithm = ResumableAlgorithm | "sha1" | "crc32";

/** The algorithms whose state can be saved, and loaded by another process. */
export type ResumableAlgorithm = "sha256" | "sha512";

/** Running hashes of the same bytes, by one or more algorithms. */
export class Hashes {
  readonly #hashes: ReadonlyMap<HashAlgorithm, RunningHash>;
  readonly #isTimed = uploadEnded.isObserved;
  #elapsedMs = 0;
  #size: number;

  private constructor(hashes: ReadonlyMap<HashAlgorithm, RunningHash>, size: number) {
    this.#hashes = hashes;
    this.#size = size;
  }

  /** Node's own hashes: several times faster than resumable ones, and bound to this process. */
  static native(algorithms: readonly HashAlgorithm[]): Hashes {
    return new Hashes(new Map(algorithms.map((name) => [name, nativeHash(name)])), 0);
  }

  /**
   * Hashes whose states can be saved.
   *
   * @param states what {@link states} returned after `size` bytes; not needed for 0 bytes
   */
  static async resumable(
    algorithms: readonly ResumableAlgorithm[],
    states: Readonly<Record<string, string>>,
    size: number,
  ): Promise<Hashes> {
    const hashes = new Map<HashAlgorithm, RunningHash>();
    for (const name of algorithms) hashes.set(name, await resumableHash(name, states[name] ?? null));
    return new Hashes(hashes, size);
  }

  /** The number of bytes hashed. */
  get size(): number {
    return this.#size;
  }

  has(algorithm: HashAlgorithm): boolean {
    return this.#hashes.has(algorithm);
  }

  /** Milliseconds spent on updates; 0 unless uploads were observed when the hashes began. */
  get elapsedMs(): number {
    return this.#elapsedMs;
  }

  update(bytes: Uint8Array): void {
    this.#size += bytes.length;
    const startedAt = this.#isTimed ? performance.now() : 0;
    for (const hash of this.#hashes.values()) hash.update(bytes);
    if (this.#isTimed) this.#elapsedMs += performance.now() - startedAt;
  }

  /**
   * The hash of the bytes so far; more may follow. `null` for an algorithm that is not one of
   * these.
   */
  digest(algorithm: HashAlgorithm): Buffer | null {
    return this.#hashes.get(algorithm)?.digest() ?? null;
  }

  /** The digest of the bytes so far, for hashes that include SHA-256. */
  sha256(): Digest {
    const digest = Digest.fromBytes(this.digest("sha256") ?? new Uint8Array());
    if (digest === null) throw new FixityError("internal-error", "SHA-256 did not return 32 bytes.");
    return digest;
  }

  /** The states by algorithm, in base64; `null` for hashes that are bound to this process. */
  states(): Record<string, string> | null {
    const states: Record<string, string> = {};
    for (const [algorithm, hash] of this.#hashes) {
      const state = hash.state();
      if (state === null) return null;
      states[algorithm] = state;
    }
    return states;
  }
}

/** Content that is hashed as its reader pulls it. */
export class HashedSource implements AsyncIterable<Uint8Array> {
  readonly #source: AsyncIterable<Uint8Array>;
  readonly #hashes: Hashes;

  constructor(source: AsyncIterable<Uint8Array>, algorithms: readonly HashAlgorithm[]) {
    this.#source = source;
    this.#hashes = Hashes.native(algorithms);
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    for await (const bytes of this.#source) {
      this.#hashes.update(bytes);
      yield bytes;
    }
  }

  /** The hash of what has been read; `null` for an algorithm that was not asked for. */
  digest(algorithm: HashAlgorithm): Buffer | null {
    return this.#hashes.digest(algorithm);
  }
}

interface RunningHash {
  update(bytes: Uint8Array): void;
  digest(): Buffer;
  /** In base64; `null` where there is no such thing. */
  state(): string | null;
}

function nativeHash(algorithm: HashAlgorithm): RunningHash {
  if (algorithm === "crc32") return crc32();
  const hash = createHash(algorithm);
  return { update: (bytes) => void hash.update(bytes), digest: () => hash.copy().digest(), state: () => null };
}

function crc32(): RunningHash {
  let value = 0;
  const digest = (): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  return { update: (bytes) => void (value = zlib.crc32(bytes, value)), digest, state: () => null };
}

async function resumableHash(algorithm: ResumableAlgorithm, state: string | null): Promise<RunningHash> {
  // loaded on demand: the library is large, and a store that gives saved bytes back never needs it
  const { createSHA256, createSHA512 } = await import("hash-wasm");
  const hash = await { sha256: createSHA256, sha512: createSHA512 }[algorithm]();
  if (state === null) hash.init();
  else hash.load(Buffer.from(state, "base64"));
  const digest = (): Buffer => {
    // digest() ends the hash, so continue from a copy
    const before = hash.save();
    const bytes = Buffer.from(hash.digest("binary"));
    hash.load(before);
    return bytes;
  };
  return {
    update: (bytes) => void hash.update(bytes),
    digest,
    state: () => Buffer.from(hash.save()).toString("base64"),
  };
}

/** For a file that is larger than the limit. */
export function sizeLimitExceeded(limit: number): FixityError {
  return new FixityError("size-limit-exceeded", `The file is larger than the limit of ${formatExactSize(limit)}.`, {
    facts: { limit },
  });
}

/** For content that does not have its announced digest. */
export function digestMismatch(announced: Digest, received: Digest): FixityError {
  return new FixityError("digest-mismatch", "The bytes that arrived do not have the announced digest.", {
    facts: { announced: announced.toString(), received: received.toString() },
  });
}

function lengthMismatch(announced: number, received: number): FixityError {
  return new FixityError(
    "length-mismatch",
    `The announced length is ${formatExactSize(announced)}, but ${formatExactSize(received)} arrived.`,
    { facts: { announced, received } },
  );
}
