import type { Readable } from "node:stream";
import type { Dispatcher } from "undici";

/** Most bytes of an answer that is read as a whole. A page of a listing has some 400 KiB. */
const MAX_LENGTH = 8 * 1024 * 1024;

const UTF8 = new TextDecoder();

/** The header fields of an answer, by their names in lower case. */
export type WireFields = Readonly<Record<string, string | string[] | undefined>>;

/** An answer that has been read to its end. */
export interface WireAnswer {
  readonly status: number;
  readonly headers: WireFields;
  /** Its content. */
  readonly text: string;
}

/** By when an answer has to be whole. Bytes that trickle in do not put it off. */
export interface AnswerDeadline {
  /** Milliseconds. */
  readonly time: number;
  /** They count from when the request is sent, or from when the answer begins (before that, undici has a limit). */
  readonly from: "request" | "answer";
}

/**
 * Reads one answer as a whole. undici's own `request` makes a stream of each, which for the few bytes that S3 answers with,
 * if any, costs more than all the rest of it.
 */
export class AnswerReader implements Dispatcher.DispatchHandler {
  readonly #answer = Promise.withResolvers<WireAnswer>();
  readonly #signal: AbortSignal | undefined;
  readonly #chunks: Uint8Array[] = [];
  #controller: Dispatcher.DispatchController | null = null;
  #status: number | null = null;
  #headers: WireFields = {};
  #length = 0;
  readonly #deadline: AnswerDeadline;
  #timer: NodeJS.Timeout | null = null;

  /**
   * @param signal cuts the request off
   * @param deadline by when the answer has to be whole
   */
  constructor(signal: AbortSignal | undefined, deadline: AnswerDeadline) {
    this.#signal = signal;
    this.#deadline = deadline;
    if (signal?.aborted === true) this.#cutOff();
    signal?.addEventListener("abort", this.#cutOff, { once: true });
  }

  /** Fails with the signal's reason, or with undici's own where the answer does not come to its end. */
  get answer(): Promise<WireAnswer> {
    return this.#answer.promise;
  }

  /** The answer's status; `null` before it is there. */
  get status(): number | null {
    return this.#status;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#deadline.from === "request") this.#startTimer();
    if (this.#signal?.aborted === true) this.#cutOff();
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: WireFields): void {
    // An informational answer is a beginning too, so that a server cannot put the answer off by sending more of them.
    this.#startTimer();
    if (status < 200) return;
    this.#status = status;
    this.#headers = headers;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Uint8Array): void {
    this.#length += chunk.length;
    if (this.#length <= MAX_LENGTH) this.#chunks.push(chunk);
    else controller.abort(tooLong());
  }

  onResponseEnd(): void {
    this.#leaveSignal();
    const text = this.#length === 0 ? "" : UTF8.decode(Buffer.concat(this.#chunks));
    this.#answer.resolve({ status: this.#status ?? 0, headers: this.#headers, text });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#leaveSignal();
    this.#answer.reject(error);
  }

  /** At once, also where the request has not begun: then it is given up when its turn comes. */
  readonly #cutOff = (): void => {
    this.#stopTimer();
    const reason = this.#signal?.reason as Error;
    this.#controller?.abort(reason);
    this.#answer.reject(reason);
  };

  #startTimer(): void {
    this.#timer ??= setTimeout(() => this.#controller?.abort(lateAnswer(this.#deadline.time)), this.#deadline.time);
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #leaveSignal(): void {
    this.#stopTimer();
    this.#signal?.removeEventListener("abort", this.#cutOff);
  }
}

/** The content of an answer that reports a failure, where it was to be read as it comes. It has `time` ms for that. */
export async function readText(content: Readable, time: number): Promise<string> {
  const timer = setTimeout(() => content.destroy(lateAnswer(time)), time);
  try {
    return await textOf(content);
  } finally {
    clearTimeout(timer);
  }
}

async function textOf(content: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of content) {
    length += chunk.length;
    if (length > MAX_LENGTH) throw tooLong();
    chunks.push(chunk);
  }
  return UTF8.decode(Buffer.concat(chunks));
}

function lateAnswer(time: number): Error {
  return new Error(`the answer was not complete within ${time} ms`);
}

function tooLong(): RangeError {
  return new RangeError("the answer is longer than any that S3 gives");
}

/** A header field of an answer, by its name in lower case. */
export function fieldOf({ headers }: Pick<WireAnswer, "headers">, name: string): string | null {
  const value = headers[name];
  return (Array.isArray(value) ? value[0] : value) ?? null;
}
