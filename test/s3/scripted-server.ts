/** An S3 server that follows a script, for responses of real servers that the tests' own server does not send. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { BlobStore } from "../../src/core/store.ts";
import { S3Client } from "../../src/stores/s3/api/client.ts";
import { type ResolvedS3Options, resolveS3Options, type S3StoreOptions } from "../../src/stores/s3/options.ts";
import { S3Store } from "../../src/stores/s3/s3-store.ts";
import { contentOf, seenRequest } from "./fault-proxy.ts";
import type { InnerOptions } from "./place.ts";
import { type ScriptedAnswer, ScriptedBucket, type ScriptedRequest } from "./scripted-bucket.ts";

/** How the server treats a request. */
export type Step =
  /** Sends this response without carrying the request out. */
  | ScriptedAnswer
  /** Closes the connection without a response. */
  | "close"
  /** Never responds. */
  | "silence"
  /** Carries it out and responds correctly, one byte every few milliseconds. */
  | "trickle"
  /** Carries it out, then sends this response. */
  | { readonly done: ScriptedAnswer | "close" }
  /** Carries it out and responds correctly. */
  | null;

/** The credentials that the server accepts. */
export const KEYS = { accessKey: "AKIASCRIPTEDACCESS", secretKey: "scripted/secret+key/0123456789" } as const;

const MIB = 1024 * 1024;

export class ScriptedServer implements AsyncDisposable {
  readonly bucket: ScriptedBucket = new ScriptedBucket();
  /** All completely received requests, and when, by `performance.now()`. */
  readonly seen: (ScriptedRequest & { readonly at: number })[] = [];
  /** The `x-amz-request-id` of responses. */
  ids: "unique" | "constant" | "none" = "unique";
  #answers = 0;
  /** Awaited before a request is carried out. */
  before: (request: ScriptedRequest) => Promise<void> | void = () => undefined;
  readonly #server: Server;
  readonly #held = new Map<string, Promise<void>>();
  readonly #scripts = new Map<string, (request: ScriptedRequest) => Step>();

  /** The number of further connections to reset before a request is read from them. */
  #refusals = 0;
  /** The number of connections that were reset that way. */
  refused = 0;

  private constructor() {
    this.#server = createServer((incoming, outgoing) => void this.#serve(incoming, outgoing).catch(() => null));
    this.#server.on("connection", (socket) => {
      if (this.#refusals === 0) return;
      this.#refusals -= 1;
      this.refused += 1;
      socket.resetAndDestroy();
    });
  }

  /** @param port a free one, for a server that goes away and returns */
  static async start(port = 0): Promise<ScriptedServer> {
    const scripted = new ScriptedServer();
    await scripted.#listen(port);
    return scripted;
  }

  async #listen(port: number): Promise<void> {
    this.#server.listen(port, "127.0.0.1");
    await once(this.#server, "listening");
  }

  /** Host and port. */
  get place(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get endpoint(): string {
    return `http://${this.place}`;
  }

  /** The operations of all requests, in their order. */
  get operations(): readonly string[] {
    return this.seen.map(({ operation }) => operation);
  }

  /** Scripts the next requests of an operation, one step each. Later requests get correct responses. */
  once(operation: string, ...steps: readonly Step[]): void {
    const left = [...steps];
    this.#scripts.set(operation, () => left.shift() ?? null);
  }

  /** Scripts all requests of an operation. */
  always(operation: string, step: Step | ((request: ScriptedRequest) => Step)): void {
    this.#scripts.set(operation, typeof step === "function" ? step : () => step);
  }

  /** Delays all requests of an operation. */
  hold(operation: string, until: Promise<void>): void {
    this.#held.set(operation, until);
  }

  options(options: Partial<S3StoreOptions> = {}): ResolvedS3Options {
    const common = { bucket: "scripted", endpoint: this.endpoint, partSize: 5 * MIB, attempts: 4, log: () => null };
    return resolveS3Options({ ...common, ...KEYS, ...options });
  }

  client(options: Partial<S3StoreOptions> = {}): S3Client {
    return new S3Client(this.options(options));
  }

  store(options: Partial<S3StoreOptions> = {}, inner: InnerOptions = {}): BlobStore {
    return new S3Store({ ...this.options(options), ...inner });
  }

  /** Closes all connections, and resets the next `refusals` ones. */
  breakDown(refusals: number): void {
    this.#refusals = refusals;
    this.refused = 0;
    this.#server.closeAllConnections();
  }

  /** Closes all connections and refuses new ones while `work` runs, like a port without a listener. */
  async awayDuring(work: () => Promise<void>): Promise<void> {
    const { port } = this.#server.address() as AddressInfo;
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
    try {
      await work();
    } finally {
      await this.#listen(port);
    }
  }

  /** Closes all idle connections. */
  closeConnections(): void {
    this.#server.closeIdleConnections();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const query = new URL(incoming.url ?? "", this.endpoint).searchParams;
    const request = { ...seenRequest(incoming), query, content: await contentOf(incoming) };
    this.seen.push({ ...request, at: performance.now() });
    await this.#held.get(request.operation);
    await this.before(request);
    const step = this.#scripts.get(request.operation)?.(request) ?? null;
    if (step === "silence") return;
    if (step === "close") return void incoming.socket.destroy();
    if (step === "trickle") return trickle(outgoing, this.bucket.answer(request));
    if (step !== null && !("done" in step)) return this.#send(outgoing, step);
    const answer = this.bucket.answer(request);
    if (step?.done === "close") return void incoming.socket.destroy();
    this.#send(outgoing, step?.done ?? answer);
  }

  #send(outgoing: ServerResponse, answer: ScriptedAnswer): void {
    this.#answers += 1;
    const id = this.ids === "constant" ? "SCRIPTED" : `SCRIPTED${this.#answers}`;
    const fields = this.ids === "none" ? {} : { "x-amz-request-id": id };
    send(outgoing, { ...answer, headers: { ...fields, ...answer.headers } });
  }
}

function send(outgoing: ServerResponse, { status, headers = {}, body = "" }: ScriptedAnswer): void {
  const length = status === 204 ? {} : { "content-length": String(Buffer.byteLength(body)) };
  outgoing.writeHead(status, { ...length, ...headers });
  outgoing.end(outgoing.req.method === "HEAD" ? undefined : body);
}

function trickle(outgoing: ServerResponse, { status, headers = {}, body = "" }: ScriptedAnswer): void {
  const bytes = Buffer.from(body);
  outgoing.writeHead(status, { "content-length": bytes.length, ...headers });
  let sent = 0;
  const timer = setInterval(() => outgoing.write(bytes.subarray(sent, (sent += 1))), 5);
  outgoing.on("close", () => clearInterval(timer));
}
