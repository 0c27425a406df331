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

  /** @param signal cuts the request off */
  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
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
    if (this.#signal?.aborted === true) this.#cutOff();
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: WireFields): void {
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
    const reason = this.#signal?.reason as Error;
    this.#controller?.abort(reason);
    this.#answer.reject(reason);
  };

  #leaveSignal(): void {
    this.#signal?.removeEventListener("abort", this.#cutOff);
  }
}

/** The content of an answer that tells of a failure, where it was to be read as it comes. */
export async function readText(content: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of content) {
    length += chunk.length;
    if (length > MAX_LENGTH) throw tooLong();
    chunks.push(chunk);
  }
  return UTF8.decode(Buffer.concat(chunks));
}

function tooLong(): RangeError {
  return new RangeError("the answer is longer than any that S3 gives");
}

/** A header field of an answer, by its name in lower case. */
export function fieldOf({ headers }: Pick<WireAnswer, "headers">, name: string): string | null {
  const value = headers[name];
  return (Array.isArray(value) ? value[0] : value) ?? null;
}
