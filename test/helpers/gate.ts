import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** How many bytes a {@link Gate} lets through, in all its connections together, before it closes. */
export interface GateLimits {
  /** From clients to the server. @default all */
  readonly up?: number;
  /** From the server to clients. @default all */
  readonly down?: number;
}

/** Between clients and a server on loopback: lets so many bytes through and then none until it is opened, so that no timing decides. */
export class Gate implements AsyncDisposable {
  /** The port that connections are passed on to from now on. */
  target: number;
  /** Bytes that have come from clients. */
  up = 0;
  /** Bytes that have come from the server. */
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

  /** Resolves when as much has come as it lets through. */
  get shut(): Promise<void> {
    return this.#shut.promise;
  }

  /** Lets everything through. */
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
