/**
 * A server of several processes: `UPLOAD_WORKERS`. docs/decisions/0018 has the reasons.
 *
 *     primary.ts       this file: starts, replaces, restarts and stops the workers; the listening socket
 *     worker.ts        a worker: a whole server (`server.ts`) with its part of the budgets
 *     channel.ts       calls between the two
 *     membership.ts    what workers and primary call, and the worker's side of what they share
 *     shared-state.ts  the primary's side of that: limits of principals, shares of clients, unfinished
 *                      uploads, what was verified
 *
 * The primary forks workers, which run the command line again (`node:cluster`). It accepts the
 * connections and passes each to a worker that is free; it reads no request, and has no store. The
 * first worker starts alone: what is wrong with the settings or the store is reported once.
 *
 *     join ──> ready ──> lead (one of them) ──> retire (replaced) or stop ──> exit
 *
 * | what ends | what happens |
 * | --- | --- |
 * | a worker, unexpectedly | its requests fail; its places are free again; another one starts at once, later if they keep ending; what it left in the store is found by its process id |
 * | every new worker, soon after its start | the server gives up and exits with 2, unless other workers are well |
 * | the primary | no process accepts connections; the workers finish their requests, and exit |
 *
 * SIGUSR2 restarts the workers one after another: each new one listens before the old one retires, so
 * no connection is refused. It runs the files that are installed then; the primary itself stays.
 */
import cluster, { type Worker } from "node:cluster";
import { once } from "node:events";
import { FixityError } from "../core/errors.ts";
import { eventWarnings } from "../settings/configured-events.ts";
import type { Config } from "../settings/config.ts";
import { Channel, type Implementation } from "./channel.ts";
import { accessWarnings } from "./local-mode.ts";
import { createLog } from "./log.ts";
import type { MetricJson } from "./metrics/metrics-text.ts";
import { PROTOCOL, type PrimaryMethods, type WorkerMethods } from "./membership.ts";
import { type RunningServer, secretsReadAgain, type ServerLog } from "./server.ts";
import { SharedState, WorkerUse } from "./shared-state.ts";
import { WORKER_VARIABLE } from "./worker.ts";

/** A worker that has listened for so long is well: what ends it later is not its start. */
const WELL_AFTER_MS = 10_000;

/** Workers that may end before that, one after another, until the server gives up. */
const EARLY_ENDS_MAX = 5;

/** The pause before a worker is replaced that has ended early: doubled each time, up to the maximum. */
const [BACKOFF_MIN_MS, BACKOFF_MAX_MS] = [100, 10_000];

/** How much longer than their requests workers may take to stop before they are killed. */
const STOP_GRACE_MS = 20_000;

/** What a worker states when it listens. */
type Ready = Parameters<PrimaryMethods["ready"]>[0];

/** One worker process. */
interface WorkerProcess {
  readonly number: number;
  readonly process: Worker;
  readonly channel: Channel<WorkerMethods>;
  readonly use: WorkerUse;
  /** Rejects if the worker cannot start. */
  readonly started: Promise<Ready>;
  /** It listens, since this time by `performance.now()`. */
  readySince: number | null;
  /** Its metrics when they were scraped last. */
  counted: MetricJson[];
  /** It is retiring or stopping. */
  isLeaving: boolean;
}

/** A server of several processes, as the primary process has it. */
export interface RunningWorkers extends RunningServer {
  /** Replaces all workers, one after another, without refusing a connection. Logs how it went. */
  readonly restart: () => Promise<void>;
  /** Resolves if the workers keep ending: the server has stopped then. */
  readonly failure: Promise<FixityError>;
}

/**
 * Starts the server in `config.workers` worker processes, which run this program again and must call
 * `runWorker` then. This process becomes their primary.
 *
 * @throws FixityError what the first worker throws; `internal-error` if the workers keep ending
 */
