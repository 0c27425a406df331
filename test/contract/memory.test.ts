import { memoryStore } from "../../src/memory.ts";
import { storeContract } from "../../src/store-contract.ts";

// A memory store lies nowhere but in itself, so the other store over its place is itself.
storeContract("memory", async () => {
  const store = memoryStore();
  return { store, another: async () => store };
});
