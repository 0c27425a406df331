import type { Readable } from "node:stream";
import { type Dispatcher, Pool } from "undici";
import type { S3ClientOptions, S3Timeouts } from "./client-options.ts";
import { DuplicateDetector, fieldOf, type Headers } from "./duplicate-responses.ts";

/**
 * Milliseconds for which an idle connection is kept. Servers close theirs after 60 seconds or so
 * (Ceph after 65), and a request that crosses with the closing is lost.
 */
const KEEP_ALIVE_MS = 30_000;

/**
 * Bytes handed to a connection at a time. Each slice restarts the wait for the response, so that
 * wait needs no allowance for slow lines: a server that stops reading is noticed as soon as one
 * that does not respond.
 */
const BODY_SLICE_BYTES = 256 * 1024;

/** The longest response that is read as a whole. A page of a listing has some 400 KiB. */
const MAX_RESPONSE_BYTES = 8 * 1024 * 1024;

/** A signed request. */
export interface WireRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: readonly Uint8Array[] | null;
  /** Bytes of `body`. */
  readonly length: number;
  /** The response takes as long as the work behind it (completions, copies). */
  readonly isLongRunning: boolean;
  readonly signal: AbortSignal | undefined;
}

/** The status and header section of a response. */
export interface ResponseHead {
  readonly status: number;
  /** A field by its lower-case name; the first of several. */
  readonly header: (name: string) => string | null;
}

/** A response that has been read to its end. */
export interface S3Response extends ResponseHead {
  readonly text: string;
}

/** A response whose content is still arriving. */
export interface S3Download extends ResponseHead {
  readonly body: Readable;
}

type WireOptions = Dispatcher.DispatchOptions & Pick<Dispatcher.RequestOptions, "body">;

/** Persistent connections to one S3 endpoint, each with one request at a time. */
export class Transport {
  readonly #timeouts: Required<S3Timeouts>;
  readonly #duplicates: DuplicateDetector;
  readonly #requests: Pool;
  /** Separate, so that slow downloads cannot take the connections that uploads need. */
  readonly #downloads: Pool;
  readonly #checkedDownloads: Dispatcher;

  constructor({
    endpoint: { origin, address },
    connections,
    timeouts,
    log,
  }: Pick<S3ClientOptions, "endpoint" | "connections" | "timeouts" | "log">) {
    const common: Pool.Options = {
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      connect: { timeout: timeouts.connect },
    };
    this.#timeouts = timeouts;
    this.#duplicates = new DuplicateDetector(address, log);
    this.#requests = new Pool(origin, { ...common, connections });
    this.#downloads = new Pool(origin, { ...common, connections: null });
    this.#checkedDownloads = this.#downloads.compose(this.#duplicates.interceptor);
  }

