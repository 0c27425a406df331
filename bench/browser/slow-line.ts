import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** Milliseconds between two grants. */
const GRANT_INTERVAL_MS = 5;

/** A proxy on loopback that limits the bytes per second to the server, over all connections. */
export class SlowLine implements AsyncDisposable {
  /** Bytes received from clients. */
  up = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #rate: number;
  readonly #timer: NodeJS.Timeout;
  readonly #began: number = performance.now();
  #granted = 0;

  private constructor(server: Server, target: number, rate: number) {
    this.#server = server;
    this.#rate = rate;
    server.on("connection", (client) => this.#join(client, target));
    this.#timer = setInterval(() => this.#grant(), GRANT_INTERVAL_MS);
  }

  /** @param rate bytes per second */
  static async start(target: number, rate: number): Promise<SlowLine> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new SlowLine(server, target, rate);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Unused bandwidth does not accumulate, apart from a tenth of a second. */
  #grant(): void {
    const now = ((performance.now() - this.#began) * this.#rate) / 1000;
    this.#granted = Math.max(this.#granted, now - this.#rate / 10);
    if (this.#granted > now) return;
    for (const socket of this.#sockets) socket.resume();
  }

  #join(client: Socket, target: number): void {
    const server = connect(target, "127.0.0.1");
    this.#sockets.add(client);
    client.on("data", (bytes) => {
      this.up += bytes.length;
      this.#granted += bytes.length;
      server.write(bytes);
      if (this.#granted > ((performance.now() - this.#began) * this.#rate) / 1000) client.pause();
    });
    server.pipe(client);
    for (const socket of [client, server]) socket.on("error", () => null);
    client.on("close", () => {
      this.#sockets.delete(client);
      server.destroy();
    });
    server.on("close", () => client.destroy());
  }
}
