import { connect, type Socket } from "node:net";
import { once } from "node:events";

/** A response as received. */
export interface RawAnswer {
  readonly status: number;
  /** The reason phrase of the status line. */
  readonly reason: string;
  /** By lower-case name; several of one name are joined by `, `. */
  readonly fields: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** A bare TCP connection over which a test sends exact bytes, well-formed or not. */
export class RawClient implements AsyncDisposable {
  readonly socket: Socket;
  /** Received bytes that have not been consumed; joined only when they are needed. */
  #chunks: Buffer[] = [];
  #length = 0;
  #ended = false;
  #wake: (() => void) | null = null;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (bytes) => {
      this.#chunks.push(bytes);
      this.#length += bytes.length;
      this.#wake?.();
    });
    const end = (): void => {
      this.#ended = true;
      this.#wake?.();
    };
    socket.on("end", end);
    socket.on("close", end);
    socket.on("error", end);
  }

  static async open(port: number): Promise<RawClient> {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    await once(socket, "connect");
    return new RawClient(socket);
  }

  /** Sends bytes. Resolves when the kernel has accepted them or the connection is closed. */
  async send(bytes: string | Uint8Array): Promise<void> {
    if (this.#ended && this.socket.destroyed) return;
    await new Promise<void>((resolve) => {
      this.socket.write(bytes, () => resolve());
    });
  }

  /** Reads one response, which may be an interim one. `head`: the response to a HEAD has no content. */
  async answer(options: { readonly head?: boolean } = {}): Promise<RawAnswer> {
    const end = await this.#find("\r\n\r\n");
    const [statusLine = "", ...lines] = this.#take(end + 4)
      .toString("latin1")
      .trimEnd()
      .split("\r\n");
    const fields = new Map<string, string>();
    for (const line of lines) {
      const colon = line.indexOf(":");
      const name = line.slice(0, colon).toLowerCase();
      const value = line.slice(colon + 1).trim();
      const before = fields.get(name);
      fields.set(name, before === undefined ? value : `${before}, ${value}`);
    }
    const [, code, ...reason] = statusLine.split(" ");
    const status = Number(code);
    const bodiless = options.head === true || status < 200 || status === 204 || status === 304;
    const body = bodiless ? Buffer.alloc(0) : await this.#body(fields);
    return { status, reason: reason.join(" "), fields, body };
  }

  /** Resolves when the server has closed its side. */
  async closed(): Promise<void> {
    while (!this.#ended) await this.#more();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
  }

  async #body(fields: ReadonlyMap<string, string>): Promise<Buffer> {
    const length = fields.get("content-length");
    if (length !== undefined) {
      while (this.#length < Number(length)) await this.#next();
      return this.#take(Number(length));
    }
    const chunks: Buffer[] = [];
    for (;;) {
      const size = Number.parseInt(this.#take((await this.#find("\r\n")) + 2).toString("latin1"), 16);
      while (this.#length < size + 2) await this.#next();
      chunks.push(this.#take(size));
      this.#take(2);
      if (size === 0) return Buffer.concat(chunks);
    }
  }

  async #find(needle: string): Promise<number> {
    for (;;) {
      const index = this.#buffer.indexOf(needle);
      if (index !== -1) return index;
      await this.#next();
    }
  }

  async #next(): Promise<void> {
    if (this.#ended)
      throw new Error(`the connection ended; unread: ${JSON.stringify(this.#buffer.toString("latin1"))}`);
    await this.#more();
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = null;
        resolve();
      };
    });
  }

  #take(length: number): Buffer {
    const all = this.#buffer;
    this.#chunks = [all.subarray(length)];
    this.#length = all.length - length;
    return all.subarray(0, length);
  }

  get #buffer(): Buffer {
    const all = Buffer.concat(this.#chunks, this.#length);
    this.#chunks = [all];
    return all;
  }
}
