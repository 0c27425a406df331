import type { AddressInfo } from "node:net";
import type { FastifyInstance } from "fastify";
import type { Logger } from "pino";
import { FixityError } from "../core/errors.ts";
import { createFixity, type Fixity } from "../core/fixity.ts";
import type { BlobStore } from "../core/store.ts";
import type { AppParts } from "./app.ts";
import { collectPeriodically } from "./collections.ts";
import type { Config } from "../settings/config.ts";
import { Health } from "./health.ts";
import { accessWarnings } from "./local-mode.ts";
import { createLog } from "./log.ts";
import { checkDelegation, openStore } from "../settings/configured-store.ts";

/** Milliseconds between two collections of what dead processes have left and what has expired; less if uploads expire sooner. */
const COLLECTION_PERIOD_MS = 3_600_000;

/** Milliseconds that clients whose uploads had to be interrupted get to read why, before their connections are cut. */
const ANSWER_GRACE_MS = 5_000;

/** A server that listens. */
export interface RunningServer {
  /** Where, such as `http://127.0.0.1:3000`. */
  readonly url: string;
  readonly log: Logger;
  /** What and where the store is. */
  readonly storeDescription: string;
  /**
   * Refuses new work, saves what resumable uploads have received, lets other uploads and downloads finish for at most
   * `shutdownTimeout`, and frees everything.
   *
   * @throws FixityError `store-unavailable` where not everything could be saved; everything is freed all the same
   */
  close(): Promise<void>;
}

/**
 * Starts the standalone server: store, app, socket.
 *
 * @throws FixityError `invalid-option`, `store-misconfigured` or `store-unavailable`, with a message for who set it up
 */
export async function startServer(config: Config): Promise<RunningServer> {
  await checkDelegation(config);
  const log = createLog(config);
  for (const warning of accessWarnings(config)) log.warn(warning);
  const store = await openStore(config, (message, error) => log.warn({ err: error }, message));
  try {
    // while the disk is busy with the one, the processor is with the other
    const [{ buildApp }] = await Promise.all([import("./app.ts"), store.check()]);
    return await listen({ config, store, log, buildApp });
  } catch (error) {
    await store[Symbol.asyncDispose]();
    throw error;
  }
}

interface Parts {
  readonly config: Config;
  readonly store: BlobStore;
  readonly log: Logger;
  readonly buildApp: (parts: AppParts) => Promise<FastifyInstance>;
}

async function listen({ config, store, log, buildApp }: Parts): Promise<RunningServer> {
  const fixity = makeFixity(store, config);
  const stopping = new AbortController();
  const health = new Health(() => store.check());
  const app = await buildApp({ config, fixity, health, log, stopping: stopping.signal });
  try {
    await app.listen({ host: config.host, port: config.port });
  } catch (error) {
    throw listenError(error, config);
  }
  const periodMs = Math.min(COLLECTION_PERIOD_MS, config.expiry);
  void collectPeriodically(fixity, { periodMs, signal: stopping.signal, log });
  return {
    url: urlOf(app.server.address() as AddressInfo),
    log,
    storeDescription: store.description,
    async close() {
      stopping.abort();
      try {
        await drain({ app, fixity, timeout: config.shutdownTimeout, log });
      } finally {
        await store[Symbol.asyncDispose]();
      }
    },
  };
}

function makeFixity(store: BlobStore, config: Config): Fixity {
  const { maxSize, prefix, publicUrl, expiry, maxOpen, maxAppendSize, minAppendSize } = config;
  return createFixity({
    store,
    maxSize,
    prefix,
    ...(publicUrl !== undefined && { publicUrl }),
    uploads: { expiry, maxOpen, minAppendSize, ...(maxAppendSize !== undefined && { maxAppendSize }) },
  });
}

/** What has to end when the server stops. */
interface Draining {
  readonly app: FastifyInstance;
  readonly fixity: Fixity;
  /** Milliseconds that uploads and downloads get to finish. */
  readonly timeout: number;
  readonly log: Logger;
}

/**
 * Ends all uploads, and then all connections: idle ones at once, busy ones when they have been answered. Whoever is still
 * busy when the time is over is cut off: downloads then, and uploads that were interrupted then a few seconds later, so that
 * their clients can read the answer. Resolves when nothing works on the store any more, whatever has become of sockets.
 */
async function drain({ app, fixity, timeout, log }: Draining): Promise<void> {
  const end = performance.now() + timeout;
  const idle = setInterval(() => app.server.closeIdleConnections(), 50);
  const uploads = fixity.close({ timeout });
  const connections = app.close();
  await Promise.allSettled([uploads]);
  const left = end - performance.now();
  const cut = setTimeout(
    () => {
      log.warn("the time to finish is over: what is still running is cut off");
      app.server.closeAllConnections();
    },
    left > 0 ? left : ANSWER_GRACE_MS,
  );
  const ended = await Promise.allSettled([connections, uploads]);
  clearInterval(idle);
  clearTimeout(cut);
  for (const result of ended) if (result.status === "rejected") throw result.reason;
}

/** As a browser on this machine takes it: a server on all addresses is not reached by the name of none. */
function urlOf({ address, family, port }: AddressInfo): string {
  const host = address === "0.0.0.0" || address === "::" ? "localhost" : address;
  return `http://${family === "IPv6" && host === address ? `[${host}]` : host}:${port}`;
}

function listenError(cause: unknown, { host, port }: Config): FixityError {
  const texts: Readonly<Record<string, string>> = {
    EADDRINUSE: `Port ${port} on ${host} is taken. Choose another with --port or PORT.`,
    EACCES: `Port ${port} may not be used by this user. Choose one above 1023 with --port or PORT.`,
    EADDRNOTAVAIL: `${host} is no address of this machine. Set HOST to one that is, or leave it out.`,
    ENOTFOUND: `The host name ${host} is not known. Set HOST to an address of this machine, or leave it out.`,
    EAI_AGAIN: `The host name ${host} cannot be looked up. Set HOST to an address of this machine, or leave it out.`,
  };
  const code = (cause as NodeJS.ErrnoException).code ?? "";
  return new FixityError("invalid-option", texts[code] ?? `Cannot listen on ${host}, port ${port}.`, { cause });
}