  /** Sends a request once and reads its response to the end. */
  send(request: WireRequest): ResponseReader {
    const { answer, completion } = this.#timeouts;
    // A long-running request has little content, so all of its time counts. The content of others
    // may be slow to send.
    const deadline: ResponseDeadline = request.isLongRunning
      ? { ms: completion, from: "request" }
      : { ms: answer, from: "response" };
    const reader = new ResponseReader(request.signal, deadline, this.#duplicates);
    this.#requests.dispatch(this.#dispatchOptions(request), reader);
    return reader;
  }

  /**
   * Sends a request once, on a connection of its own. Resolves with the response's header section.
   */
  async open(request: WireRequest): Promise<S3Download> {
    const options = { ...this.#dispatchOptions(request), signal: request.signal ?? null };
    const { statusCode, headers, body } = await this.#checkedDownloads.request(options);
    return { status: statusCode, header: (name) => fieldOf(headers, name), body };
  }

  /** Fails all requests under way. */
  async destroy(): Promise<void> {
    await Promise.all([this.#requests.destroy(), this.#downloads.destroy()]);
  }

  #dispatchOptions({ method, path, headers, body, length, isLongRunning }: WireRequest): WireOptions {
    const { answer, completion, idle } = this.#timeouts;
    const content = body === null ? null : slicedBody(body);
    const hasKnownLength = content === null || content instanceof Uint8Array;
    return {
      method,
      path,
      // undici does not know the length of an iterable
      headers: hasKnownLength ? headers : { ...headers, "content-length": String(length) },
      body: content,
      headersTimeout: isLongRunning ? completion : answer,
      bodyTimeout: isLongRunning ? completion : idle,
      // Without this, undici closes the connection after each HEAD, in case the server sends
      // content with the response.
      reset: false,
    };
  }
}

/**
 * The chunks in slices; undici iterates over them anew each time it sends them. A single slice is
 * passed as it is: undici sends it together with the header section, without the cost of an
 * iteration.
 */
function slicedBody(chunks: readonly Uint8Array[]): NonNullable<Dispatcher.DispatchOptions["body"]> {
  const [only] = chunks;
  if (only !== undefined && chunks.length === 1 && only.length <= BODY_SLICE_BYTES) return only;
  const slices = { [Symbol.iterator]: () => slicesOf(chunks) };
  return slices as unknown as Iterable<Uint8Array> & Buffer;
}

function* slicesOf(chunks: readonly Uint8Array[]): Generator<Uint8Array, void> {
  for (const chunk of chunks) {
    for (let start = 0; start < chunk.length; start += BODY_SLICE_BYTES) {
      yield chunk.subarray(start, start + BODY_SLICE_BYTES);
    }
  }
}

/** By when a response must be complete. Bytes that trickle in do not extend it. */
interface ResponseDeadline {
  readonly ms: number;
  /**
   * Counted from the sending of the request, or from the beginning of the response (until then
   * undici's limit holds).
   */
  readonly from: "request" | "response";
}

const UTF8 = new TextDecoder();

/**
 * Reads one response to its end. undici's own `request` makes a stream of each response, which
 * costs more than everything else for the few bytes that S3 usually sends.
 */
class ResponseReader implements Dispatcher.DispatchHandler {
  readonly #response = Promise.withResolvers<S3Response>();
  readonly #signal: AbortSignal | undefined;
  readonly #deadline: ResponseDeadline;
  readonly #duplicates: DuplicateDetector;
  readonly #chunks: Uint8Array[] = [];
  #controller: Dispatcher.DispatchController | null = null;
  #status: number | null = null;
  #headers: Headers = {};
  #length = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(signal: AbortSignal | undefined, deadline: ResponseDeadline, duplicates: DuplicateDetector) {
    this.#signal = signal;
    this.#deadline = deadline;
    this.#duplicates = duplicates;
    if (signal?.aborted === true) this.#cancel();
    signal?.addEventListener("abort", this.#cancel, { once: true });
  }

  /**
   * Rejects with the signal's reason, or with undici's error if the response does not come to its
   * end.
   */
  get response(): Promise<S3Response> {
    return this.#response.promise;
  }

  /** `null` until the response has begun. */
  get status(): number | null {
    return this.#status;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#deadline.from === "request") this.#startTimer();
    if (this.#signal?.aborted === true) this.#cancel();
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: Headers): void {
    const duplicate = this.#duplicates.check(status, headers);
    if (duplicate !== null) return controller.abort(duplicate);
    // Informational responses count as a beginning, so that a server cannot extend the deadline by
    // sending more of them.
    this.#startTimer();
    if (status < 200) return;
    this.#status = status;
    this.#headers = headers;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Uint8Array): void {
    this.#length += chunk.length;
    if (this.#length <= MAX_RESPONSE_BYTES) this.#chunks.push(chunk);
    else controller.abort(tooLong());
  }

  onResponseEnd(): void {
    this.#detach();
    const text = this.#length === 0 ? "" : UTF8.decode(Buffer.concat(this.#chunks));
    const headers = this.#headers;
    this.#response.resolve({ status: this.#status ?? 0, header: (name) => fieldOf(headers, name), text });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#detach();
    this.#response.reject(error);
  }

  /**
   * Rejects at once, even if the request waits for a connection; undici then drops it when its turn
   * comes.
   */
  readonly #cancel = (): void => {
    this.#stopTimer();
    const reason = this.#signal?.reason as Error;
    this.#controller?.abort(reason);
    this.#response.reject(reason);
  };

  #startTimer(): void {
    const { ms } = this.#deadline;
    this.#timer ??= setTimeout(() => this.#controller?.abort(incomplete(ms)), ms);
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #detach(): void {
    this.#stopTimer();
    this.#signal?.removeEventListener("abort", this.#cancel);
  }
}

/**
 * Reads the rest of a download as text, within `ms` milliseconds: the content of an error response.
 */
export async function readText(content: Readable, ms: number): Promise<string> {
  const timer = setTimeout(() => content.destroy(incomplete(ms)), ms);
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of content as AsyncIterable<Uint8Array>) {
      length += chunk.length;
      if (length > MAX_RESPONSE_BYTES) throw tooLong();
      chunks.push(chunk);
    }
    return UTF8.decode(Buffer.concat(chunks));
  } finally {
    clearTimeout(timer);
  }
}

function incomplete(ms: number): Error {
  return new Error(`the response was not complete within ${ms} ms`);
}

function tooLong(): RangeError {
  return new RangeError(`the response is longer than ${MAX_RESPONSE_BYTES} bytes, which no response of S3 is`);
}
