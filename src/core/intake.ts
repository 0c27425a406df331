import { createHash, type Hash } from "node:crypto";
import { Digest } from "./digest.ts";
import { FixityError } from "./errors.ts";

/** Bytes as they come in. */
export type ByteSource = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** What is known or demanded of bytes before they come in. */
export interface Expectations {
  /** Most bytes taken. */
  readonly maxSize: number;
  /** Exactly so many bytes were announced. */
  readonly length?: number | undefined;
  /** The digest that was announced. */
  readonly digest?: Digest | undefined;
}

/** What came in. */
export interface Received {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

/**
 * The one place where incoming bytes are counted, limited and hashed: on their way from a request to a staged blob.
 * Stores and routes do none of the three.
 */
export class Intake {
  readonly #hash: Hash = createHash("sha256");
  readonly #expected: Expectations;
  #size = 0;

  constructor(expected: Expectations) {
    this.#expected = expected;
    if (expected.length !== undefined && expected.length > expected.maxSize) throw tooLarge(expected.maxSize);
  }

  /**
   * Counts and hashes the next bytes.
   *
   * @throws FixityError `size-limit-exceeded`, or `length-mismatch` once more bytes came than were announced
   */
  update(bytes: Uint8Array): void {
    this.#size += bytes.length;
    const { maxSize, length } = this.#expected;
    if (this.#size > maxSize) throw tooLarge(maxSize);
    if (length !== undefined && this.#size > length) throw wrongLength(length, this.#size);
    this.#hash.update(bytes);
  }

  /**
   * Ends the pass and holds the result against what was announced.
   *
   * @throws FixityError `length-mismatch`, `digest-mismatch`
   */
  finish(): Received {
    const { length, digest: expected } = this.#expected;
    if (length !== undefined && this.#size !== length) throw wrongLength(length, this.#size);
    const digest = Digest.fromBytes(this.#hash.digest());
    if (digest === null) throw new FixityError("internal-error", "SHA-256 gave no 32 bytes.");
    if (expected !== undefined && !expected.equals(digest)) throw wrongDigest(expected, digest);
    return { digest, size: this.#size };
  }
}

/** Moves a source through an {@link Intake} into a sink, never faster than the sink takes it. */
export async function receive(
  source: ByteSource,
  sink: (bytes: Uint8Array) => Promise<void> | void,
  expected: Expectations,
): Promise<Received> {
  const intake = new Intake(expected);
  for await (const bytes of source) {
    intake.update(bytes);
    const full = sink(bytes);
    if (full !== undefined) await full;
  }
  return intake.finish();
}

/** For a file that is larger than any may be. */
export function tooLarge(limit: number): FixityError {
  return new FixityError("size-limit-exceeded", `The file is larger than the limit of ${limit} bytes.`, {
    facts: { limit },
  });
}

function wrongLength(announced: number, received: number): FixityError {
  return new FixityError("length-mismatch", `${announced} bytes were announced, but ${received} came in.`, {
    facts: { announced, received },
  });
}

/** For bytes that are not those that were announced. */
export function wrongDigest(announced: Digest, received: Digest): FixityError {
  return new FixityError("digest-mismatch", "The bytes that came in are not those that the digest names.", {
    facts: { announced: announced.toString(), received: received.toString() },
  });
}
