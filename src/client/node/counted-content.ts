import type { Content } from "../platform.ts";

/** The bytes of a content on their way into a request, which reads on as the socket takes more: so it is known how much is sent. */
export class CountedContent implements AsyncIterable<Uint8Array> {
  /** What reading the content has failed with; a request that fails with it tells of a broken connection only. */
  failure: unknown = null;
  readonly #content: Content;
  readonly #onSent: (bytes: number) => void;

  constructor(content: Content, onSent: (bytes: number) => void) {
    this.#content = content;
    this.#onSent = onSent;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    let sent = 0;
    try {
      for await (const chunk of this.#content.stream()) {
        yield chunk;
        sent += chunk.length;
        this.#onSent(sent);
      }
    } catch (error) {
      this.failure = error;
      throw error;
    }
  }
}
