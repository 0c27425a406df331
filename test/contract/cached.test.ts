import { spawnSync } from "node:child_process";
import { truncate } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { type CacheOptions, cachedStore } from "../../src/cache.ts";
import { diskStore } from "../../src/disk.ts";
import { memoryStore } from "../../src/memory.ts";
import { type ContractPlace, storeContract } from "../../src/store-contract.ts";
import { StoreFolder } from "../helpers/store-folder.ts";

const DYING_WRITER = fileURLToPath(new URL("../helpers/dying-writer.ts", import.meta.url));

storeContract("memory with a cache", async () => {
  const store = cachedStore(memoryStore());
  return { store, another: async () => store };
});

storeContract("disk with a cache", () => diskPlace({}));

// Too small for most blobs of the rules, and asks the disk each time.
storeContract("disk with a small cache", () => diskPlace({ budget: 4096, maxAgeMs: 0 }));

async function diskPlace(options: CacheOptions): Promise<ContractPlace> {
  const folder = await StoreFolder.make();
  const open = () => cachedStore(diskStore({ root: folder.path, durability: "none", log: () => null }), options);
  return {
    store: open(),
    folder: folder.path,
    another: async () => open(),
    damage: async ({ hex }) => truncate(folder.blob(hex), 5),
    corrupt: async ({ hex }) => folder.corrupt(hex),
    abandon: async () => {
      spawnSync(process.execPath, [DYING_WRITER, folder.path], { stdio: "inherit" });
    },
    leftovers: async () => (await folder.staged()).length + (await folder.uploadLeftovers()).length,
    cleanup: async () => folder[Symbol.asyncDispose](),
  };
}
