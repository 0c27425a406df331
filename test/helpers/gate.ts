import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** The bytes that a {@link Gate} forwards, in all its connections together, before it closes. */
export interface GateLimits {
  /** From clients to the server. @default all */
  readonly up?: number;
  /** From the server to clients. @default all */
  readonly down?: number;
}

/**
 * A TCP proxy on loopback that forwards a number of bytes and then none until it is opened, so that
 * tests do not depend on timing.
 */
export class Gate implements AsyncDisposable {
  /** The port to which new connections are forwarded. */
  target: number;
  /** Bytes received from clients. */
  up = 0;
  /** Bytes received from the server. */
  down = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #limits: Required<GateLimits>;
  #shut = Promise.withResolvers<void>();

  private constructor(server: Server, target: number, limits: Required<GateLimits>) {
    this.#server = server;
    this.#limits = limits;
    this.target = target;
    server.on("connection", (client) => this.#join(client));
  }

  static async start(target: number, { up = Infinity, down = Infinity }: GateLimits): Promise<Gate> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new Gate(server, target, { up, down });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Resolves when the gate has received as many bytes as it forwards. */
  get shut(): Promise<void> {
    return this.#shut.promise;
  }

  /** Forwards everything from now on. */
  open(): void {
    this.#limits = { up: Infinity, down: Infinity };
    for (const socket of this.#sockets) socket.resume();
  }

  /** Cuts all connections. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.cut();
  }

  #join(client: Socket): void {
    const server = connect(this.target, "127.0.0.1");
    this.#pass(client, server, "up");
    this.#pass(server, client, "down");
  }

  #pass(from: Socket, to: Socket, way: "up" | "down"): void {
    this.#sockets.add(from);
    from.on("data", (bytes: Buffer) => {
      this[way] += bytes.length;
      if (!to.write(bytes)) from.pause();
      if (this[way] < this.#limits[way]) return;
      from.pause();
      this.#shut.resolve();
    });
    to.on("drain", () => {
      if (this[way] < this.#limits[way]) from.resume();
    });
    from.on("end", () => to.end());
    from.on("error", () => undefined);
    from.on("close", () => {
      this.#sockets.delete(from);
      to.destroy();
    });
  }
}
