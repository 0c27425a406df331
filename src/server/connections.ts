import { readFileSync } from "node:fs";
import type { Server, Socket } from "node:net";
import type { Logger } from "pino";
import { clientNetwork, isSharedPeer, TrustedProxies } from "../access/client-address.ts";
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
  /** The largest number of open connections. @default {@link connectionLimit} */
  readonly maxConnections?: number;
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
    trustedProxies = [],
    log,
    peerOf = (socket) => socket.remoteAddress,
  }: ConnectionLimits,
): Limited {
  const trusted = new TrustedProxies(trustedProxies);
  const shares = new FairShare(maxConnections);
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
    log.warn({ refused, open: shares.used, limit: maxConnections }, "connections were refused: too many are open");
    refused = 0;
    timer = setTimeout(report, LOG_INTERVAL_MS).unref();
  };
  server.maxConnections = maxConnections;
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
