/**
 * A TCP proxy in front of an S3 server that is broken in one way: in reply to a request it sends an answer that it has sent
 * before, byte for byte, while that request is under way.
 */
import type { IncomingMessage } from "node:http";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { seenRequest } from "./fault-proxy.ts";

/** Which old answer is sent. */
export type OldAnswer =
  /** The last one to a request of the same kind, on whatever connection, so that it looks right. */
  | "of the same kind"
  /** The last one on this connection. */
  | "on the connection";

/** What the proxy does to requests of one kind. */
export interface Repetition {
  readonly operation: string;
  readonly old: OldAnswer;
  /** The request reaches the server as well, and the right answer follows the old one. */
  readonly isForwarded: boolean;
  /** The old answer is sent when the head of the request is there, not when all of it is. */
  readonly isEarly: boolean;
  /** Requests that are struck. */
  readonly times: number;
}

export class RepeatingProxy implements AsyncDisposable {
  /** Old answers that have been sent. */
  repeated = 0;
  #armed: Repetition | null = null;
  readonly #lastOf = new Map<string, Buffer>();
  readonly #target: URL;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(target: string) {
    this.#target = new URL(target);
    this.#server = createServer((client) => this.#serve(client));
  }

  static async start(target: string): Promise<RepeatingProxy> {
    const proxy = new RepeatingProxy(target);
    await new Promise<void>((resolve) => {
      proxy.#server.listen(0, "127.0.0.1", resolve);
    });
    return proxy;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Strikes the next requests of a kind. */
  arm(repetition: Repetition): void {
    this.#armed = repetition;
    this.repeated = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }

  #serve(client: Socket): void {
    const server = connect(Number(this.#target.port), this.#target.hostname);
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(one);
      one.on("error", () => null).on("close", () => (other.destroy(), this.#sockets.delete(one)));
    }
    /** Of the request under way: its kind, the bytes that are still to come, and its answer so far. */
    let operation = "";
    let left = 0;
    let answer: Buffer[] = [];
    let old: Buffer | null = null;
    let head: Buffer = Buffer.alloc(0);
    let isForwarded = true;

    const repeat = (): void => {
      if (old === null) return;
      client.write(old);
      old = null;
    };
    const begin = (text: string): void => {
      const last = answer.length === 0 ? undefined : Buffer.concat(answer);
      if (last !== undefined) this.#lastOf.set(operation, last);
      answer = [];
      const seen = requestIn(text);
      ({ operation, length: left } = seen);
      isForwarded = true;
      const armed = this.#armed;
      if (armed === null || armed.operation !== operation || this.repeated >= armed.times) return;
      old = (armed.old === "on the connection" ? last : this.#lastOf.get(operation)) ?? null;
      if (old === null) return;
      this.repeated += 1;
      ({ isForwarded } = armed);
      if (armed.isEarly) repeat();
    };
    client.on("data", (chunk) => {
      let rest: Buffer = chunk;
      if (left === 0) {
        head = Buffer.concat([head, chunk]);
        const end = head.indexOf("\r\n\r\n");
        if (end === -1) return;
        begin(head.toString("latin1", 0, end));
        [rest, head] = [head, Buffer.alloc(0)];
        left += end + 4;
      }
      left -= rest.length;
      if (isForwarded) server.write(rest);
      if (left === 0) repeat();
    });
    server.on("data", (chunk) => {
      answer.push(chunk);
      client.write(chunk);
    });
  }
}

function requestIn(text: string): ReturnType<typeof seenRequest> {
  const [first = "", ...lines] = text.split("\r\n");
  const [method = "", url = ""] = first.split(" ");
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
  );
  return seenRequest({ method, url, headers } as unknown as IncomingMessage);
}
