import { constants } from "node:os";

/** What is to be undone where a signal ends the benchmark. */
const undoing = new Set<() => Promise<unknown> | void>();

/**
 * Has something undone if the benchmark is ended by a signal: `SIGTERM` reaches this process alone, and no scope that it
 * ends is left in an orderly way.
 *
 * @returns what to call when it has been undone otherwise
 */
export function undoneIfStopped(undo: () => Promise<unknown> | void): () => void {
  undoing.add(undo);
  return () => void undoing.delete(undo);
}

async function stop(signal: "SIGINT" | "SIGTERM"): Promise<never> {
  // what is being measured fails when its server goes, and that is no news
  process.on("uncaughtException", () => undefined);
  // the last first, as scopes do it: servers before the bucket that they store in
  for (const undo of [...undoing].toReversed()) {
    try {
      await undo();
    } catch (error) {
      console.error(error);
    }
  }
  process.exit(128 + constants.signals[signal]);
}

for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void stop(signal));
