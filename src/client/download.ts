/**
 * Reads stored files: `stat` requests the properties of the file behind a link, `download` its
 * bytes, which it verifies.
 */
import { abortError, asClientError, FixityClientError } from "./errors.ts";
import { headOf, textOf } from "./fetch-transport.ts";
import { formatIntegrity, formatReprDigest, type ParsedLink, parseInteger, parseLink } from "./formats.ts";
import type { Platform, IncrementalHash, WireResponse } from "./platform.ts";
import { errorIn, notFromFixity } from "./responses.ts";
import { Retrier, type RetryPolicy } from "./retrier.ts";
import type { Service } from "./service.ts";
import type { BlobInfo, Download, DownloadOptions } from "./types.ts";

/**
 * Requests the bytes as they are, because the size of a compressed response is not known in
 * advance. Browsers do not let a page set this field.
 */
const UNCOMPRESSED: Readonly<Record<string, string>> = { "Accept-Encoding": "identity" };

type ResponseHead = Omit<WireResponse, "text">;

/** The properties of a file that the header section of a response states. */
type BlobHead = Omit<BlobInfo, "size"> & {
  /** `null` if a proxy has compressed the file, or sends it without a length. */
  readonly size: number | null;
};

/** Reads the header section of a successful response to `GET` or `HEAD`. */
function headIn({ url, hex }: ParsedLink, { status, field }: ResponseHead): BlobHead {
  const range = /^bytes \d+-\d+\/(\d+)$/.exec(field("content-range") ?? "");
  const isCoded = (field("content-encoding") ?? "identity").trim().toLowerCase() !== "identity";
  const size =
    status === 206 ? parseInteger(range?.[1] ?? null) : isCoded ? null : parseInteger(field("content-length"));
  const type = field("content-type") ?? "application/octet-stream";
  return { url, digest: `sha256:${hex}`, size, type, integrity: formatIntegrity(hex) };
}

/** Returns what is stored under a link, or `null`. @throws FixityClientError */
export async function stat(service: Service, link: string | URL, signal: AbortSignal): Promise<BlobInfo | null> {
  const parsed = parseLink(link, service.endpoint);
  try {
    const response = await service.send({ method: "HEAD", url: parsed.url, headers: UNCOMPRESSED, signal });
    if (!namesDigest(response, parsed.hex)) throw notFromFixity(response.status);
    const info = headIn(parsed, response);
    return { ...info, size: info.size ?? (await readSize(service, parsed, signal)) };
  } catch (error) {
    if (!(error instanceof FixityClientError)) throw error;
    // a response to HEAD has no problem document, so the status alone does not distinguish an
    // expired link from one that is refused, nor a missing file from a URL that belongs to no service
    if (error.status === 403) await requestByte(service, parsed, signal);
    if (error.status !== 404) throw error;
    if (await isFixity(service, parsed, signal)) return null;
    throw error;
  }
}

/** Whether a response names the digest. A site that serves one page for every URL does not. */
function namesDigest({ field }: ResponseHead, hex: string): boolean {
  return field("etag")?.includes(hex) === true || field("repr-digest")?.includes(formatReprDigest(hex)) === true;
}

/** The size of a file whose length a compressing proxy hides. Proxies do not compress ranges. */
async function readSize(service: Service, link: ParsedLink, signal: AbortSignal): Promise<number> {
  const { size } = headIn(link, await requestByte(service, link, signal));
  if (size !== null) return size;
  throw new FixityClientError("unexpected-answer", "The response does not state the file's size.", { status: 200 });
}

/** Whether a 404 comes from fixity, and not from a server that knows no such URL. */
async function isFixity(service: Service, link: ParsedLink, signal: AbortSignal): Promise<boolean> {
  try {
    await requestByte(service, link, signal);
    return true; // stored since
  } catch (error) {
    if (!(error instanceof FixityClientError) || error.status !== 404) throw error;
    return error.code === "blob-not-found";
  }
}

/**
 * Requests one byte of a file, and reads nothing but the header section.
 *
 * @throws FixityClientError
 */
