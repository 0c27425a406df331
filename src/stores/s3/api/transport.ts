import { type Dispatcher, Pool } from "undici";
import { AnswerReader } from "./answer-reader.ts";
import type { Endpoint } from "./endpoint.ts";
import type { ResolvedS3Options, S3Timeouts } from "../options.ts";
import { RepeatedAnswers } from "./repeated-answers.ts";

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
  readonly #pools: readonly [calls: Pool, downloads: Pool];
  readonly #calls: Dispatcher;
  /** Apart, so that slow downloads cannot take the connections that uploads need. */
  readonly #downloads: Dispatcher;

  constructor(
    { origin, place }: Endpoint,
    { connections, timeouts, log }: Pick<ResolvedS3Options, "connections" | "timeouts" | "log">,
  ) {
    const common: Pool.Options = {
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE,
      keepAliveMaxTimeout: KEEP_ALIVE,
      connect: { timeout: timeouts.connect },
    };
    this.#timeouts = timeouts;
    this.#pools = [new Pool(origin, { ...common, connections }), new Pool(origin, { ...common, connections: null })];
    const { interceptor } = new RepeatedAnswers(place, log);
    [this.#calls, this.#downloads] = [this.#pools[0].compose(interceptor), this.#pools[1].compose(interceptor)];
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
    await Promise.all(this.#pools.map(async (pool) => pool.destroy()));
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
