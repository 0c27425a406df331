import { FixityError } from "../core/errors.ts";
import type { FixityOptions } from "../core/options.ts";
import type { BlobStore } from "../core/store.ts";
import { type Config, type Environment, readStoreConfig } from "../settings/config.ts";
import { eventOptions } from "../settings/configured-events.ts";
import { diskStoreExists, openStore } from "../settings/configured-store.ts";
import { explainStoreFailure } from "../settings/store-failure.ts";
import { Interruption } from "./interruption.ts";
import { printProblem } from "./output.ts";

/** The flags and environment of a command that works on a store. */
export interface StoreCommandSources {
  /** Texts by the name of the setting. */
  readonly flags: Readonly<Record<string, string | undefined>>;
  readonly env: Environment;
}

/** The store that a command works on. */
export interface OpenedStore {
  readonly store: BlobStore;
  readonly config: Config;
  /** Aborted by the first signal to the process. */
  readonly signal: AbortSignal;
  /** Prints what went wrong without ending the command. Counts as a failure if there is an error. */
  readonly warn: (message: string, error?: unknown) => void;
  /** The number of failures that the store has logged so far; they failed no call. */
  readonly failureCount: () => number;
}

/**
 * Opens the configured store, calls `work`, and closes the store. What the store logs goes to
 * standard error. The first signal aborts `signal`, the second one ends the process.
 *
 * @returns the exit code: that of `work`, or of the signal
 */
export async function withStore(
  sources: StoreCommandSources,
  work: (opened: OpenedStore) => Promise<number>,
): Promise<number> {
  const config = readStoreConfig(sources);
  let failures = 0;
  const onWarning = (message: string, error?: unknown): void => {
    if (error !== undefined) failures += 1;
    printProblem([message, ...messagesOf(error)].join(": "));
  };
  using interruption = new Interruption();
  await using store = await openStore(config, onWarning);
  try {
    const code = await work({
      store,
      config,
      signal: interruption.signal,
      warn: onWarning,
      failureCount: () => failures,
    });
    return interruption.exitCode ?? code;
  } catch (error) {
    if (interruption.exitCode === null) throw explainStoreFailure(error, config);
    return interruption.exitCode;
  }
}

/**
 * Options of a service that makes the same events as a server with this configuration. Servers over
 * the store deliver what the command cannot before it ends.
 */
export function serviceOptions({ store, config }: Pick<OpenedStore, "store" | "config">): FixityOptions {
  const { prefix, publicUrl } = config;
  return { store, prefix, ...(publicUrl !== undefined && { publicUrl }), ...eventOptions(config) };
}

/** The messages of an error and its causes. */
function messagesOf(error: unknown): string[] {
  return error instanceof Error ? [error.message, ...messagesOf(error.cause)] : [];
}

/**
 * Makes sure that the store exists: nothing is created, and a mistyped folder must not pass for an
 * empty store.
 *
 * @throws FixityError `invalid-option` if there is no store, or a `store-…` code
 */
export async function assertStoreExists({ store, config, signal }: OpenedStore): Promise<void> {
  if (store.kind !== "disk") return await store.check(signal);
  if (await diskStoreExists(config)) return;
  throw new FixityError(
    "invalid-option",
    `There is no store in ${JSON.stringify(config.dir)}: set UPLOAD_DIR or --dir to the server's folder.`,
  );
}
