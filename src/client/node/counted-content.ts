import { sourceChanged } from "../errors.ts";
import type { Content } from "../platform.ts";

/** The bytes of a content on their way into a request. They are read as the socket accepts them, so it is known how much is sent. */
export class CountedContent implements AsyncIterable<Uint8Array> {
  /**
   * Rejects with a FixityClientError when the content cannot be read, and never resolves. A request whose body fails
   * reports a broken connection, or, if it has no socket yet, nothing at all.
   */
  readonly failed: Promise<never>;
  readonly #failing = Promise.withResolvers<never>();
  readonly #content: Content;
  readonly #onSent: (bytes: number) => void;

  constructor(content: Content, onSent: (bytes: number) => void) {
    this.#content = content;
    this.#onSent = onSent;
    this.failed = this.#failing.promise;
    this.failed.catch(() => null);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    const { size } = this.#content;
    let sent = 0;
    const chunks = this.#chunks();
    for await (const chunk of chunks) {
      if (sent + chunk.length > size) throw this.#fail();
      yield chunk;
      sent += chunk.length;
      this.#onSent(sent);
    }
    if (sent < size) throw this.#fail();
  }

  /** The chunks of the content; an error while reading it is kept apart from errors of the request, which end the iteration. */
  async *#chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      yield* this.#content.stream();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  #fail(cause?: unknown): Error {
    const error = sourceChanged(cause);
    this.#failing.reject(error);
    return error;
  }
}