async function requestByte(service: Service, { url }: ParsedLink, signal: AbortSignal): Promise<ResponseHead> {
  try {
    const response = await service.open(url, { ...UNCOMPRESSED, Range: "bytes=0-0" }, signal);
    if (!response.ok) throw errorIn({ ...headOf(response), text: await textOf(response) });
    void response.body?.cancel().catch(() => null);
    return headOf(response);
  } catch (error) {
    throw signal.aborted ? abortError(signal) : asClientError(error);
  }
}

/** Reads what is stored under a link, verified. @throws FixityClientError */
export async function download(
  { platform, service, retryPolicy }: Readonly<{ platform: Platform; service: Service; retryPolicy: RetryPolicy }>,
  link: string | URL,
  { have, onWait, signal }: DownloadOptions & { readonly signal: AbortSignal },
): Promise<Download> {
  const parsed = parseLink(link, service.endpoint);
  if (platform.hashing === null) {
    throw new FixityClientError("cannot-verify", "The file cannot be verified: there is no worker to hash it.");
  }
  const hash = platform.hashing.incremental();
  const cancelled = new AbortController();
  const current = AbortSignal.any([signal, cancelled.signal]);
  const ready = async (): Promise<void> => {
    if (current.aborted) throw abortError(current);
  };
  const retrier = new Retrier({ control: { current, ready }, network: platform.network, policy: retryPolicy, onWait });
  const reader = new BlobReader({ link: parsed, service, retrier, hash, stallTimeout: retryPolicy.stallTimeout });
  try {
    await reader.skip(have);
    const { position: offset } = reader;
    const info = await reader.open();
    return { ...info, offset, stream: streamOf(reader, hash, cancelled) };
  } catch (error) {
    hash.drop();
    throw asClientError(error);
  }
}

/** Pulled, so that nothing is fetched before it is read. */
function streamOf(
  reader: BlobReader,
  hash: IncrementalHash,
  cancelled: AbortController,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      async pull(controller) {
        try {
          const chunk = await reader.next();
          if (chunk !== null) return controller.enqueue(chunk);
          controller.close();
        } catch (error) {
          controller.error(asClientError(error));
        }
        hash.drop();
      },
      cancel(reason) {
        cancelled.abort(reason);
        hash.drop();
      },
    },
    { highWaterMark: 0 },
  );
}

interface BlobReaderOptions {
  readonly link: ParsedLink;
  readonly service: Service;
  readonly retrier: Retrier;
  readonly hash: IncrementalHash;
  /** Milliseconds. */
  readonly stallTimeout: number;
}

type Body = ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;

/** The response that the reader is reading. */
type ResponseState =
  /** None: the next read sends a request from the position on. */
  | { readonly kind: "idle" }
  /** The body begins `surplus` bytes before the position, if the server ignored the range. */
  | { readonly kind: "open"; readonly body: Body; surplus: number }
  /** It has ended, and nothing but its end shows the size of the file. */
  | { readonly kind: "ended" };

/**
 * Reads a blob to its end, over as many requests as that takes, and compares it with its digest.
 */
class BlobReader {
  readonly #options: BlobReaderOptions;
  /** Ends the current request. */
  #request = new AbortController();
  #response: ResponseState = { kind: "idle" };
  #position = 0;
  /** Bytes of the whole file; `null` if only the end of the body shows its size. */
  #size: number | null = null;

  constructor(options: BlobReaderOptions) {
    this.#options = options;
  }

  /** The number of bytes read so far. */
  get position(): number {
    return this.#position;
  }

  /** Reads the first bytes from an earlier download instead of the server. */
  async skip(have: AsyncIterable<Uint8Array> | undefined): Promise<void> {
    if (have === undefined) return;
    for await (const chunk of have) {
      await this.#options.hash.update(chunk);
      this.#position += chunk.length;
    }
  }

  /**
   * Sends the first request, and returns the file's properties from the response.
   *
   * @throws FixityClientError also `blob-not-found`
   */
  open(): Promise<BlobHead> {
    return this.#options.retrier.run((signal) => this.#requestRest(signal));
  }

