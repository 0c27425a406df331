import { spawn } from "node:child_process";
import { once } from "node:events";
import { truncate } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { BlobStore } from "../../src/index.ts";
import type { ContractPlace, StoreContractOptions } from "../../src/store-contract.ts";
import { isFullRun } from "./full-run.ts";
import { StoreFolder } from "./store-folder.ts";

/**
 * How the contract runs on disks: rules wait for flushes and for leases, so several run at a time. A
 * blob of 1 MiB has several batches, and sixteen of them are more than a store gathers in memory.
 */
export const CONTRACT_OPTIONS: StoreContractOptions = isFullRun ? {} : { concurrency: 6, largest: 1024 ** 2 + 3 };

const DYING_WRITER = fileURLToPath(new URL("dying-writer.ts", import.meta.url));

/** A place for the store contract in a new folder. `open` makes a store over it, on a disk store. */
export async function diskPlace(open: (root: string) => BlobStore): Promise<ContractPlace> {
  const folder = await StoreFolder.make();
  return {
    store: open(folder.path),
    folder: folder.path,
    another: async () => open(folder.path),
    damage: async ({ hex }) => truncate(folder.blob(hex), 5),
    corrupt: async ({ hex }) => folder.corrupt(hex),
    abandon: async () => {
      await once(spawn(process.execPath, [DYING_WRITER, folder.path], { stdio: "inherit" }), "exit");
    },
    leftovers: async () => {
      const left = [await folder.staged(), await folder.uploadLeftovers(), await folder.documentLeftovers()];
      return left.flat().length;
    },
    cleanup: async () => folder[Symbol.asyncDispose](),
  };
}
