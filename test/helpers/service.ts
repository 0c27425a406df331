import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import Fastify from "fastify";
import { fixityPlugin } from "../../src/fastify.ts";
import { createFixity, type Fixity, type FixityOptions } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import { expectContinue, type HandlerOptions, nodeHandler, type NodeHandlerOptions } from "../../src/node.ts";
import { openApiDocument } from "../../src/openapi.ts";
import { compareAnswers } from "./described-answers.ts";

/** Options of a service. */
export interface ServiceOptions extends NodeHandlerOptions, Partial<FixityOptions> {
  /** @default "node" */
  readonly adapter?: "node" | "fastify";
  /** Milliseconds for which an idle connection is kept, with the adapter "node". @default Node's own */
  readonly keepAliveTimeout?: number;
}

/**
 * A fixity service on loopback for one test, with a memory store by default. Its disposal fails if it
 * has sent an answer that its OpenAPI document does not describe.
 */
export class Service implements AsyncDisposable {
  readonly fixity: Fixity;
  readonly port: number;
  readonly server: Server;
  readonly #close: () => Promise<unknown>;
  readonly #assertDescribed: () => void;

  private constructor(fixity: Fixity, server: Server, options: ServiceOptions, close: () => Promise<unknown>) {
    this.fixity = fixity;
    this.#assertDescribed = compareWithDocument(fixity, server, options);
    this.server = server;
    this.port = (server.address() as AddressInfo).port;
    this.#close = close;
  }

  /** Links have pages, unless `view` says otherwise. */
  static async start(given: ServiceOptions = {}): Promise<Service> {
    const options: ServiceOptions = { view: true, ...given };
    const fixity = createFixity({ store: memoryStore(), ...options });
    if (options.adapter === "fastify") {
      const app = Fastify({ forceCloseConnections: true });
      await app.register(fixityPlugin, { ...(options as HandlerOptions), fixity });
      await app.listen({ port: 0, host: "127.0.0.1" });
      return new Service(fixity, app.server, options, () => app.close());
    }
    const handler = nodeHandler(fixity, options);
    const server = createServer({ keepAliveTimeout: options.keepAliveTimeout }, handler).listen(0, "127.0.0.1");
    expectContinue(server, handler);
    await once(server, "listening");
    return new Service(fixity, server, options, async () => server.close());
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** The number of open connections of the server. */
  async connections(): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.server.getConnections((error, count) => (error === null ? resolve(count) : reject(error)));
    return promise;
  }

  /** The number of stored blobs. */
  async count(): Promise<number> {
    return (await Array.fromAsync(this.fixity.list())).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.#close();
    this.server.closeAllConnections();
    await closed;
    this.#assertDescribed();
  }
}

function compareWithDocument(fixity: Fixity, server: Server, options: ServiceOptions): () => void {
  const { view, fieldName, downloads, tokens, cacheTags } = options;
  const { prefix, uploads, reads, permits } = fixity;
  const facts = { prefix, reads, view, fieldName, mode: downloads?.mode, cacheTags };
  const key = [facts, uploads === null, permits === null, tokens === undefined, "authorize" in options];
  return compareAnswers(server, JSON.stringify(key), () => openApiDocument(fixity, options as HandlerOptions));
}

/** The SHA-256 of bytes in hex, computed by Node and not by fixity. */
export function sha256(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A form as a browser writes it. */
export interface FormText {
  readonly boundary: string;
  readonly body: Buffer;
}

/** Writes `multipart/form-data` by hand: each part's header lines and content. */
export function formOf(parts: readonly { readonly head: string; readonly content: string | Uint8Array }[]): FormText {
  const boundary = "----test-boundary";
  const pieces = parts.flatMap(({ head, content }) => [
    Buffer.from(`--${boundary}\r\n${head}\r\n\r\n`),
    Buffer.from(content),
    Buffer.from("\r\n"),
  ]);
  return { boundary, body: Buffer.concat([...pieces, Buffer.from(`--${boundary}--\r\n`)]) };
}

/** The header section of a part that is a file in the field `upload`. */
export function fileHead(filename = "a.bin", type = "application/octet-stream"): string {
  return `Content-Disposition: form-data; name="upload"; filename="${filename}"\r\nContent-Type: ${type}`;
}
