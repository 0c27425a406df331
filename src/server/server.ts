import type { AddressInfo } from "node:net";
import type { FastifyInstance } from "fastify";
import { AccessKeys } from "../access/access-keys.ts";
import type { Digest } from "../core/digest.ts";
import { FixityError } from "../core/errors.ts";
import { Fixity, type SharedMemory } from "../core/fixity.ts";
import type { PurgeReason } from "../core/purges.ts";
import type { BlobStore } from "../core/store.ts";
import type { Config } from "../settings/config.ts";
import type { Secrets } from "../settings/secrets.ts";
import { checkDelegation, openServerStore } from "../settings/configured-store.ts";
import { eventOptions, eventWarnings } from "../settings/configured-events.ts";
import { explainStoreFailure, userName } from "../settings/store-failure.ts";
import { collectPeriodically } from "./collections.ts";
import { Retirement } from "./connections.ts";
import { accessWarnings } from "./local-mode.ts";
import { createLog } from "./log.ts";
import type { Measurement } from "./metrics/metrics-listener.ts";
import type { MetricJson } from "./metrics/metrics-text.ts";
import type { Membership } from "./membership.ts";

/*
 * The standalone server. `startServer` opens the configured store, builds the app, listens, and
 * collects garbage once an hour.
 *
 *     app.ts            all routes: the uploads, the page, /healthz, /readyz; problems for the rest
 *     http-server.ts    the socket side: limits of Node's HTTP server, malformed requests, and
 *                       uploads, which bypass the framework
 *     connections.ts    the limits on open connections, in total and per client
 *     local-mode.ts     the check of Host on a server that protects uploads by nothing else
 *     page.ts           the upload page at `/` and its files
 *     health.ts         the check of the store for /readyz
 *     api-description.ts  /openapi.json; described-paths.ts adds the server's own paths to it
 *     log.ts            the log: one line per request; pretty-line.ts formats it for terminals
 *     primary.ts        several processes of this server; its overview lists the files for that
 *     metrics/          what the server measures, on a port of its own
 *     collections.ts    garbage collection, about once an hour among all servers on one store
 */

/**
 * The time between two garbage collections; shorter if uploads expire sooner.
 */
const COLLECTION_PERIOD_MS = 3_600_000;

/**
 * How long clients whose uploads were interrupted have to read the answer before their connections
 * are cut.
 */
const ANSWER_GRACE_MS = 5_000;

/** How often idle connections are closed while the server stops. */
const IDLE_CHECK_MS = 50;

/** Writes a line to the log: a message, or fields and a message. */
export interface WriteLogLine {
  (message: string): void;
  (fields: object, message: string): void;
}

/** The log of a server, which is on standard output. */
export interface ServerLog {
  /** What happens as intended. */
  readonly info: WriteLogLine;
  /** What an operator should look at. */
  readonly warn: WriteLogLine;
  /** What has failed. */
  readonly error: WriteLogLine;
  /** Calls `done` when all lines are written, or after half a second. */
  flush(done: () => void): void;
}

/** A server that listens. */
export interface RunningServer {
  /** For a browser on this machine, such as `http://127.0.0.1:3000`. */
  readonly url: string;
  /** The log that the server writes. */
  readonly log: ServerLog;
  /** The kind of store, and its folder or bucket. */
  readonly storeDescription: string;
  /**
   * Uses tokens and keys that were read again, from the next request on, in all processes.
   * Everything else stays as it was, and all of it if `read` throws, which is logged.
   */
  readonly reloadSecrets: (read: () => Secrets) => void;
  /**
   * Makes `/readyz` answer 503, so that load balancers send no more requests. Those that arrive all
   * the same are served.
   */
  readonly drain: () => void;
  /**
   * Refuses new work, saves what resumable uploads have received, lets other uploads and downloads
   * finish for at most `shutdownTimeout`, and frees everything.
   *
   * @throws FixityError `store-unavailable` if not everything could be saved; everything is freed
   *   all the same
   */
  readonly close: () => Promise<void>;
}

/**
 * Starts the standalone server.
 *
 * @throws FixityError `invalid-option`, `store-misconfigured` or `store-unavailable`, with a
 *   message for the operator
 */
export function startServer(config: Config): Promise<RunningServer> {
  return startProcess(config);
}

