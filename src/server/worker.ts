import cluster from "node:cluster";
import { asFixityError } from "../core/errors.ts";
import type { Config, Environment } from "../settings/config.ts";
import { Channel, type Implementation } from "./channel.ts";
import { connectionLimit } from "./connections.ts";
import { Membership, type PrimaryMethods, PROTOCOL, type WorkerMethods } from "./membership.ts";
import { type ServerProcess, startProcess } from "./server.ts";

/** The variable with the number of a worker, which the primary sets. */
export const WORKER_VARIABLE = "FIXITY_WORKER";

/** Signals that reach all processes of a terminal or a control group: the primary acts on them. */
const SIGNALS_OF_PRIMARY = ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2"] as const;

/** What each part of the S3 store's memory needs: two buffers and as much again. */
const PARTS_MIN_COUNT = 4;
const MEMORY_DEFAULT_BYTES = 96 * 1024 ** 2;

/** Whether this process is a worker of a primary of fixity. */
export function isWorker(env: Environment): boolean {
  return cluster.isWorker && env[WORKER_VARIABLE] !== undefined;
}

/**
 * Runs this process as a worker, from its primary's first message to its last. The process exits
 * with 0, or with 1 if not everything could be saved.
 *
 * @param read reads the configuration; again when tokens and keys may have changed
 */
export async function runWorker(read: () => Config, env: Environment): Promise<void> {
  for (const signal of SIGNALS_OF_PRIMARY) process.on(signal, () => undefined);
  const number = Number(env[WORKER_VARIABLE]);
  let server: ServerProcess | null = null;
  let ended: Promise<void> | null = null;
  const end = (): Promise<void> => (ended ??= server === null ? process.exit(0) : exitAfter(server));
  const own: Omit<Implementation<WorkerMethods>, keyof Membership["methods"]> = {
    reload: () => server?.reloadSecrets(read),
    retire: async () => {
      await server?.retire();
      await end();
    },
    drain: () => server?.drain(),
    metrics: async () => (await server?.metrics()) ?? [],
    stop: end,
  };
  const methods: Record<string, (argument: never) => unknown> = { ...own };
  const channel = new Channel<PrimaryMethods>(process, methods);
  // Node could not send to a primary that has ended, which `disconnect` reports.
  cluster.worker?.on("error", () => undefined);
  cluster.worker?.once("disconnect", () => {
    // Node ends a worker at once that has lost its primary, unless this is set.
    Object.assign(cluster.worker ?? {}, { exitedAfterDisconnect: true });
    server?.log.warn("the primary process has ended: this worker stops");
    void end();
  });
  try {
    const config = read();
    const membership = new Membership(channel, number, connectionLimit() * config.workers);
    Object.assign(methods, membership.methods);
    const port = await channel.ask("join", PROTOCOL);
    server = await startProcess({ ...dividedConfig(config), port }, membership);
    const { url, storeDescription } = server;
    channel.tell("ready", { url, storeDescription });
  } catch (error) {
    const { code, message } = asFixityError(error);
    await channel.ask("failed", { code, message }).catch(() => null);
    process.exit(1);
  }
}

async function exitAfter({ log, close }: ServerProcess): Promise<void> {
  let exitCode = 0;
  try {
    await close();
  } catch (error) {
    log.error({ err: error }, "not everything could be saved");
    exitCode = 1;
  }
  log.flush(() => process.exit(exitCode));
}

/** The part of the budgets of memory that one of several workers has. */
function dividedConfig(config: Config): Config {
  const { workers, cache, memory = MEMORY_DEFAULT_BYTES, bucketPartSize } = config;
  return {
    ...config,
    cache: Math.floor(cache / workers),
    memory: Math.max(Math.floor(memory / workers), PARTS_MIN_COUNT * bucketPartSize),
  };
}
