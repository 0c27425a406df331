import { readFileSync } from "node:fs";
import type { Server as HttpServer, ServerResponse } from "node:http";
import { Server, type Socket } from "node:net";
import type { Logger } from "pino";
import { clientNetwork, isSharedPeer, TrustedProxies } from "../access/client-address.ts";
import { timeLimit } from "../base/abort-race.ts";
import { FairShare } from "../base/fair-share.ts";

/**
 * Descriptors for everything but connections: the log, listening sockets, libraries, idle
 * connections to a bucket.
 */
const RESERVED_DESCRIPTORS = 64;
/**
 * One for the connection; its request may need two for a file and a folder, or for connections to a
 * bucket.
 */
const DESCRIPTORS_PER_CONNECTION = 3;
/** Bounds of the limit, for processes with very few descriptors or without a limit. */
const [MIN_CONNECTIONS, MAX_CONNECTIONS] = [16, 100_000];
/** The shortest time between two log lines about refused connections. */
const LOG_INTERVAL_MS = 60_000;

/**
 * How many connections the server can have without running out of descriptors. It follows from the
 * process's limit of open files, which Node raises to the hard limit at its start.
 */
export function connectionLimit(): number {
  const possible = Math.floor((descriptorLimit() - RESERVED_DESCRIPTORS) / DESCRIPTORS_PER_CONNECTION);
  return Math.min(MAX_CONNECTIONS, Math.max(MIN_CONNECTIONS, possible));
}

/** The process's limit of open files; `Infinity` if there is none, or if it cannot be read. */
function descriptorLimit(): number {
  try {
    const text = /^Max open files +(\d+|unlimited)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return text === undefined || text === "unlimited" ? Infinity : Number(text);
  } catch {
    // Not Linux. A report takes some hundredths of a second.
    const { userLimits } = process.report.getReport() as { userLimits?: { open_files?: { soft?: unknown } } };
    const soft = userLimits?.open_files?.soft;
    return typeof soft === "number" ? soft : Infinity;
  }
}

export interface ConnectionLimits {
  /** The largest number of open connections of this process. @default {@link connectionLimit} */
  readonly maxConnections?: number;
  /** The connections by client, of all processes of the server. @default those of this process */
  readonly shares?: FairShare | undefined;
  /** Addresses and ranges. */
  readonly trustedProxies: readonly string[] | undefined;
  readonly log: Logger;
  /** The peer of a socket; tests replace it. */
  readonly peerOf?: (socket: Socket) => string | undefined;
}

/**
 * Bounds a server's connections: in total, and per client to a fair share once most of them are in
 * use. Loopback peers and trusted proxies carry the requests of many clients, so they have no limit
 * of their own.
 */
export function limitConnections<Limited extends Server>(
  server: Limited,
  {
    maxConnections = connectionLimit(),
    shares = new FairShare(maxConnections),
    trustedProxies = [],
    log,
    peerOf = (socket) => socket.remoteAddress,
  }: ConnectionLimits,
): Limited {
  const trusted = new TrustedProxies(trustedProxies);
  let refused = 0;
  let timer: NodeJS.Timeout | null = null;
  const refuse = (): void => {
    refused += 1;
    // The first refusal is logged at once, the following ones are counted.
    if (timer === null) report();
  };
  const report = (): void => {
    timer = null;
    if (refused === 0) return;
    log.warn({ refused, open: shares.used, limit: shares.total }, "connections were refused: too many are open");
    refused = 0;
    timer = setTimeout(report, LOG_INTERVAL_MS).unref();
  };
  server.maxConnections = maxConnections;
  // A worker must not return connections to a primary that would send them to full workers forever.
  Object.assign(server, { dropMaxConnection: true });
  server.on("drop", refuse);
  server.prependListener("connection", (socket: Socket) => {
    const peer = peerOf(socket);
    const client = isSharedPeer(peer, trusted) ? null : clientNetwork(peer, undefined, trusted);
    if (shares.isExceededBy(client)) {
      refuse();
      socket.destroy();
      return;
    }
    shares.add(client);
    socket.once("close", () => shares.remove(client));
  });
  return server;
}

/** How long clients have to send one more request on their connections to a server that retires. */
const RETIREMENT_MS = 5_000;

/**
 * The retirement of a server whose port another process serves from now on. It accepts no more
 * connections. A request on an open connection is answered as before, and the answer closes the
 * connection: to close idle connections at once would fail requests that are on their way.
 */
export class Retirement {
  readonly #server: HttpServer;
  #ended: Promise<void> = Promise.resolve();

  constructor(server: HttpServer) {
    this.#server = server;
  }

  /** Resolves when no connection is left; at once if the server has not retired. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /** Resolves when no connection is left, or after a few seconds. */
  async begin(): Promise<void> {
    for (const event of ["request", "checkContinue"]) {
      this.#server.prependListener(event, (_request, response: ServerResponse) => {
        response.shouldKeepAlive = false;
      });
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    // The `close` of an HTTP server would also close idle connections.
    Server.prototype.close.call(this.#server, () => resolve());
    this.#ended = promise;
    await timeLimit(promise, RETIREMENT_MS);
  }
}
