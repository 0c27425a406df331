import { spawnSync } from "node:child_process";
import { truncate } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { type DurabilityLevel, diskStore } from "../../src/disk.ts";
import { type ContractPlace, storeContract } from "../../src/store-contract.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

const DYING_WRITER = fileURLToPath(new URL("../helpers/dying-writer.ts", import.meta.url));

async function makePlace(durability: DurabilityLevel): Promise<ContractPlace> {
  const folder = await StoreFolder.make();
  const open = () => diskStore({ root: folder.path, durability, log: () => null });
  return {
    store: open(),
    folder: folder.path,
    another: async () => open(),
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

storeContract("disk", () => makePlace("full"));
storeContract("disk without durability", () => makePlace("none"));
