import { createServer, connect, type Socket } from "node:net";

/** Passes connections on, and breaks each when so many bytes have gone through from the client. */
export class BreakingProxy implements AsyncDisposable {
  readonly url: string;
  readonly #sockets = new Set<Socket>();
  readonly #close: () => void;
  broken = 0;

  private constructor(port: number, close: () => void) {
    this.url = `http://127.0.0.1:${port}`;
    this.#close = close;
  }

  static async start(target: number, breakAfter: number): Promise<BreakingProxy> {
    const server = createServer((client) => {
      const upstream = connect({ port: target, host: "127.0.0.1" });
      proxy.#sockets.add(client);
      let passed = 0;
      client.on("data", (bytes) => {
        passed += bytes.length;
        upstream.write(bytes);
        if (passed < breakAfter) return;
        proxy.broken += 1;
        client.destroy();
        upstream.destroy();
      });
      upstream.on("data", (bytes) => client.write(bytes));
      for (const socket of [client, upstream]) {
        socket.on("error", () => null);
        socket.on("close", () => {
          client.destroy();
          upstream.destroy();
        });
      }
    });
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    const address = server.address();
    const proxy = new BreakingProxy(typeof address === "object" && address !== null ? address.port : 0, () =>
      server.close(),
    );
    return proxy;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
