/**
 * A proxy between a store and the server that forwards everything and can make requests of one
 * operation fail in one way. Faults happen on the wire, so the store meets them as in production.
 */
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** What can happen to a request. */
export type Fault =
  /** The response is delayed. */
  | "delay"
  /** The connection breaks before the server receives anything. */
  | "reset-before"
  /** The connection breaks in the middle of the request's content, on both sides. */
  | "reset-within"
  /** The server carries the request out, and its response is lost. */
  | "lost-answer"
  /** The server carries the request out, and its response is truncated. */
  | "cut-answer"
  /** Half of the response arrives, and then nothing more. */
  | "stall"
  /** 500, and the request was not carried out. */
  | "status-500"
  /** 500, although the request was carried out. */
  | "done-500"
  /** 503 SlowDown. */
  | "slow-down"
  /** 200 with an error in its content, and the request was not carried out. */
  | "error-in-200"
  /** 412, although the condition holds. */
  | "status-412"
  /** The response has a wrong entity tag. */
  | "wrong-etag"
  /** 403, and the request was not carried out. */
  | "status-403";

/** Whether a watched request reaches the server. */
export type Fate = "passes" | "never arrives" | "arrives half";

/** Observes requests and decides their fate. A request waits for the watcher. */
export interface Watcher {
  /** Called when the proxy has received a request. */
  arriving(request: SeenRequest): Promise<Fate>;
  /** Called when the server has carried a request out, before its response is sent. */
  done(request: SeenRequest): Promise<void>;
}

export interface SeenRequest {
  /** The S3 operation: `PutObject`. */
  readonly operation: string;
  readonly key: string;
  /** Of a listing. */
  readonly prefix?: string;
  readonly headers: IncomingHttpHeaders;
  /** Bytes of content. */
  readonly length: number;
}

/** A fault for the next requests of one operation. */
export interface Strike {
  readonly operation: string;
  readonly fault: Fault;
  /** The number of requests that fail. @default 1 */
  readonly times?: number;
}

interface ServerAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export class FaultProxy implements AsyncDisposable {
  readonly #target: URL;
  readonly #server: Server;
  #strike: Strike | null = null;
  #left = 0;
  /** All requests since the last {@link reset}, with and without a fault. */
  readonly seen: SeenRequest[] = [];
  /** Observes all requests that meet no fault, except for reads. */
  watcher: Watcher | null = null;
  /** Requests with a fault that the server may still be carrying out. */
  readonly #underWay = new Set<Promise<unknown>>();

  private constructor(target: string) {
    this.#target = new URL(target);
    this.#server = createServer(
      (incoming, outgoing) => void this.#serve(incoming, outgoing).catch(() => incoming.destroy()),
    );
  }

  static async start(target: string): Promise<FaultProxy> {
    const proxy = new FaultProxy(target);
    await new Promise<void>((resolve) => {
      proxy.#server.listen(0, "127.0.0.1", resolve);
    });
    return proxy;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The number of requests of each operation since the last {@link reset}. */
  get counts(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { operation } of this.seen) counts[operation] = (counts[operation] ?? 0) + 1;
    return counts;
  }

  strike(strike: Strike): void {
    this.#strike = strike;
    this.#left = strike.times ?? 1;
  }

  /** Forgets all requests and the fault. Resolves when no request with a fault is running. */
  async reset(): Promise<void> {
    this.#strike = null;
    await Promise.all(this.#underWay);
    this.seen.length = 0;
  }

  /** Whether a request has met the fault. */
  get hasStruck(): boolean {
    return this.#strike !== null && this.#left < (this.#strike.times ?? 1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const seen = seenRequest(incoming);
    this.seen.push(seen);
    if (this.#strike?.operation !== seen.operation || this.#left === 0) {
      if (seen.operation === "GetObject") return this.#passThrough(incoming, outgoing);
      return this.#pass(seen, incoming, outgoing);
    }
    this.#left -= 1;
    const work = this.#apply(this.#strike.fault, seen, incoming, outgoing);
    this.#underWay.add(work.catch(() => null).finally(() => this.#underWay.delete(work)));
    await work;
  }

  async #pass(seen: SeenRequest, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const content = await contentOf(incoming);
    const fate = (await this.watcher?.arriving(seen)) ?? "passes";
    if (fate === "arrives half") await this.#sendHalf(incoming, content);
    if (fate !== "passes") return void incoming.socket.destroy();
    const answer = await this.#forward(incoming, content);
    await this.watcher?.done(seen);
    send(outgoing, answer);
  }

  async #sendHalf(incoming: IncomingMessage, content: Buffer): Promise<void> {
    const upstream = request(this.#upstream(incoming)).on("error", () => null);
    upstream.write(content.subarray(0, content.length / 2));
    await sleep(20);
    upstream.destroy();
  }

  async #apply(fault: Fault, seen: SeenRequest, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    if (fault === "reset-before") return void incoming.socket.destroy();
    if (fault === "reset-within") return this.#resetWithin(incoming, seen.length);
    const content = await contentOf(incoming);
    const invented = INVENTED[fault];
    if (invented !== undefined) return send(outgoing, invented);
    const answer = await this.#forward(incoming, content);
    if (fault === "delay") await sleep(100);
    if (fault === "lost-answer") return void incoming.socket.destroy();
    if (fault === "cut-answer" || fault === "stall") return cutShort(incoming, answer, fault === "stall");
    if (fault === "done-500") return send(outgoing, errorAnswer(500, "InternalError"));
    send(outgoing, fault === "wrong-etag" ? withWrongTag(answer) : answer);
  }

  /** Sends the server a part of the content, then breaks both connections. */
  async #resetWithin(incoming: IncomingMessage, length: number): Promise<void> {
    const upstream = request(this.#upstream(incoming)).on("error", () => null);
    upstream.flushHeaders();
    let sent = 0;
    // Destroying the request here would wait until its client gives up.
    for await (const chunk of incoming.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      upstream.write(chunk.subarray(0, Math.max(1, Math.floor(chunk.length / 2))));
      sent += chunk.length;
      if (sent >= length / 2) break;
    }
    await sleep(20);
    upstream.destroy();
    incoming.socket.destroy();
  }

  async #forward(incoming: IncomingMessage, content: Buffer): Promise<ServerAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<ServerAnswer>();
    const upstream = request(this.#upstream(incoming), (answer) => {
      contentOf(answer).then(
        (body) => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body }),
        reject,
      );
    });
    upstream.on("error", reject).end(content);
    return promise;
  }

  #passThrough(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const upstream = request(this.#upstream(incoming), (answer) => {
      outgoing.writeHead(answer.statusCode ?? 0, answer.headers);
      answer.on("error", () => outgoing.destroy()).pipe(outgoing);
      outgoing.on("close", () => answer.destroy());
    });
    upstream.on("error", () => incoming.destroy()).end();
  }

  #upstream({ method, url, headers }: IncomingMessage) {
    const { hostname, port } = this.#target;
    return { hostname, port, method, path: url, headers };
  }
}

