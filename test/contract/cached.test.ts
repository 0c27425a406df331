import { type CacheOptions, cachedStore } from "../../src/cache.ts";
import { diskStore } from "../../src/disk.ts";
import { memoryStore } from "../../src/memory.ts";
import { type ContractPlace, storeContract } from "../../src/store-contract.ts";
import { CONTRACT_OPTIONS, diskPlace } from "../helpers/disk-place.ts";
import { isFullRun } from "../helpers/full-run.ts";

storeContract("memory with a cache", async () => {
  const store = cachedStore(memoryStore());
  return { store, another: async () => store };
});

storeContract("disk with a cache", () => cachedPlace({}), CONTRACT_OPTIONS);

// Too small for most blobs of the rules, and asks the disk each time.
if (isFullRun)
  storeContract("disk with a small cache", () => cachedPlace({ budget: 4096, maxAgeMs: 0 }), CONTRACT_OPTIONS);

function cachedPlace(options: CacheOptions): Promise<ContractPlace> {
  return diskPlace((root) => cachedStore(diskStore({ root, durability: "none", log: () => null }), options));
}
