import { once } from "node:events";
import { createServer, type IncomingMessage, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Pacer } from "../../src/base/pacer.ts";

/** A request that a {@link SlowProxy} has forwarded. */
export interface SlowRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  /** Bytes of its content so far. */
  received: number;
}

/** Bytes per second; `Infinity` by default. */
export interface Rates {
  /** Of the contents of requests. */
  readonly upload?: number;
  /** Of the contents of responses. */
  readonly download?: number;
}

/** A reverse proxy that forwards contents no faster than a rate. */
export class SlowProxy implements AsyncDisposable {
  readonly url: string;
  readonly requests: SlowRequest[] = [];
  readonly #server: Server;
  #upload = new Pacer(Infinity);
  #download = new Pacer(Infinity);

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(target: string, rates: Rates = {}): Promise<SlowProxy> {
    const server = createServer((incoming, outgoing) => {
      const { method = "", url = "", headers } = incoming;
      const entry: SlowRequest = { method, path: url, headers, received: 0 };
      proxy.requests.push(entry);
      const upstream = request(target + url, { method, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        void proxy.#forward(answer, "download", (chunk) => outgoing.write(chunk)).then(
          () => outgoing.end(),
          () => outgoing.destroy(),
        );
      });
      upstream.on("error", () => outgoing.destroy());
      outgoing.on("close", () => upstream.destroy());
      void proxy.#forward(incoming, "upload", (chunk) => {
        entry.received += chunk.length;
        upstream.write(chunk);
      }).then(
        () => upstream.end(),
        () => upstream.destroy(),
      );
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const proxy = new SlowProxy(server);
    proxy.limit(rates);
    return proxy;
  }

  /** Sets the rates, also of contents that are being forwarded. */
  limit({ upload = Infinity, download = Infinity }: Rates): void {
    this.#upload = new Pacer(upload);
    this.#download = new Pacer(download);
  }

  async #forward(
    content: IncomingMessage,
    direction: "upload" | "download",
    write: (chunk: Buffer) => unknown,
  ): Promise<void> {
    for await (const chunk of content as AsyncIterable<Buffer>) {
      for (let start = 0; start < chunk.length; start += 4096) {
        const slice = chunk.subarray(start, start + 4096);
        await (direction === "upload" ? this.#upload : this.#download).pass(slice.length);
        write(slice);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
