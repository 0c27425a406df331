import { type RunningServer, startServer } from "../server.ts";
import { type Config, type ConfigSources, readConfig } from "../settings/config.ts";
import { SIGNAL_EXITS } from "./exit-codes.ts";

/** `fixity serve`: runs the server until a signal comes, then lets running uploads finish; a second signal ends at once. */
export async function serveUntilStopped(sources: ConfigSources): Promise<void> {
  const config = readConfig(sources);
  const server = await startServer(config);
  let asked = false;
  for (const [signal, exitCode] of Object.entries(SIGNAL_EXITS)) {
    process.on(signal, () => {
      if (asked) process.exit(exitCode);
      asked = true;
      void stop(server, config.shutdownTimeout);
    });
  }
  // who read the greeting may go away, as in `fixity serve 2>&1 | head`
  process.stderr.on("error", () => undefined);
  // not to standard output, where programs read the log
  process.stderr.write(greeting(server, config));
}

async function stop(server: RunningServer, timeout: number): Promise<void> {
  const { log } = server;
  log.info(`stopping; running uploads have ${timeout / 1000} s to finish`);
  let exitCode = 0;
  try {
    await server.close();
  } catch (error) {
    log.error({ err: error }, "not everything could be put away");
    exitCode = 1;
  }
  log.flush(() => process.exit(exitCode));
}

function greeting({ url, storeDescription }: RunningServer, { prefix, tokens, open }: Config): string {
  const token = tokens.length > 0 ? ` -H "Authorization: Bearer $TOKEN"` : "";
  return (
    `fixity listens on ${url} and stores in ${storeDescription}\n` +
    (open ? "Anybody who reaches it may upload, since UPLOAD_OPEN=yes\n" : "") +
    `Try it: open ${url} in a browser, or  curl${token} -F upload=@FILE ${url}${prefix}\n`
  );
}
