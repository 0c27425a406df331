import type { Socket } from "node:net";

/**
 * Reads and drops the rest of a request's content after its answer, for every adapter.
 *
 * A client may still be sending when it is answered: the upload is refused, or its bytes are
 * already stored. Browsers, Python's `http.client` and many others read no response before they
 * have sent everything. If the server stopped reading, they would block. If it closed the
 * connection with unread bytes, the kernel would send a reset, which destroys the response on the
 * client's side (RFC 9112, section 9.6; nginx calls the remedy `lingering_close`).
 *
 * ```
 *              the head of the response is written
 *                     │
 *     content complete? ──yes──────────────────────────────┐
 *                     │ no                                 │
 *                  DRAINING  ──── the last byte arrives ──►│
 *    reads and drops bytes,                              ENDED   the response ends. The connection serves the next
 *    while the response is streamed                              request, or is closed if the response said `close`
 *                     │
 *                     ├── more than `maxBytes`, or a byte after `timeMs` ───────► CUT   the connection is destroyed
 *                     ├── the whole response is out, silence for `silenceMs` ───► CUT   (which truncates a response
 *                     └── the client closes ────────────────────────────────────► GONE   that is being streamed)
 * ```
 *
 * The response does not end before the drain does, so the server starts no pipelined request early
 * and closes no connection that it promised to keep. {@link keepsConnection} decides what a
 * response promises.
 */
export class Drain {
  /** Resolves when the drain ends, with whether the content arrived completely. Never rejects. */
  readonly ended: Promise<boolean>;
  readonly #limits: DrainLimits;
  readonly #start = performance.now();
  #lastByte = this.#start;
  #bytes = 0;
  #isOver = false;
  #silence: ReturnType<typeof setTimeout> | undefined;
  #end!: (isComplete: boolean) => void;

  /** @param content the unread content; its `next()` rejects if the client disconnects */
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

  /** Must be called once the whole response is out: from now on, silence ends the drain. */
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
    const remainingMs = Math.min(this.#lastByte + silenceMs, this.#start + timeMs) - performance.now();
    if (remainingMs <= 0) this.#end(false);
    else this.#silence = setTimeout(() => this.#watchSilence(), Math.ceil(remainingMs));
  }
}

/** How much of a request is read after its answer. */
export interface DrainLimits {
  /** Bytes of content. */
  readonly maxBytes: number;
  /** Total time, after which no further byte is accepted. */
  readonly timeMs: number;
  /** Time without a byte, once the response is out. */
  readonly silenceMs: number;
}

const DRAIN_TIME_MS = 30_000;

/** Before a connection is closed: all that matters is that the client can read the response. */
const CLOSING_LIMITS: DrainLimits = { maxBytes: 256 * 1024 ** 2, timeMs: DRAIN_TIME_MS, silenceMs: 4_000 };

/** On a connection that the response promised to keep: the client may use the whole time. */
const KEEPING_LIMITS: DrainLimits = { ...CLOSING_LIMITS, silenceMs: DRAIN_TIME_MS };

export function drainLimits(keeps: boolean): DrainLimits {
  return keeps ? KEEPING_LIMITS : CLOSING_LIMITS;
}

/** A connection with more remaining content than this is closed after the drain. */
const KEEP_REST_MAX_BYTES = 64 * 1024;

/** What decides whether a connection outlives an answer before the end of the content. */
export interface EarlyAnswer {
  readonly status: number;
  /** Bytes of content that have not arrived; `Infinity` if their number was not announced. */
  readonly rest: number;
  /** Whether the client waits for a `100 Continue` that was not sent. */
  readonly awaitsContinue: boolean;
}

/**
 * Whether an answer may promise to keep its connection (`docs/http.md`, "Answers before the end of
 * the content").
 *
 * Not while a client waits for `100 Continue`: the client may or may not send its content after a
 * final response (RFC 9110, section 10.1.1), so the start of its next request would be unknown. Not
 * after a 408, which is for clients that stopped sending (RFC 9110, section 15.5.9), and not after
 * a 501, which is for a transfer coding that hides the end of the content (RFC 9112, section 6.1).
 * Otherwise, if the rest is known to be small.
 */
export function keepsConnection({ status, rest, awaitsContinue }: EarlyAnswer): boolean {
  if (status === 501) return false;
  return rest === 0 || (rest <= KEEP_REST_MAX_BYTES && !awaitsContinue && status !== 408);
}

/** The time for which a socket without a parsable request is read after its last bytes. */
const UNREADABLE_TIME_MS = 2_000;

const CLOSE_CHECK_INTERVAL_MS = 250;

/** Sockets that {@link closeGracefully} is closing. Their further input is dropped. */
const closing = new WeakSet<Socket>();

export function isClosing(socket: Socket): boolean {
  return closing.has(socket);
}

/**
 * Drains a connection on which no further request can be found: its bytes are not HTTP, or none
 * arrived in time. Sends the pending output and FIN; reads and drops, so that no reset destroys the
 * response; then destroys the socket, whether or not the client closes its side. `socket.end()`
 * alone would keep the descriptor for as long as the client likes.
 *
 * @param hasContent whether the bytes belong to a request's content: a client may send megabytes of
 *   it before it reads, and gets the time of a {@link Drain}
 */
export function closeGracefully(socket: Socket, { text, hasContent }: { text?: string; hasContent: boolean }): void {
  if (closing.has(socket)) return;
  closing.add(socket);
  if (text === undefined) socket.end();
  else socket.end(text);
  // An abandoned request may have left the socket paused.
  socket.resume();
  const { maxBytes, timeMs, silenceMs } = hasContent
    ? CLOSING_LIMITS
    : { ...CLOSING_LIMITS, timeMs: UNREADABLE_TIME_MS, silenceMs: UNREADABLE_TIME_MS };
  const start = performance.now();
  const before = socket.bytesRead;
  let seen = before;
  let lastByte = start;
  const check = setInterval(() => {
    const now = performance.now();
    if (socket.bytesRead !== seen) lastByte = now;
    seen = socket.bytesRead;
    if (now - start >= timeMs || now - lastByte >= silenceMs || seen - before > maxBytes) socket.destroy();
  }, CLOSE_CHECK_INTERVAL_MS);
  socket.once("close", () => clearInterval(check));
}
