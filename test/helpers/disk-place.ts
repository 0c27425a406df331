import { spawnSync } from "node:child_process";
import { truncate } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { BlobStore } from "../../src/index.ts";
import type { ContractPlace } from "../../src/store-contract.ts";
import { StoreFolder } from "./store-folder.ts";

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
      spawnSync(process.execPath, [DYING_WRITER, folder.path], { stdio: "inherit" });
    },
    leftovers: async () => {
      const left = [await folder.staged(), await folder.uploadLeftovers(), await folder.documentLeftovers()];
      return left.flat().length;
    },
    cleanup: async () => folder[Symbol.asyncDispose](),
  };
}
