import { readFileSync } from "node:fs";
import type { Server, Socket } from "node:net";
import type { Logger } from "pino";
import { clientNetwork, isSharedPeer, TrustedProxies } from "../access/client-address.ts";
import { FairShare } from "../base/fair-share.ts";

/** Descriptors for what is not a connection: the log, listening sockets, libraries, idle connections to a bucket. */
const RESERVED_DESCRIPTORS = 64;
/** A connection has its own descriptor, and its request may have a file and a folder, or connections to a bucket. */
const DESCRIPTORS_PER_CONNECTION = 3;
/** Bounds of the limit, for processes with hardly any descriptors, and without a limit of them. */
const [MIN_CONNECTIONS, MAX_CONNECTIONS] = [16, 100_000];
/** Milliseconds between two log lines about refused connections. */
const LOG_INTERVAL_MS = 60_000;

/**
 * The most connections that a server can have without running out of descriptors, from the limit of the process (Node has
 * raised that to the hard limit at its start).
 */
export function connectionLimit(): number {
  const possible = Math.floor((descriptorLimit() - RESERVED_DESCRIPTORS) / DESCRIPTORS_PER_CONNECTION);
  return Math.min(MAX_CONNECTIONS, Math.max(MIN_CONNECTIONS, possible));
}

/** Open files that the process may have; `Infinity` where there is no limit, or none that can be read. */
function descriptorLimit(): number {
  try {
    const text = /^Max open files +(\d+|unlimited)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return text === undefined || text === "unlimited" ? Infinity : Number(text);
  } catch {
    // no Linux: a report takes some hundredths of a second
    const { userLimits } = process.report.getReport() as { userLimits?: { open_files?: { soft?: unknown } } };
    const soft = userLimits?.open_files?.soft;
    return typeof soft === "number" ? soft : Infinity;
  }
}

/** What {@link limitConnections} needs to know. */
export interface ConnectionLimits {
  /** @default {@link connectionLimit} */
  readonly most?: number;
  /** Addresses and ranges. */
  readonly trustedProxies: readonly string[] | undefined;
  readonly log: Logger;
  /** The peer of a socket; for tests. */
  readonly peerOf?: (socket: Socket) => string | undefined;
}

/**
 * Bounds a server's connections: all together by `most`, and those of one client by its share of them once most are in use.
 * Loopback peers and trusted proxies bring the requests of many clients, so they have no share.
 */
export function limitConnections<Limited extends Server>(
  server: Limited,
  { most = connectionLimit(), trustedProxies = [], log, peerOf = (socket) => socket.remoteAddress }: ConnectionLimits,
): Limited {
  const trusted = new TrustedProxies(trustedProxies);
  const shares = new FairShare(most);
  let refused = 0;
  let timer: NodeJS.Timeout | null = null;
  const refuse = (): void => {
    refused += 1;
    // the first at once, the others counted
    if (timer === null) report();
  };
  const report = (): void => {
    timer = null;
    if (refused === 0) return;
    log.warn({ refused, open: shares.used, limit: most }, "connections were refused: too many are open");
    refused = 0;
    timer = setTimeout(report, LOG_INTERVAL_MS).unref();
  };
  server.maxConnections = most;
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