/** The server in one process: the whole server, or one of its workers. */
export interface ServerProcess extends RunningServer {
  /**
   * Accepts no more connections, and closes those that are open after their next request, without
   * failing one. Resolves when all are closed, or after a few seconds; `close` ends the rest.
   */
  readonly retire: () => Promise<void>;
  /** The metrics of this process; none unless a port for them is set. */
  readonly metrics: () => Promise<MetricJson[]>;
}

/**
 * Starts this process of a server.
 *
 * @param membership of a worker. @default this process is the whole server
 * @throws as {@link startServer}
 */
export async function startProcess(config: Config, membership: Membership | null = null): Promise<ServerProcess> {
  const explain = (error: unknown): never => {
    throw explainStoreFailure(error, config);
  };
  await checkDelegation(config).catch(explain);
  const log = createLog(config, membership?.number);
  // The primary warns for its workers.
  if (membership === null) {
    for (const warning of [...accessWarnings(config), ...eventWarnings(config)]) log.warn(warning);
  }
  const store = await openServerStore(config, (message, error) => log.warn({ err: error }, message));
  const draining = new AbortController();
  const stopping = new AbortController();
  let metrics: Measurement | null = null;
  try {
    // Loading the app keeps the processor busy while the check waits for the disk.
    const [{ buildApp }] = await Promise.all([import("./app.ts"), store.check().catch(explain)]);
    const fixity = serviceOf(store, { config, log, shared: membership?.memory });
    let { tokens } = config;
    const signals = { draining: draining.signal, stopping: stopping.signal };
    const app = await buildApp(fixity, config, { log, tokens: () => tokens, ...signals, membership });
    metrics = await openMetrics(fixity, config, membership === null ? log : null);
    await app.listen({ host: config.host, port: config.port }).catch((error: unknown) => {
      throw listenError(error, config);
    });
    const periodMs = Math.min(COLLECTION_PERIOD_MS, config.expiry);
    // One of several workers collects.
    void Promise.resolve(membership?.leads).then(() =>
      collectPeriodically(fixity, { periodMs, signal: stopping.signal, log }),
    );
    const retirement = new Retirement(app.server);
    return {
      url: urlOf(app.server.address() as AddressInfo),
      log,
      storeDescription: store.description,
      reloadSecrets: (read) => {
        const secrets = secretsReadAgain(read, log);
        if (secrets === null) return;
        ({ tokens } = secrets);
        if (secrets.permitKeys !== null) fixity.permits?.replaceKeys(secrets.permitKeys);
        if (secrets.linkKeys !== null) fixity.links?.replaceKeys(secrets.linkKeys);
        if (secrets.webhookSecret !== null) fixity.events?.replaceSecrets(secrets.webhookSecret);
      },
      drain: () => draining.abort(),
      retire: () => retirement.begin(),
      metrics: async () => (await metrics?.read()) ?? [],
      close: async () => {
        draining.abort();
        stopping.abort();
        try {
          await endRequests(app, fixity, { timeoutMs: config.shutdownTimeout, log, retired: retirement.ended });
        } finally {
          await store[Symbol.asyncDispose]();
          await metrics?.[Symbol.asyncDispose]();
        }
      },
    };
  } catch (error) {
    await metrics?.[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
    throw error;
  }
}

/** Measures the service, if a port for metrics is set. Otherwise their code is not even loaded. */
async function openMetrics(
  fixity: Fixity,
  { metricsHost: host, metricsPort: port }: Config,
  log: ServerLog | null,
): Promise<Measurement | null> {
  if (port === undefined) return null;
  const { Measurement } = await import("./metrics/metrics-listener.ts");
  const measurement = new Measurement(fixity);
  // The metrics of workers are served by their primary.
  if (log !== null) log.info({ url: await measurement.listen({ host, port }) }, "metrics are served");
  return measurement;
}

interface ServiceOptions {
  readonly config: Config;
  readonly log: ServerLog;
  readonly shared: SharedMemory | undefined;
}

function serviceOf(store: BlobStore, { config, log, shared }: ServiceOptions): Fixity {
  const { permitKeys, linkKeys, reads, types, revealExisting } = config;
  const { maxSize, prefix, publicUrl, expiry, maxOpen, maxAppendSize, minAppendSize, verifyReads } = config;
  const options = {
    store,
    maxSize,
    prefix,
    verifyReads,
    reads,
    revealExisting,
    log: (message: string, cause?: unknown) => log.warn(cause === undefined ? {} : { err: cause }, message),
    ...(publicUrl !== undefined && { publicUrl }),
    ...(types !== undefined && { types: types.toJSON() }),
    ...(permitKeys !== null && { permitKeys }),
    ...(linkKeys !== null && { linkKeys }),
    ...eventOptions(config),
    uploads: { expiry, maxOpen, minAppendSize, ...(maxAppendSize !== undefined && { maxAppendSize }) },
    // A program that reads the log can purge the cache in front.
    ...(config.cacheTags && {
      onPurge: ({ hex }: Digest, reason: PurgeReason) => log.info({ tag: hex, reason }, "caches must drop a file"),
    }),
  };
  return new Fixity(options, shared);
}

/** Secrets that were read again, and logs what they are; `null` if they cannot be used. */
export function secretsReadAgain(read: () => Secrets, log: ServerLog): Secrets | null {
  try {
    const secrets = read();
    const { tokens, permitKeys, linkKeys } = secrets;
    for (const warning of tokens?.warnings ?? []) log.warn(warning);
    const loaded = {
      ...(tokens !== null && { tokens: tokens.names }),
      ...(permitKeys !== null && { permitKeys: AccessKeys.parse(permitKeys, "permit").ids }),
      ...(linkKeys !== null && { linkKeys: AccessKeys.parse(linkKeys, "link").ids }),
    };
    log.info(loaded, "tokens and keys were read again");
    return secrets;
  } catch (error) {
    const reason = error instanceof FixityError ? error.message : "";
    log.error({ err: error }, `tokens and keys were not changed: ${reason}`);
    return null;
  }
}

interface EndOptions {
  readonly timeoutMs: number;
  readonly log: ServerLog;
  /** Resolves when a server that has retired has no connections; at once if it has not. */
  readonly retired: Promise<void>;
}

/**
 * Ends all uploads, then all connections: idle ones at once, busy ones when they have been
 * answered. Connections that are still busy after `timeoutMs` are cut: those of downloads at once,
 * those of interrupted uploads a few seconds later, so that their clients can read the answer.
 * Resolves when nothing uses the store any more, whatever the state of the sockets.
 */
async function endRequests(
  app: FastifyInstance,
  fixity: Fixity,
  { timeoutMs, log, retired }: EndOptions,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  const idleTimer = setInterval(() => app.server.closeIdleConnections(), IDLE_CHECK_MS);
  const uploads = fixity.close({ timeout: timeoutMs });
  const connections = Promise.all([app.close(), retired]);
  await Promise.allSettled([uploads]);
  const leftMs = end - performance.now();
  const cutTimer = setTimeout(
    () => {
      log.warn("shutdown timeout reached: remaining connections are cut");
      app.server.closeAllConnections();
    },
    leftMs > 0 ? leftMs : ANSWER_GRACE_MS,
  );
  const ended = await Promise.allSettled([connections, uploads]);
  clearInterval(idleTimer);
  clearTimeout(cutTimer);
  for (const result of ended) if (result.status === "rejected") throw result.reason;
}

/**
 * The URL for a browser on this machine: a server that listens on all addresses is reached as
 * `localhost`.
 */
function urlOf({ address, family, port }: AddressInfo): string {
  const host = address === "0.0.0.0" || address === "::" ? "localhost" : address;
  return `http://${family === "IPv6" && host === address ? `[${host}]` : host}:${port}`;
}

function listenError(cause: unknown, { host, port }: Config): FixityError {
  const texts: Readonly<Record<string, string>> = {
    EADDRINUSE: `Port ${port} on ${host} is taken. Choose another with --port or PORT.`,
    EACCES: `User ${userName()} may not listen on port ${port} (EACCES). Choose one above 1023 with --port or PORT.`,
    EADDRNOTAVAIL: `${host} is not an address of this machine. Set HOST to one that is, or leave it out.`,
    ENOTFOUND: `Unknown host name ${host}. Set HOST to an address of this machine, or leave it out.`,
    EAI_AGAIN: `The host name ${host} cannot be looked up. Set HOST to an address of this machine, or leave it out.`,
  };
  const code = (cause as NodeJS.ErrnoException).code ?? "";
  const text =
    texts[code] ?? `Cannot listen on ${host}, port ${port} (${code}). Check --host (HOST) and --port (PORT).`;
  return new FixityError("invalid-option", text, { cause });
}
