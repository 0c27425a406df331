/** An S3 server that keeps to a script: for what real servers say, and the one that the other tests have does not. */
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

/** What happens to a request: an answer is given without anything being done, unless it is one to be given afterwards. */
export type Step =
  | ScriptedAnswer
  /** The connection ends without an answer. */
  | "close"
  /** Nothing happens, ever. */
  | "silence"
  /** The right answer comes, a byte of its content every few milliseconds. */
  | "trickle"
  /** It is carried out, and then answered like this. */
  | { readonly done: ScriptedAnswer | "close" }
  /** It is answered as it should be. */
  | null;

/** The keys that the server takes. */
export const KEYS = { accessKey: "AKIASCRIPTEDACCESS", secretKey: "scripted/secret+key/0123456789" } as const;

const MIB = 1024 * 1024;

export class ScriptedServer implements AsyncDisposable {
  readonly bucket: ScriptedBucket = new ScriptedBucket();
  /** All requests that have come in whole, and when (milliseconds). */
  readonly seen: (ScriptedRequest & { readonly at: number })[] = [];
  /** What answers have for an `x-amz-request-id`: another one each, always the same, or none. */
  ids: "unique" | "constant" | "none" = "unique";
  #answers = 0;
  /** Awaited before a request is carried out. */
  before: (request: ScriptedRequest) => Promise<void> | void = () => undefined;
  readonly #server: Server;
  readonly #held = new Map<string, Promise<void>>();
  readonly #scripts = new Map<string, (request: ScriptedRequest) => Step>();

  /** Connections that are still to be ended before a request is read from them. */
  #refusals = 0;
  /** Connections that were ended that way. */
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

  /** As a person reads it. */
  get place(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get endpoint(): string {
    return `http://${this.place}`;
  }

  /** The kinds of all requests, in their order. */
  get operations(): readonly string[] {
    return this.seen.map(({ operation }) => operation);
  }

  /** Does with the next requests of a kind what `steps` say, one after another, and then as it should. */
  once(operation: string, ...steps: readonly Step[]): void {
    const left = [...steps];
    this.#scripts.set(operation, () => left.shift() ?? null);
  }

  /** Does the same with all requests of a kind. */
  always(operation: string, step: Step | ((request: ScriptedRequest) => Step)): void {
    this.#scripts.set(operation, typeof step === "function" ? step : () => step);
  }

  /** Lets all requests of a kind wait. */
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

  /** Breaks all connections, and so many that follow. */
  breakDown(refusals: number): void {
    this.#refusals = refusals;
    this.refused = 0;
    this.#server.closeAllConnections();
  }

  /** Breaks all connections and refuses new ones while `work` runs, as a machine does on which nothing listens. */
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

  /** Ends all connections on which no request is under way. */
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
