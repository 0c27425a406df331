import { isWorker, type RunningServer, runWorker, startServer, startWorkers } from "../server.ts";
import { type Config, type ConfigSources, needsCredentials, readConfig } from "../settings/config.ts";
import { delay } from "../base/abort-race.ts";
import { EXIT, SIGNAL_EXITS } from "./exit-codes.ts";

/**
 * `fixity serve`: runs the server until a signal arrives, then lets running uploads finish. A second
 * signal exits at once. After SIGTERM, which service managers send, requests are accepted for the
 * drain delay. If tokens or keys are in files, SIGHUP reads those again. SIGUSR2 restarts the workers
 * of a server that has several.
 */
export async function serveUntilStopped(sources: ConfigSources): Promise<void> {
  const { env = {} } = sources;
  if (isWorker(env)) return await runWorker(() => readConfig(sources), env);
  const config = readConfig(sources);
  const workers = config.workers === 1 ? null : await startWorkers(config);
  const server = workers ?? (await startServer(config));
  let isStopping = false;
  for (const [signal, exitCode] of Object.entries(SIGNAL_EXITS)) {
    process.on(signal, () => {
      if (isStopping) process.exit(exitCode);
      isStopping = true;
      void stop(server, { ...config, drainDelay: signal === "SIGTERM" ? config.drainDelay : 0 });
    });
  }
  if (config.areInFiles) process.on("SIGHUP", () => server.reloadSecrets(() => readConfig(sources)));
  process.on("SIGUSR2", () => {
    if (workers !== null) void workers.restart();
    else server.log.warn("SIGUSR2 restarts workers one after another, and this server has none (UPLOAD_WORKERS)");
  });
  void workers?.failure.then(() => server.log.flush(() => process.exit(EXIT.failed)));
  // The reader of the greeting may be gone, as in `fixity serve 2>&1 | head`.
  process.stderr.on("error", () => undefined);
  // Standard output contains only the log, for programs.
  process.stderr.write(greeting(server, config));
}

async function stop(
  { log, drain, close }: RunningServer,
  { drainDelay, shutdownTimeout }: Pick<Config, "drainDelay" | "shutdownTimeout">,
): Promise<void> {
  if (drainDelay > 0) {
    log.info(`draining: requests are accepted for another ${drainDelay / 1000} s`);
    drain();
    await delay(drainDelay);
  }
  log.info(`stopping: running uploads have ${shutdownTimeout / 1000} s to finish`);
  let exitCode: number = EXIT.ok;
  try {
    await close();
  } catch (error) {
    log.error({ err: error }, "not everything could be saved");
    exitCode = EXIT.notOk;
  }
  log.flush(() => process.exit(exitCode));
}

function greeting({ url, storeDescription }: RunningServer, config: Config): string {
  const { bucketName, dir, open, prefix } = config;
  const place = bucketName === undefined ? dir : storeDescription;
  const token = needsCredentials(config) ? ` -H "Authorization: Bearer $TOKEN"` : "";
  return (
    `Listening on ${url}, storing files in ${place}\n` +
    (open ? "UPLOAD_OPEN=yes: anybody who reaches this server can upload.\n" : "") +
    `Try it: open ${url} in a browser, or  curl${token} -F upload=@FILE ${url}${prefix}\n`
  );
}
