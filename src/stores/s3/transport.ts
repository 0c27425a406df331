import { type Dispatcher, Pool } from "undici";
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

/** Most bytes of an answer that is read as a whole. A page of a listing has some 400 KiB. */
const MAX_TEXT = 8 * 1024 * 1024;

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
  /** The answer's content is to be read as it comes, over a connection of its own. */
  readonly isDownload: boolean;
  readonly signal: AbortSignal | undefined;
}

export type WireAnswer = Dispatcher.ResponseData;

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

  /** Sends a request once. Resolves when the answer's header section is there. */
  async send({ method, path, headers, body, length, isLong, isDownload, signal }: WireRequest): Promise<WireAnswer> {
    const { answer, completion, idle } = this.#timeouts;
    const pool = isDownload ? this.#downloads : this.#calls;
    return pool.request({
      method,
      path,
      headers: body === null ? headers : { ...headers, "content-length": String(length) },
      body: body === null ? null : payload(body),
      headersTimeout: isLong ? completion : answer,
      bodyTimeout: isLong ? completion : idle,
      signal: signal ?? null,
    });
  }

  /** Ends everything under way. */
  async destroy(): Promise<void> {
    await Promise.all([this.#calls.destroy(), this.#downloads.destroy()]);
  }
}

/** A header field of an answer, by its name in lower case. */
export function fieldOf({ headers }: Pick<WireAnswer, "headers">, name: string): string | null {
  const value = headers[name];
  return (Array.isArray(value) ? value[0] : value) ?? null;
}

/** An answer's content as text. */
export async function readText({ headers, body }: WireAnswer): Promise<string> {
  if (Number(headers["content-length"] ?? MAX_TEXT + 1) <= MAX_TEXT) return body.text();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > MAX_TEXT) throw new RangeError("the answer is longer than any that S3 gives");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
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
