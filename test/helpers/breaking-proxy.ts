import { connect, createServer, type Socket } from "node:net";

/** When a {@link BreakingProxy} breaks connections. */
export interface BreakingLimits {
  /**
   * Bytes from the client after which a connection is broken.
   *
   * @default any number
   */
  readonly up?: number;
  /**
   * Bytes to the client after which it is broken.
   *
   * @default any number
   */
  readonly down?: number;
  /** Whether such a connection stays open without transferring anything, instead of being closed. */
  readonly holds?: boolean;
  /**
   * The number of connections to break. Later ones are forwarded completely.
   *
   * @default all
   */
  readonly times?: number;
  /**
   * The port to listen on.
   *
   * @default a free port
   */
  readonly port?: number;
}

/** A TCP proxy that breaks each connection after a number of bytes. */
export class BreakingProxy implements AsyncDisposable {
  readonly url: string;
  readonly #sockets = new Set<Socket>();
  readonly #close: () => void;
  broken = 0;

  private constructor(port: number, close: () => void) {
    this.url = `http://127.0.0.1:${port}`;
    this.#close = close;
  }

  /** @param limits when it breaks connections, or the bytes from the client after which it does */
  static async start(target: number, limits: number | BreakingLimits): Promise<BreakingProxy> {
    const {
      up = Infinity,
      down = Infinity,
      holds = false,
      times = Infinity,
      port = 0,
    } = typeof limits === "number" ? { up: limits } : limits;
    const server = createServer((client) => {
      const upstream = connect({ port: target, host: "127.0.0.1" });
      proxy.#sockets.add(client);
      const pass = (from: Socket, to: Socket, most: number): void => {
        let passed = 0;
        let isHeld = false;
        from.on("data", (bytes) => {
          passed += bytes.length;
          if (!to.write(bytes)) {
            from.pause();
            to.once("drain", () => isHeld || from.resume());
          }
          if (passed < most || proxy.broken >= times) return;
          proxy.broken += 1;
          if (holds) {
            isHeld = true;
            from.pause();
            return;
          }
          client.destroy();
          upstream.destroy();
        });
      };
      pass(client, upstream, up);
      pass(upstream, client, down);
      for (const socket of [client, upstream]) {
        socket.on("error", () => null);
        socket.on("close", () => {
          client.destroy();
          upstream.destroy();
        });
      }
    });
    await new Promise<void>((resolve) => {
      server.listen(port, "127.0.0.1", resolve);
    });
    const address = server.address();
    const proxy = new BreakingProxy(typeof address === "object" && address !== null ? address.port : 0, () =>
      server.close(),
    );
    return proxy;
  }

  /** Breaks all open connections. */
  breakAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#close();
    this.breakAll();
  }
}
