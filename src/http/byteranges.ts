import { randomBytes } from "node:crypto";
import { ByteRange, type ByteSpan } from "../core/byte-range.ts";
import type { Digest } from "../core/digest.ts";
import { FixityError } from "../core/errors.ts";
import type { Fixity } from "../core/fixity.ts";
import type { AnswerStream } from "./exchange.ts";

/** A blob of which several ranges are to be sent. */
export interface RangedBlob {
  readonly digest: Digest;
  readonly size: number;
  readonly mediaType: string;
  readonly spans: readonly ByteSpan[];
}

/** `multipart/byteranges` content (RFC 9110, section 14.6): each range with a header section of its own. */
export class ByteRangesBody implements AnswerStream {
  /** The value of the answer's `Content-Type`. */
  readonly contentType: string;
  /** Bytes in all. */
  readonly length: number;
  readonly #fixity: Fixity;
  readonly #blob: RangedBlob;
  readonly #heads: readonly Buffer[];
  readonly #tail: Buffer;
  readonly #signal: AbortSignal;

  constructor(fixity: Fixity, blob: RangedBlob, signal: AbortSignal) {
    const boundary = randomBytes(16).toString("hex");
    this.contentType = `multipart/byteranges; boundary=${boundary}`;
    this.#fixity = fixity;
    this.#blob = blob;
    this.#signal = signal;
    this.#heads = blob.spans.map(({ start, end }, index) =>
      Buffer.from(
        `${index === 0 ? "" : "\r\n"}--${boundary}\r\nContent-Type: ${blob.mediaType}\r\n` +
          `Content-Range: ${contentRange({ start, end }, blob.size)}\r\n\r\n`,
      ),
    );
    this.#tail = Buffer.from(`\r\n--${boundary}--\r\n`);
    const heads = this.#heads.reduce((sum, head) => sum + head.length, 0);
    this.length = blob.spans.reduce((sum, { start, end }) => sum + end - start, heads + this.#tail.length);
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    for (const [index, span] of this.#blob.spans.entries()) {
      const range = ByteRange.over(span);
      await using reader = await this.#fixity.open(this.#blob.digest, { range, signal: this.#signal });
      // removed since its size was asked for: what was sent already is announced as more, so the connection has to end
      if (reader === null) throw new FixityError("blob-not-found", "The file was removed while it was being sent.");
      yield this.#heads[index] ?? Buffer.alloc(0);
      yield* reader;
    }
    yield this.#tail;
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** The value of `Content-Range` for bytes of a blob. */
export function contentRange({ start, end }: ByteSpan, size: number): string {
  return `bytes ${start}-${end - 1}/${size}`;
}
