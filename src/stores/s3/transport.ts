import { type Dispatcher, Pool } from "undici";
import { AnswerReader } from "./answer-reader.ts";
import type { Endpoint } from "./endpoint.ts";
import type { S3Timeouts } from "./options.ts";

/**
 * Milliseconds that an idle connection is kept. Servers close theirs after 60 seconds or so (Ceph after 65), and a request
 * that meets such a closing is lost.
 */
const KEEP_ALIVE = 30_000;

/**
 * Bytes handed to the connection at a time. The wait for an answer is counted anew from each piece, so it needs no allowance
 * for slow lines: a server that takes nothing is noticed as soon as one that says nothing.
 */
const PIECE = 256 * 1024;

/** A request that can be sent. */
export interface WireRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: readonly Uint8Array[] | null;
  /** Bytes of `body`. */
  readonly length: number;
  /** The answer may take as long as the work behind it. */
  readonly isLong: boolean;
  readonly signal: AbortSignal | undefined;
}

/** An answer whose content is still coming in. */
export type OpenAnswer = Dispatcher.ResponseData;

type WireOptions = Dispatcher.DispatchOptions & Pick<Dispatcher.RequestOptions, "body">;

/** Connections to one S3 endpoint, kept open between requests, one request at a time on each. */
export class Transport {
  readonly #timeouts: Required<S3Timeouts>;
  readonly #calls: Pool;
  /** Apart, so that slow downloads cannot take the connections that uploads need. */
  readonly #downloads: Pool;

  constructor({ origin }: Endpoint, connections: number, timeouts: Required<S3Timeouts>) {
    const common: Pool.Options = {
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE,
      keepAliveMaxTimeout: KEEP_ALIVE,
      connect: { timeout: timeouts.connect },
    };
    this.#timeouts = timeouts;
    this.#calls = new Pool(origin, { ...common, connections });
    this.#downloads = new Pool(origin, { ...common, connections: null });
  }

  /** Sends a request once; its answer is read as a whole. */
  send(request: WireRequest): AnswerReader {
    const { answer, completion } = this.#timeouts;
    // What S3 does before it answers may take as long as a completion; the content of other requests may be slow to send.
    const reader = new AnswerReader(
      request.signal,
      request.isLong ? { time: completion, from: "request" } : { time: answer, from: "answer" },
    );
    this.#calls.dispatch(this.#dispatchOf(request), reader);
    return reader;
  }

  /** Sends a request once, over a connection of its own. Resolves when the answer's header section is there. */
  async open(request: WireRequest): Promise<OpenAnswer> {
    return this.#downloads.request({ ...this.#dispatchOf(request), signal: request.signal ?? null });
  }

  /** Ends everything under way. */
  async destroy(): Promise<void> {
    await Promise.all([this.#calls.destroy(), this.#downloads.destroy()]);
  }

  #dispatchOf({ method, path, headers, body, length, isLong }: WireRequest): WireOptions {
    const { answer, completion, idle } = this.#timeouts;
    const content = body === null ? null : payload(body);
    return {
      method,
      path,
      // of what is no iteration undici finds out the length itself
      headers:
        content === null || content instanceof Uint8Array ? headers : { ...headers, "content-length": String(length) },
      body: content,
      headersTimeout: isLong ? completion : answer,
      bodyTimeout: isLong ? completion : idle,
      // undici closes a connection behind each HEAD, for servers that send content with its answer
      reset: false,
    };
  }
}

/**
 * The chunks in small pieces; undici iterates it anew each time that it is sent. What is one piece it is given as it is: it
 * goes out with the header section, and without the machinery of an iteration.
 */
function payload(chunks: readonly Uint8Array[]): NonNullable<Dispatcher.DispatchOptions["body"]> {
  const [only] = chunks;
  if (only !== undefined && chunks.length === 1 && only.length <= PIECE) return only;
  const pieces = { [Symbol.iterator]: () => piecesOf(chunks) };
  return pieces as unknown as Iterable<Uint8Array> & Buffer;
}

function* piecesOf(chunks: readonly Uint8Array[]): Generator<Uint8Array, void> {
  for (const chunk of chunks) {
    for (let start = 0; start < chunk.length; start += PIECE) yield chunk.subarray(start, start + PIECE);
  }
}
