import { test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import { memoryStore } from "../../src/memory.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { race } from "./race.ts";

test("in memory", async () => race([memoryStore()]));

for (const count of [1, 2]) {
  test(`on a disk, with ${count === 1 ? "one instance" : "two instances"}`, async () => {
    await using folder = await StoreFolder.make();
    const stores = Array.from({ length: count }, () => diskStore({ root: folder.path }));
    await race(stores);
    for (const store of stores) await store[Symbol.asyncDispose]();
  });
}
