import { constants } from "node:os";

/** Cleanups to run when a signal ends the benchmark. */
const cleanups = new Set<() => Promise<unknown> | void>();

/**
 * Registers a cleanup for the case that a signal ends the benchmark: `SIGTERM` reaches only this
 * process, and no `finally` or `using` runs then.
 *
 * @returns removes the registration
 */
export function undoneIfStopped(undo: () => Promise<unknown> | void): () => void {
  cleanups.add(undo);
  return () => void cleanups.delete(undo);
}

async function stop(signal: "SIGINT" | "SIGTERM"): Promise<never> {
  // The running measurement fails when its server ends; that need not be reported.
  process.on("uncaughtException", () => undefined);
  // In reverse order, like nested scopes: servers before the bucket that they store in.
  for (const undo of [...cleanups].toReversed()) {
    try {
      await undo();
    } catch (error) {
      console.error(error);
    }
  }
  process.exit(128 + constants.signals[signal]);
}

for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void stop(signal));