export async function startWorkers(config: Config): Promise<RunningWorkers> {
  const log = createLog(config);
  for (const warning of [...accessWarnings(config), ...eventWarnings(config)]) log.warn(warning);
  const primary = new Primary(config, log);
  const { url, storeDescription } = await primary.start();
  return {
    url,
    storeDescription,
    log,
    reloadSecrets: (read) => {
      if (secretsReadAgain(read, log) !== null) primary.reload();
    },
    restart: () => primary.restart(),
    drain: () => primary.drain(),
    close: () => primary.stop(),
    failure: primary.failure,
  };
}

/** The workers of a server, and what becomes of each. */
class Primary {
  readonly #config: Config;
  readonly #log: ServerLog;
  readonly #shared: SharedState;
  readonly #workers = new Set<WorkerProcess>();
  readonly #failure = Promise.withResolvers<FixityError>();
  /** The port that workers ask for. */
  #port: number;
  /** The port that they got; `null` until one listens. */
  #listenedPort: number | null = null;
  #leader: WorkerProcess | null = null;
  /** Workers that ended early, since one was well. */
  #earlyEnds = 0;
  #metrics: (AsyncDisposable & { readonly url: string }) | null = null;
  /** What workers that have ended had counted when they were scraped last. */
  #countedBefore: MetricJson[] = [];
  #onCounted: (counted: MetricJson[]) => Promise<void> = async () => undefined;
  #isRestarting = false;
  #isDraining = false;
  #isStopping = false;
  readonly #kill = (): void => {
    for (const worker of this.#workers) worker.process.process.kill("SIGKILL");
  };

  constructor(config: Config, log: ServerLog) {
    this.#config = config;
    this.#log = log;
    this.#port = config.port;
    this.#shared = new SharedState(config.maxOpen);
  }

  get failure(): Promise<FixityError> {
    return this.#failure.promise;
  }

