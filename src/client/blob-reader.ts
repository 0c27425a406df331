import { FixityClientError } from "./errors.ts";
import { textOf } from "./fetch-transport.ts";
import type { ParsedLink } from "./links.ts";
import type { Persistence, RetryPlan } from "./retrier.ts";
import type { RunningHash } from "./platform.ts";
import { errorIn } from "./answers.ts";
import type { Service } from "./service.ts";
import { type BlobHead, headIn, UNCOMPRESSED } from "./stat.ts";

/** What a {@link BlobReader} is made of. */
export interface BlobReaderOptions {
  readonly link: ParsedLink;
  readonly service: Service;
  readonly persistence: Persistence;
  readonly hash: RunningHash;
  readonly plan: RetryPlan;
}

type Body = ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;

/** Reads a blob from the service to its end, over as many requests as that takes, and holds it against its digest. */
export class BlobReader {
  readonly #options: BlobReaderOptions;
  /** Ends the request that is running. */
  #request = new AbortController();
  #body: Body | null = null;
  #info: BlobHead | null = null;
  #position = 0;
  /** Bytes of the answer that are there already: the server has not heeded the range. */
  #surplus = 0;
  /** A page sees no `Content-Encoding` of another origin, so a length there may be that of compressed bytes. */
  #isSizeSure = false;
  /** There is nothing more to come, whatever the size. */
  #hasAll = false;

  constructor(options: BlobReaderOptions) {
    this.#options = options;
  }

  /** Bytes that have been read. */
  get position(): number {
    return this.#position;
  }

  /** Takes the first bytes from elsewhere. */
  async skip(have: AsyncIterable<Uint8Array> | undefined): Promise<void> {
    if (have === undefined) return;
    for await (const chunk of have) {
      await this.#options.hash.update(chunk);
      this.#position += chunk.length;
    }
  }

  /** What the file is, as the first answer tells. @throws FixityClientError also `blob-not-found` */
  open(): Promise<BlobHead> {
    return this.#options.persistence.run((signal) => this.#ask(signal));
  }

  /** The next bytes, or `null` where they have ended and are the right ones. @throws FixityClientError also `digest-mismatch` */
  async next(): Promise<Uint8Array<ArrayBuffer> | null> {
    const { persistence, hash, link } = this.#options;
    const chunk = await persistence.run((signal) => this.#read(signal));
    if (chunk !== null) {
      await hash.update(chunk);
      return chunk;
    }
    if ((await hash.digest()) === link.hex) return null;
    throw new FixityClientError("digest-mismatch", "What came in is not what the link names.", { retryable: true });
  }

  /** The next bytes, or `null` at the end: of the body, or of the size where it is known. The digest decides what that is worth. */
  async #read(signal: AbortSignal): Promise<Uint8Array<ArrayBuffer> | null> {
    for (;;) {
      if (this.#info === null || (this.#body === null && !this.#isComplete)) await this.#ask(signal);
      if (this.#isComplete) return this.#end();
      const read = await this.#readSome(signal);
      if (read === null) return this.#end();
      const chunk = read.subarray(Math.min(this.#surplus, read.length));
      this.#surplus -= read.length - chunk.length;
      if (chunk.length === 0) continue;
      this.#position += chunk.length;
      if (this.#size !== null && this.#position > this.#size) {
        this.#end();
        throw new FixityClientError("digest-mismatch", "More bytes came in than the server announced.", {
          retryable: true,
        });
      }
      this.#options.persistence.progressed();
      return chunk;
    }
  }

  /** Bytes that must come; `null` where the body's own end is the only sign. */
  get #size(): number | null {
    return this.#isSizeSure ? (this.#info?.size ?? null) : null;
  }

  get #isComplete(): boolean {
    return this.#hasAll || (this.#size !== null && this.#position >= this.#size);
  }

  /** Lets go of the connection, on which more than the file may come. */
  #end(): null {
    this.#request.abort();
    return null;
  }

  /** `null` where the body has ended and no more is expected. */
  async #readSome(signal: AbortSignal): Promise<Uint8Array<ArrayBuffer> | null> {
    const stop = (): void => this.#request.abort();
    const timer = setTimeout(stop, this.#options.plan.stallTimeout);
    signal.addEventListener("abort", stop);
    try {
      const next = await this.#body?.read();
      if (next?.value !== undefined) return next.value;
    } catch (cause) {
      this.#body = null;
      throw brokenOff(cause);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    }
    this.#body = null;
    this.#hasAll = this.#size === null;
    if (this.#isComplete) return null;
    throw brokenOff();
  }

  /** Asks for what is not there yet. */
  async #ask(signal: AbortSignal): Promise<BlobHead> {
    const { link, service } = this.#options;
    this.#request = new AbortController();
    const from = this.#position;
    const fields = { ...UNCOMPRESSED, ...(from > 0 && { Range: `bytes=${from}-` }) };
    const response = await service.open(link.url, fields, AbortSignal.any([signal, this.#request.signal]));
    const { status, headers } = response;
    const answer = { status, field: (name: string) => headers.get(name) };
    if (status === 416 && from > 0) return this.#atEnd(headers.get("content-range"));
    if (!response.ok || response.body === null) throw errorIn({ ...answer, text: await textOf(response) });
    const info = headIn(link, answer);
    this.#isSizeSure = status === 206 || response.type !== "cors";
    this.#surplus = status === 206 ? 0 : from;
    this.#body = response.body.getReader();
    this.#info = info;
    return info;
  }

  /** All bytes were there: only the header section is wanted. */
  async #atEnd(range: string | null): Promise<BlobHead> {
    const { link, service } = this.#options;
    if (range !== `bytes */${this.#position}`) {
      throw new FixityClientError("digest-mismatch", "The bytes that were there are more than the link names.");
    }
    const answer = await service.send({ method: "HEAD", url: link.url, signal: this.#request.signal });
    this.#info = headIn(link, answer);
    this.#hasAll = true;
    return this.#info;
  }
}

function brokenOff(cause?: unknown): FixityClientError {
  return new FixityClientError("network-error", "The connection to the server broke off.", { cause, retryable: true });
}
