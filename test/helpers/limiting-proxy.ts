import { once } from "node:events";
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A reverse proxy that refuses content above a limit with its own page, as nginx does. */
export class LimitingProxy implements AsyncDisposable {
  readonly url: string;
  readonly #server: Server;
  /** The sizes of refused contents. */
  readonly refused: number[] = [];
  /** The sizes of forwarded contents. */
  readonly passed: number[] = [];

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start({ port, limit }: { readonly port: number; readonly limit: number }): Promise<LimitingProxy> {
    const server = createServer((incoming, outgoing) => {
      const size = Number(incoming.headers["content-length"] ?? 0);
      if (size <= limit) {
        if (size > 0) proxy.passed.push(size);
        pass(port, incoming, outgoing);
        return;
      }
      proxy.refused.push(size);
      incoming.resume();
      incoming.on("end", () => {
        outgoing.writeHead(413, { "Content-Type": "text/html" }).end("<h1>413 Request Entity Too Large</h1>");
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const proxy = new LimitingProxy(server);
    return proxy;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

function pass(port: number, incoming: IncomingMessage, outgoing: ServerResponse): void {
  const { method, url, headers } = incoming;
  const upstream = request({ port, host: "127.0.0.1", method, path: url, headers }, (answer) => {
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(outgoing);
  });
  upstream.on("error", () => outgoing.destroy());
  incoming.pipe(upstream);
}
