import { AsyncLocalStorage } from "node:async_hooks";
import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";
import Fastify from "fastify";
import { Hono } from "hono";
import { pino } from "pino";
import { fixityPlugin } from "../../src/fastify.ts";
import { fetchHandler } from "../../src/fetch.ts";
import { createFixity, Digest, type ErrorCode, type Fixity, FixityError } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import { expectContinue, type HandlerOptions, nodeHandler } from "../../src/node.ts";
import { buildApp } from "../../src/server/app.ts";
import type { OpenApiDocument } from "../../src/openapi.ts";
import { readConfig } from "../../src/settings/config.ts";
import { compareAnswers } from "./described-answers.ts";
import { sha256 } from "./service.ts";

/** The ways to serve fixity; `local` is the standalone server in local mode, without tokens. */
export const HOSTS = ["standalone", "local", "express", "fastify", "fetch"] as const;
export type HostName = (typeof HOSTS)[number];

/** Required in every request, except to `local`. */
export const TOKEN = "a-token-of-the-test-hosts";

/** Milliseconds after which a silent upload is answered with 408. */
const IDLE_TIMEOUT = 1500;

export const MAX_SIZE: number = 12 * 1024 ** 2;
export const MAX_APPEND_SIZE: number = 11 * 1024 ** 2;
export const MIN_APPEND_SIZE = 100;
/** The digest that every host has blocked. */
export const BLOCKED_HEX: string = sha256("blocked content");
/** The limit of open uploads. */
export const MAX_OPEN = 40;

/** The failure that a request asks for, passed from its header section to the store. */
const wantedFailure = new AsyncLocalStorage<string | undefined>();

/**
 * fixity in one of its hosts, with a memory store, on a free port of loopback. A request chooses how
 * it fails: `X-Test-Refuse` is the code that `authorize` throws, `X-Test-Fail` that of the store.
 */
export class Host implements AsyncDisposable {
  readonly name: HostName;
  readonly fixity: Fixity;
  readonly port: number;
  readonly #server: Server;
  readonly #answered = new Map<string, PromiseWithResolvers<void>>();
  #assertDescribed = (): void => {};

  private constructor(name: HostName, fixity: Fixity, server: Server) {
    this.name = name;
    this.fixity = fixity;
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.prependListener("request", (request: IncomingMessage, response: ServerResponse) => {
      wantedFailure.enterWith(request.headers["x-test-fail"] as string | undefined);
      this.#noteHead(String(request.headers["x-test-id"]), response);
    });
  }

  static async start(name: HostName): Promise<Host> {
    const fixity = createFixity({
      store: failingStore(),
      maxSize: MAX_SIZE,
      uploads: { maxOpen: MAX_OPEN, maxAppendSize: MAX_APPEND_SIZE, minAppendSize: MIN_APPEND_SIZE },
    });
    await fixity.block(Digest.parse(BLOCKED_HEX), { reason: "a test" });
    const server = await SERVERS[name](fixity);
    if (!server.listening) await once(server.listen(0, "127.0.0.1"), "listening");
    const host = new Host(name, fixity, server);
    if (name === "standalone" || name === "local") await host.#compareAnswers();
    return host;
  }

  /** Resolves when the header section of the response to the request with this `X-Test-Id` has been written. */
  answered(id: string): Promise<void> {
    return this.#answer(id).promise;
  }

  /** The number of open connections of the server. */
  async connections(): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.#server.getConnections((error, count) => (error === null ? resolve(count) : reject(error)));
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    this.#assertDescribed();
  }

  /** Compares all answers with the document that the server itself serves. */
  async #compareAnswers(): Promise<void> {
    const response = await fetch(`http://127.0.0.1:${this.port}/openapi.json`, { headers: { connection: "close" } });
    const document = (await response.json()) as OpenApiDocument;
    this.#assertDescribed = compareAnswers(this.#server, this.name, () => document);
  }

  #noteHead(id: string, response: ServerResponse): void {
    const writeHead = response.writeHead.bind(response) as (...args: unknown[]) => ServerResponse;
    response.writeHead = (...args: unknown[]) => {
      this.#answer(id).resolve();
      return writeHead(...args);
    };
  }

  #answer(id: string): PromiseWithResolvers<void> {
    const known = this.#answered.get(id) ?? Promise.withResolvers<void>();
    this.#answered.set(id, known);
    return known;
  }
}

/** A memory store whose `stage` fails if the request asks for it. */
function failingStore(): ReturnType<typeof memoryStore> {
  const store = memoryStore();
  const stage = store.stage.bind(store);
  store.stage = async (options) => {
    const code = wantedFailure.getStore();
    if (code === "internal-error") throw new Error("a fault of the test's own");
    if (code !== undefined) throw new FixityError(code as ErrorCode, "As the test wants it.");
    return stage(options);
  };
  return store;
}

const OPTIONS: HandlerOptions = {
  idleTimeout: IDLE_TIMEOUT,
  minRate: 0,
  log: () => {},
  tokens: [TOKEN],
  authorize({ exchange }) {
    const code = exchange.fields.get("x-test-refuse");
    if (code !== undefined) throw new FixityError(code as ErrorCode, "As the test wants it.");
  },
};

const SERVERS: Readonly<Record<HostName, (fixity: Fixity) => Promise<Server>>> = {
  standalone: (fixity) => standalone(fixity, { UPLOAD_TOKENS: TOKEN }),
  local: (fixity) => standalone(fixity, {}),
  async express(fixity) {
    const app = express();
    const handler = nodeHandler(fixity, OPTIONS);
    app.use(handler);
    const server = createServer(app);
    expectContinue(server, handler);
    return server;
  },
  async fastify(fixity) {
    const app = Fastify({ forceCloseConnections: true });
    await app.register(fixityPlugin, { ...OPTIONS, fixity });
    await app.listen({ host: "127.0.0.1", port: 0 });
    return app.server;
  },
  async fetch(fixity) {
    const handler = fetchHandler(fixity, OPTIONS);
    const app = new Hono();
    app.all("/uploads/*", (context) => handler(context.req.raw));
    return createServer(await honoListener(app.fetch));
  },
};

async function standalone(fixity: Fixity, access: Readonly<Record<string, string>>): Promise<Server> {
  const config = readConfig({
    env: {
      ...access,
      UPLOAD_IDLE_TIMEOUT: `${IDLE_TIMEOUT}ms`,
      UPLOAD_MIN_RATE: "0",
      UPLOAD_MAX_SIZE: String(MAX_SIZE),
    },
  });
  const log = pino({ level: "silent" });
  // The server behaves as if it were stopping if the request asks for it.
  const stopping = new AbortController().signal;
  Object.defineProperty(stopping, "aborted", { get: () => wantedFailure.getStore() === "shutting-down" });
  const app = await buildApp(fixity, config, { log, tokens: () => config.tokens, draining: stopping, stopping });
  await app.listen({ host: "127.0.0.1", port: 0 });
  return app.server;
}

/** The types of this package require those of the DOM, so they are not used. */
export async function honoListener(fetch: unknown): Promise<RequestListener> {
  const name: string = "@hono/node-server";
  const { getRequestListener } = (await import(name)) as { getRequestListener: (fetch: unknown) => RequestListener };
  return getRequestListener(fetch);
}
