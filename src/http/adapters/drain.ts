import type { Socket } from "node:net";

/**
 * What happens between an answer and the end of the request's content, for every adapter.
 *
 * A client may still be sending when its answer goes out: the upload is refused, or its bytes are stored already.
 * Browsers, Python's `http.client` and many others read no answer before they have sent everything. If the server stopped
 * reading, they would block; if it closed the connection with bytes unread, the kernel would send a reset, which destroys
 * the answer on the client's side (RFC 9112, section 9.6; nginx calls the remedy `lingering_close`).
 *
 * ```
 *              the head of the answer is written
 *                     │
 *     content complete? ──yes──────────────────────────────┐
 *                     │ no                                 │
 *                  DRAINING  ──── the last byte arrives ──►│
 *    bytes are read and dropped,                         ENDED   the response ends. The connection serves the next
 *    beside an answer that is streamed                           request, or is closed if the answer said `close`
 *                     │
 *                     ├── more bytes than `maxBytes`, or bytes after `timeMs` ──► CUT   the connection is destroyed
 *                     ├── the whole answer is out, and silence for `silenceMs` ─► CUT   (an answer still being
 *                     └── the client closes ────────────────────────────────────► GONE   streamed breaks off)
 * ```
 *
 * The response is not ended before the drain is, so the server starts no request that was sent behind this one, and
 * closes nothing that it has promised to keep. What an answer promises is decided by {@link keepsConnection}.
 */
export class Drain {
  /** Resolves when nothing more is read: whether the content has arrived completely. Never rejects. */
  readonly ended: Promise<boolean>;
  readonly #limits: DrainLimits;
  readonly #start = performance.now();
  #lastByte = this.#start;
  #bytes = 0;
  #isOver = false;
  #silence: ReturnType<typeof setTimeout> | undefined;
  #end!: (isComplete: boolean) => void;

  /** @param content what has not been read yet; its `next()` rejects when the client is gone */
  constructor(content: Pick<AsyncIterator<Uint8Array>, "next">, limits: DrainLimits) {
    this.#limits = limits;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.ended = promise;
    this.#end = (isComplete) => {
      this.#isOver = true;
      clearTimeout(this.#silence);
      resolve(isComplete);
    };
    void this.#read(content);
  }

  /** The whole answer is out: from now on the client can only be waited for. */
  answered(): Promise<boolean> {
    if (!this.#isOver && this.#silence === undefined) {
      this.#lastByte = performance.now();
      this.#watchSilence();
    }
    return this.ended;
  }

  async #read(content: Pick<AsyncIterator<Uint8Array>, "next">): Promise<void> {
    const { maxBytes, timeMs } = this.#limits;
    try {
      for (;;) {
        const { done, value } = await content.next();
        if (done === true) return this.#end(true);
        if (this.#isOver) return;
        this.#bytes += value.length;
        this.#lastByte = performance.now();
        if (this.#bytes > maxBytes || this.#lastByte - this.#start > timeMs) return this.#end(false);
      }
    } catch {
      this.#end(false);
    }
  }

  #watchSilence(): void {
    const { silenceMs, timeMs } = this.#limits;
    const leftMs = Math.min(this.#lastByte + silenceMs, this.#start + timeMs) - performance.now();
    if (leftMs <= 0) this.#end(false);
    else this.#silence = setTimeout(() => this.#watchSilence(), Math.ceil(leftMs));
  }
}

/** How much of a request is still read after its answer. */
export interface DrainLimits {
  /** Bytes of content. */
  readonly maxBytes: number;
  /** Milliseconds in all, after which no further byte is accepted. */
  readonly timeMs: number;
  /** Milliseconds without a byte, once the answer is out. */
  readonly silenceMs: number;
}

const DRAIN_TIME_MS = 30_000;

/** Before a connection that is going to be closed: nothing depends on it but that the client can read the answer. */
const CLOSING: DrainLimits = { maxBytes: 256 * 1024 ** 2, timeMs: DRAIN_TIME_MS, silenceMs: 4_000 };

/** On a connection that the answer has promised to keep: the client may take all the time that there is. */
const KEEPING: DrainLimits = { ...CLOSING, silenceMs: DRAIN_TIME_MS };

export function drainLimits(keeps: boolean): DrainLimits {
  return keeps ? KEEPING : CLOSING;
}

/** Bytes still to come that are rather waited for than the connection given up. */
const KEPT_REST_MAX_BYTES = 64 * 1024;

/** What decides whether a connection outlives an answer that is sent before the end of the content. */
export interface EarlyAnswer {
  readonly status: number;
  /** Bytes of content that have not arrived; `Infinity` when their number was not announced. */
  readonly rest: number;
  /** The client was not sent the `100 Continue` it asked for. */
  readonly awaitsContinue: boolean;
}

/**
 * Whether an answer may promise to keep its connection (`docs/http.md`, "Answers before the end of the content").
 *
 * Not while a client waits for `100 Continue`: whether its content follows a final answer is up to the client (RFC 9110,
 * section 10.1.1), so the start of its next request would be unknown. Not after a 408, which is for clients that have
 * stopped sending (RFC 9110, section 15.5.9), and not after a 501, which is for a transfer coding that hides where the
 * content ends (RFC 9112, section 6.1). Otherwise, if the rest is known to be small.
 */
export function keepsConnection({ status, rest, awaitsContinue }: EarlyAnswer): boolean {
  if (status === 501) return false;
  return rest === 0 || (rest <= KEPT_REST_MAX_BYTES && !awaitsContinue && status !== 408);
}

/** Milliseconds for which a socket without a readable request is read on after its last bytes. */
const UNREADABLE_TIME_MS = 2_000;

/** Sockets that {@link closeGracefully} is closing. What they still bring is dropped. */
const closing = new WeakSet<Socket>();

export function isClosing(socket: Socket): boolean {
  return closing.has(socket);
}

/**
 * The same for a connection on which no further request can be found: its bytes are not HTTP, or none came in time. Sends
 * what is left to be sent, and FIN; reads and drops, so that no reset destroys the answer; then destroys the socket,
 * whether or not the client closes its side. `socket.end()` alone would keep the descriptor for as long as the client likes.
 *
 * @param hasContent the bytes belong to a request's content: a client may be sending megabytes of it before it reads, and
 *   gets the time of a {@link Drain}
 */
export function closeGracefully(socket: Socket, { text, hasContent }: { text?: string; hasContent: boolean }): void {
  if (closing.has(socket)) return;
  closing.add(socket);
  if (text === undefined) socket.end();
  else socket.end(text);
  // a request whose content nobody reads any more may have paused it
  socket.resume();
  const { maxBytes, timeMs, silenceMs } = hasContent
    ? CLOSING
    : { ...CLOSING, timeMs: UNREADABLE_TIME_MS, silenceMs: UNREADABLE_TIME_MS };
  const start = performance.now();
  const before = socket.bytesRead;
  let seen = before;
  let lastByte = start;
  const check = setInterval(() => {
    const now = performance.now();
    if (socket.bytesRead !== seen) lastByte = now;
    seen = socket.bytesRead;
    if (now - start >= timeMs || now - lastByte >= silenceMs || seen - before > maxBytes) socket.destroy();
  }, 250);
  socket.once("close", () => clearInterval(check));
}