  /** Starts all workers: the first one alone, because it may find that nothing can start. */
  async start(): Promise<Ready> {
    await this.#serveMetrics();
    const first = await this.#fork(1).started;
    const others = Array.from({ length: this.#config.workers - 1 }, (_, index) => this.#fork(index + 2));
    for (const { started } of others) {
      // One that ends is replaced like any other.
      const failure = await Promise.race([started.then(() => null).catch(() => null), this.failure]);
      if (failure !== null) throw failure;
    }
    return first;
  }

  /**
   * Serves the metrics of all workers together. Counts of workers that have ended stay, as of the last
   * scrape: counters that go down would look like a restart of the server.
   */
  async #serveMetrics(): Promise<void> {
    const { metricsHost: host, metricsPort: port } = this.#config;
    if (port === undefined) return;
    const { listenForMetrics } = await import("./metrics/metrics-listener.ts");
    const { aggregateMetrics, countsIn } = await import("./metrics/metrics-text.ts");
    this.#onCounted = async (counted) => {
      this.#countedBefore = await aggregateMetrics([this.#countedBefore, countsIn(counted)]);
    };
    this.#metrics = await listenForMetrics({ host, port }, async () => {
      const asked = Array.from(this.#workers, async (worker) => {
        worker.counted = await worker.channel.ask("metrics", null).catch(() => worker.counted);
        return this.#workers.has(worker) ? worker.counted : [];
      });
      const current = await Promise.all(asked);
      const all = await aggregateMetrics([...current, this.#countedBefore]);
      const open = all.find(({ name }) => name === "fixity_uploads_open")?.values[0];
      if (open !== undefined) open.value = this.#shared.openUploads;
      return all;
    });
    this.#log.info({ url: this.#metrics.url }, "metrics are served");
  }

  /** Makes all workers read tokens and keys again. */
  reload(): void {
    for (const { channel } of this.#workers) channel.tell("reload", null);
  }

  async restart(): Promise<void> {
    if (this.#isRestarting || this.#isStopping) return;
    this.#isRestarting = true;
    this.#log.info("restarting: each worker is replaced by a new one");
    try {
      for (const old of Array.from(this.#workers).filter(({ isLeaving }) => !isLeaving)) {
        await this.#fork(old.number).started;
        this.#retire(old);
      }
      this.#log.info("restarted: all workers are new");
    } catch (error) {
      const reason = error instanceof FixityError ? error.message : "";
      this.#log.error({ err: error }, `the restart was stopped, and the workers that are left go on: ${reason}`);
    } finally {
      this.#isRestarting = false;
    }
  }

  /** All workers answer that they are not ready, also those that start from now on. */
  drain(): void {
    this.#isDraining = true;
    this.#killAtExit();
    for (const { channel } of this.#workers) channel.tell("drain", null);
  }

  /**
   * Stops all workers, as a server of one process stops.
   *
   * @throws FixityError `store-unavailable` if one of them could not save everything
   */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#killAtExit();
    const timer = setTimeout(this.#kill, this.#config.shutdownTimeout + STOP_GRACE_MS);
    const exits = Array.from(this.#workers, async (worker) => {
      worker.isLeaving = true;
      worker.channel.tell("stop", null);
      const [code] = (await once(worker.process, "exit")) as [number | null];
      // One that could not start may just be ending: it had nothing to save.
      return code === 0 || worker.readySince === null;
    });
    const saved = await Promise.all(exits);
    clearTimeout(timer);
    await this.#metrics?.[Symbol.asyncDispose]();
    if (saved.every(Boolean)) return;
    throw new FixityError("store-unavailable", "A worker could not save everything: its log lines have the reason.");
  }

  /** A second signal ends this process, and then nothing may be left of the server. */
  #killAtExit(): void {
    process.off("exit", this.#kill).on("exit", this.#kill);
  }

  #fork(number: number): WorkerProcess {
    const forked = cluster.fork({ [WORKER_VARIABLE]: String(number) });
    closeUndelivered(forked);
    const use = new WorkerUse();
    const started = Promise.withResolvers<Ready>();
    // Not every caller waits for it.
    started.promise.catch(() => null);
    const channel: Channel<WorkerMethods> = new Channel<WorkerMethods>(forked, {
      ...this.#shared.methodsFor(use),
      join: (protocol) => {
        if (protocol !== PROTOCOL) throw otherProtocol();
        this.#shared.join(use, channel);
        return this.#port;
      },
      ready: (facts) => {
        worker.readySince = performance.now();
        this.#listenedPort = Number(new URL(facts.url).port) || this.#config.port;
        if (this.#isDraining) channel.tell("drain", null);
        started.resolve(facts);
        setTimeout(() => this.#noteWell(worker), WELL_AFTER_MS).unref();
        this.#appointLeader();
      },
      failed: ({ code, message }) => {
        if (this.#listenedPort !== null) this.#log.error(`worker ${number} cannot start: ${message}`);
        started.reject(new FixityError(code, message));
      },
    } satisfies Implementation<PrimaryMethods>);
    const worker: WorkerProcess = {
      number,
      process: forked,
      channel,
      use,
      started: started.promise,
      readySince: null,
      counted: [],
      isLeaving: false,
    };
    this.#workers.add(worker);
    forked.once("exit", (code: number | null, signal: string | null) => {
      const how = signal ?? `exit code ${code}`;
      started.reject(new FixityError("internal-error", `Worker ${number} ended before it listened (${how}).`));
      this.#onExit(worker, how);
    });
    return worker;
  }

  /** Lets a worker end that another one has replaced. */
  #retire(worker: WorkerProcess): void {
    this.#leave(worker);
    worker.channel.tell("retire", null);
    const timer = setTimeout(
      () => worker.process.process.kill("SIGKILL"),
      this.#config.shutdownTimeout + STOP_GRACE_MS,
    );
    worker.process.once("exit", () => clearTimeout(timer));
  }

  #leave(worker: WorkerProcess): void {
    worker.isLeaving = true;
    if (this.#leader === worker) this.#leader = null;
    this.#appointLeader();
  }

  /** One worker does what one process of a server does. */
  #appointLeader(): void {
    if (this.#leader !== null || this.#isStopping) return;
    this.#leader = this.#listening[0] ?? null;
    this.#leader?.channel.tell("lead", null);
  }

  get #listening(): WorkerProcess[] {
    return Array.from(this.#workers).filter(({ readySince, isLeaving }) => readySince !== null && !isLeaving);
  }

  #onExit(worker: WorkerProcess, how: string): void {
    const { number, readySince, isLeaving, use } = worker;
    this.#workers.delete(worker);
    void this.#onCounted(worker.counted);
    this.#shared.remove(use);
    this.#leave(worker);
    // Node closes the listening socket with the last worker: the next one listens on the same port.
    if (this.#listening.length === 0) this.#port = this.#listenedPort ?? this.#port;
    if (isLeaving || this.#isStopping || this.#listenedPort === null) return;
    // It was to replace one that goes on.
    if (this.#hasWorker(number)) return this.#log.error(`worker ${number} ended unexpectedly (${how})`);
    if (readySince === null || performance.now() - readySince < WELL_AFTER_MS) this.#earlyEnds += 1;
    if (this.#earlyEnds >= EARLY_ENDS_MAX && !this.#listening.some(isWell)) return void this.#giveUp();
    const delayMs = this.#earlyEnds < 2 ? 0 : Math.min(BACKOFF_MIN_MS * 2 ** (this.#earlyEnds - 2), BACKOFF_MAX_MS);
    this.#log.error(`worker ${number} ended unexpectedly (${how}): another one starts`);
    setTimeout(() => {
      if (!this.#isStopping && !this.#hasWorker(number)) this.#fork(number);
    }, delayMs);
  }

  #hasWorker(number: number): boolean {
    return Array.from(this.#workers).some((other) => other.number === number && !other.isLeaving);
  }

  #noteWell(worker: WorkerProcess): void {
    if (this.#workers.has(worker)) this.#earlyEnds = 0;
  }

  async #giveUp(): Promise<void> {
    const text = `${EARLY_ENDS_MAX} workers ended soon after their start: the server stops. Their log lines have the reason.`;
    this.#log.error(text);
    await this.stop().catch(() => null);
    this.#failure.resolve(new FixityError("internal-error", text));
  }
}

/** A message of `node:cluster` that passes a connection on, or its receipt. */
interface ClusterMessage {
  readonly act?: string;
  readonly seq?: number;
  readonly ack?: number;
}

/**
 * Closes the connections that were passed to a worker which ended before it had them. Node would
 * keep them open, without a process that reads them, until the primary ends: their clients would
 * wait for ever. The messages are internals of Node; without them, nothing is closed here.
 */
function closeUndelivered({ process: child }: Worker): void {
  const sent = new Map<number, { close(): void }>();
  const send = child.send.bind(child) as (...args: unknown[]) => boolean;
  const watched = (message: ClusterMessage, handle?: { close(): void }, ...others: unknown[]): boolean => {
    if (message.act === "newconn" && message.seq !== undefined && handle !== undefined) sent.set(message.seq, handle);
    return send(message, handle, ...others);
  };
  Object.assign(child, { send: watched });
  child.on("internalMessage", ({ ack }: ClusterMessage) => {
    if (ack !== undefined) sent.delete(ack);
  });
  child.once("exit", () => {
    for (const handle of sent.values()) handle.close();
  });
}

function isWell({ readySince }: WorkerProcess): boolean {
  return readySince !== null && performance.now() - readySince >= WELL_AFTER_MS;
}

function otherProtocol(): FixityError {
  return new FixityError(
    "invalid-option",
    "This version of fixity cannot work under the running primary process: stop the server and start it again.",
  );
}
