import assert from "node:assert/strict";
import { cachedStore } from "../../src/cache.ts";
import type { BlobStore } from "../../src/core/store.ts";
import { storeContract } from "../../src/store-contract.ts";
import { isFullRun } from "../helpers/full-run.ts";
import { readAll } from "../../src/stores/contract/tools.ts";
import type { Gateway } from "./gateway.ts";
import { S3Place } from "./place.ts";

const MIB = 1024 * 1024;
/** Three parts, or two. */
const LARGEST = (isFullRun ? 11 : 6) * MIB + 3;

/** The contract that every store keeps, on the server. */
export function contractSuite(gateway: Gateway): void {
  suite("S3", gateway, (store) => store);
  // What the cache adds is tried without a gateway, too: test/contract/cached.test.ts.
  if (isFullRun) suite("S3 with a cache", gateway, cachedStore);
}

function suite(name: string, gateway: Gateway, decorate: (store: BlobStore) => BlobStore): void {
  storeContract(
    name,
    async () => {
      const place = new S3Place(gateway);
      // Sixteen uploads of the largest blob wait for each other in one rule, each with a part in memory. What this process
      // works on is never collected, and everything else at once, whatever the clocks say.
      const open = () => decorate(place.store({ memoryBudget: 192 * MIB }, { abandonedAfter: -Infinity }));
      const store = open();
      return {
        store,
        another: async () => open(),
        damage: async (digest) => place.put(place.layout.blob(digest), Buffer.from("short")),
        corrupt: async (digest) => {
          await using reader = await store.open(digest, { bypassCache: true });
          assert(reader !== null);
          const bytes = await readAll(reader);
          bytes[0] = (bytes[0] ?? 0) ^ 1;
          await place.put(place.layout.blob(digest), bytes);
        },
        abandon: async () => place.abandon(),
        leftovers: async () => place.leftovers(),
        cleanup: async () => place[Symbol.asyncDispose](),
      };
    },
    { largest: LARGEST },
  );
}
