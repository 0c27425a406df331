import type { ServerResponse } from "node:http";
import { Socket } from "node:net";

/** The longest time, in milliseconds, that a timer of Node's can run. */
const LONGEST = 2 ** 31 - 1;

/**
 * Where the chunks of a streamed answer go out, at the pace of the client. A client that takes no byte for a while ends
 * there, with its connection: it holds an open file, or a connection to a bucket. The time that the stream takes to bring
 * a chunk is not the client's.
 *
 * The socket keeps the time, for the whole answer at once: that costs less than a timer for each chunk, and only the socket
 * sees how much of a chunk the kernel has taken.
 */
export class Outlet implements Disposable {
  readonly #response: ServerResponse;
  /** `null` for the one of an app that is tried without a network, as Fastify's `inject` does. */
  readonly #socket: Socket | null;
  /** Milliseconds that the socket had before. */
  readonly #before: number;
  /** To be called when the chunk is out. */
  #waiting: (() => void) | null = null;

  /** @param idleTimeout milliseconds that the client may take no byte of a chunk */
  constructor(response: ServerResponse, idleTimeout: number) {
    this.#response = response;
    this.#socket = response.socket instanceof Socket ? response.socket : null;
    this.#before = this.#socket?.timeout ?? 0;
    this.#socket?.setTimeout(Math.min(idleTimeout, LONGEST));
    response.on("timeout", this.#onTimeout);
    response.on("close", this.#onOut);
  }

  /** Resolves when the kernel has taken the whole chunk, or the client is gone. */
  write(chunk: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      if (this.#response.destroyed) return resolve();
      this.#waiting = resolve;
      this.#response.write(chunk, this.#onOut);
    });
  }

  /** Gives the socket back as it was: a request that was sent along with this one has other limits. */
  [Symbol.dispose](): void {
    this.#socket?.setTimeout(this.#before);
    this.#response.off("timeout", this.#onTimeout);
    this.#response.off("close", this.#onOut);
  }

  readonly #onOut = (): void => {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.();
  };

  /** Node leaves the connection alone where somebody listens. The next chunk starts the time again. */
  readonly #onTimeout = (): void => {
    if (this.#waiting !== null) this.#response.destroy();
  };
}