  /**
   * Returns the next bytes, or `null` after the last if all bytes match the digest.
   *
   * @throws FixityClientError also `digest-mismatch`
   */
  async next(): Promise<Uint8Array<ArrayBuffer> | null> {
    const { retrier, hash, link } = this.#options;
    const chunk = await retrier.run((signal) => this.#read(signal));
    if (chunk !== null) {
      await hash.update(chunk);
      return chunk;
    }
    if ((await hash.digest()) === link.hex) return null;
    throw mismatch("The received bytes do not match the digest in the link.");
  }

  /**
   * Returns the next bytes, or `null` at the end. The digest shows whether that is the true end of
   * the file.
   */
  async #read(signal: AbortSignal): Promise<Uint8Array<ArrayBuffer> | null> {
    for (;;) {
      if (this.#isComplete) return this.#end();
      if (this.#response.kind === "idle") await this.#requestRest(signal);
      const response: ResponseState = this.#response;
      if (response.kind !== "open" || this.#isComplete) continue;
      const bytes = await this.#receive(response.body, signal);
      if (bytes === null) continue;
      const chunk = bytes.subarray(Math.min(response.surplus, bytes.length));
      response.surplus -= bytes.length - chunk.length;
      if (chunk.length === 0) continue;
      this.#position += chunk.length;
      if (this.#size !== null && this.#position > this.#size) {
        this.#end();
        throw mismatch("The server sent more bytes than it announced.");
      }
      this.#options.retrier.progressed();
      return chunk;
    }
  }

  get #isComplete(): boolean {
    return this.#response.kind === "ended" || (this.#size !== null && this.#position >= this.#size);
  }

  /** Closes the request, which may send more than the file. */
  #end(): null {
    this.#request.abort();
    return null;
  }

  /** Returns the next bytes of a body, or `null` at its end if that may be the end of the file. */
  async #receive(body: Body, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer> | null> {
    const stop = (): void => this.#request.abort();
    const timer = setTimeout(stop, this.#options.stallTimeout);
    signal.addEventListener("abort", stop);
    try {
      const { value } = await body.read();
      if (value !== undefined) return value;
    } catch (cause) {
      this.#response = { kind: "idle" };
      throw connectionLost(cause);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    }
    this.#response = { kind: this.#size === null ? "ended" : "idle" };
    if (this.#isComplete) return null;
    throw connectionLost();
  }

  /** Requests the bytes from the position on. */
  async #requestRest(signal: AbortSignal): Promise<BlobHead> {
    const { link, service } = this.#options;
    this.#request = new AbortController();
    const from = this.#position;
    const fields = { ...UNCOMPRESSED, ...(from > 0 && { Range: `bytes=${from}-` }) };
    const response = await service.open(link.url, fields, AbortSignal.any([signal, this.#request.signal]));
    const head = headOf(response);
    const isPartial = response.status === 206;
    if (response.status === 416 && from > 0) return this.#confirmEnd(head.field("content-range"));
    if (!response.ok || response.body === null) throw errorIn({ ...head, text: await textOf(response) });
    const info = headIn(link, head);
    // a page sees no Content-Encoding of another origin, so the length may be that of compressed
    // bytes
    this.#size = isPartial || response.type !== "cors" ? info.size : null;
    this.#response = { kind: "open", body: response.body.getReader(), surplus: isPartial ? 0 : from };
    return info;
  }

  /** `have` was already the whole file: only the header section is needed. */
  async #confirmEnd(range: string | null): Promise<BlobHead> {
    const { link, service } = this.#options;
    if (range !== `bytes */${this.#position}`) {
      throw new FixityClientError("digest-mismatch", "`have` yields more bytes than the file has.");
    }
    const response = await service.send({ method: "HEAD", url: link.url, signal: this.#request.signal });
    this.#response = { kind: "ended" };
    return headIn(link, response);
  }
}

function mismatch(detail: string): FixityClientError {
  return new FixityClientError("digest-mismatch", detail, { retryable: true });
}

function connectionLost(cause?: unknown): FixityClientError {
  return new FixityClientError("network-error", "The connection to the server was lost.", { cause, retryable: true });
}
