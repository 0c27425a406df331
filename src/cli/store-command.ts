import { stat } from "node:fs/promises";
import { pino } from "pino";
import { FixityError } from "../core/errors.ts";
import type { BlobStore } from "../core/store.ts";
import type { Config } from "../settings/config.ts";
import { printable } from "../server/pretty.ts";
import { makeStore } from "../settings/configured-store.ts";
import { Layout } from "../stores/disk/layout.ts";
import { Interruption } from "./interruption.ts";
import { type CommandSources, readStoreConfig } from "./store-settings.ts";

/** What a command over a store works with. */
export interface StoreWork {
  readonly store: BlobStore;
  readonly config: Config;
  /** Aborted by the first signal to the process. */
  readonly signal: AbortSignal;
  /** Failures that the store has told of, and that failed no call. */
  readonly failures: () => number;
}

/**
 * Opens the configured store, works with it and puts it away. A signal asks the work to stop, a second one ends it.
 *
 * @returns the exit code: that of the work, or of the signal
 */
export async function withStore(sources: CommandSources, work: (parts: StoreWork) => Promise<number>): Promise<number> {
  const config = readStoreConfig(sources);
  let failures = 0;
  const log = pino({ level: "warn" }, { write: (line: string) => void (failures += warn(line)) });
  using interruption = new Interruption();
  await using store = await makeStore(config, log);
  try {
    const code = await work({ store, config, signal: interruption.signal, failures: () => failures });
    return interruption.exitCode ?? code;
  } catch (error) {
    if (interruption.exitCode === null) throw error;
    return interruption.exitCode;
  }
}

/**
 * Makes sure that there is a store to look at: nothing is made, and a mistyped folder is not taken for an empty store.
 *
 * @throws FixityError `store-misconfigured` or `store-unavailable`
 */
export async function assertThere({ store, config, signal }: StoreWork): Promise<void> {
  if (store.kind !== "disk") return store.check(signal);
  try {
    await stat(new Layout(config.dir).blobs);
  } catch (cause) {
    const message = `There is no store in ${JSON.stringify(config.dir)}: set UPLOAD_DIR or --dir to the server's folder.`;
    throw new FixityError("store-misconfigured", message, { cause });
  }
}

/** Tells what the store would have logged. @returns how many failures that were */
function warn(line: string): number {
  const { msg = "", err } = JSON.parse(line) as { readonly msg?: string; readonly err?: { readonly message?: string } };
  const reason = err?.message === undefined ? "" : `: ${err.message}`;
  process.stderr.write(`fixity: ${printable(msg + reason)}\n`);
  return err === undefined ? 0 : 1;
}