const INVENTED: Readonly<Partial<Record<Fault, ServerAnswer>>> = {
  "status-500": errorAnswer(500, "InternalError"),
  "slow-down": errorAnswer(503, "SlowDown"),
  "error-in-200": errorAnswer(200, "InternalError"),
  "status-412": errorAnswer(412, "PreconditionFailed"),
  "status-403": errorAnswer(403, "AccessDenied"),
};

function errorAnswer(status: number, code: string): ServerAnswer {
  const body = Buffer.from(`<?xml version="1.0"?><Error><Code>${code}</Code><RequestId>made-up</RequestId></Error>`);
  return { status, headers: { "content-type": "application/xml", "content-length": String(body.length) }, body };
}

function withWrongTag({ status, headers, body }: ServerAnswer): ServerAnswer {
  const wrong = "0123456789abcdef0123456789abcdef";
  const text = body.toString("latin1").replace(/<ETag>.*?<\/ETag>/, `<ETag>${wrong}</ETag>`);
  const changed = { ...headers, ...(headers.etag !== undefined && { etag: `"${wrong}"` }) };
  if (body.length > 0) changed["content-length"] = String(text.length);
  return { status, headers: changed, body: Buffer.from(text, "latin1") };
}

function send(outgoing: ServerResponse, { status, headers, body }: ServerAnswer): void {
  const isHead = outgoing.req.method === "HEAD";
  const { "transfer-encoding": _, ...fields } = headers;
  if (!isHead && status !== 204) fields["content-length"] = String(body.length);
  outgoing.writeHead(status, fields);
  outgoing.end(isHead ? undefined : body);
}

/**
 * Sends half of a response's bytes, header section included; then closes the connection, or sends
 * nothing more.
 */
function cutShort({ socket }: IncomingMessage, { status, headers, body }: ServerAnswer, isStall: boolean): void {
  const fields = Object.entries({ ...headers, "content-length": headers["content-length"] ?? String(body.length) })
    .filter(([name]) => name !== "transfer-encoding")
    .map(([name, value]) => `${name}: ${String(value)}\r\n`);
  const whole = Buffer.concat([Buffer.from(`HTTP/1.1 ${status} Cut\r\n${fields.join("")}\r\n`), body]);
  socket.write(whole.subarray(0, body.length > 0 ? whole.length - Math.ceil(body.length / 2) : whole.length / 2));
  if (!isStall) socket.end();
}

/** All bytes of a message. */
export async function contentOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The operation and key of a request. */
export function seenRequest({ method, url = "", headers }: IncomingMessage): SeenRequest {
  const { pathname, searchParams } = new URL(url, "http://localhost");
  const key = pathname.split("/").slice(2).join("/");
  const length = Number(headers["content-length"] ?? 0);
  const prefix = searchParams.get("prefix") ?? "";
  return { operation: operationOf(String(method), key, searchParams, headers), key, prefix, headers, length };
}

function operationOf(method: string, key: string, query: URLSearchParams, headers: IncomingHttpHeaders): string {
  const isCopy = headers["x-amz-copy-source"] !== undefined;
  if (key === "") return query.has("uploads") ? "ListMultipartUploads" : "ListObjectsV2";
  switch (method) {
    case "HEAD":
      return "HeadObject";
    case "GET":
      return query.has("uploadId") ? "ListParts" : "GetObject";
    case "POST":
      return query.has("uploads") ? "CreateMultipartUpload" : "CompleteMultipartUpload";
    case "DELETE":
      return query.has("uploadId") ? "AbortMultipartUpload" : "DeleteObject";
    default:
      if (query.has("uploadId")) return isCopy ? "UploadPartCopy" : "UploadPart";
      return isCopy ? "CopyObject" : "PutObject";
  }
}
