import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { ByteRange } from "../../src/core/byte-range.ts";
import { createFixity } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import { readAll } from "../../src/stores/contract/tools.ts";
import { DecayingStore } from "./decaying-store.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const DAMAGED = { code: "blob-damaged" };
const FIRST_BYTES = { range: ByteRange.over({ start: 0, end: 10 }) };

describe("damage that is noticed during an upload of the same bytes", () => {
  test("is not forgotten if the upload keeps what is stored", async () => {
    const decaying = new DecayingStore(memoryStore());
    const fixity = createFixity({ store: decaying.store, log: () => null });
    const bytes = randomBytes(9 * MIB);
    const { digest } = await fixity.put(bytes);
    await readAll((await fixity.open(digest)) ?? assert.fail());
    const secondRead = Promise.withResolvers<void>();
    decaying.committed = async () => {
      await decaying.decay(digest);
      const noticed = Promise.withResolvers<void>();
      let reads = 0;
      decaying.opened = () => {
        reads += 1;
        if (reads < 2) return undefined;
        noticed.resolve();
        return secondRead.promise;
      };
      void fixity.verify(digest);
      await noticed.promise;
    };
    await fixity.put(bytes);
    const ranged = fixity.open(digest, FIRST_BYTES);
    secondRead.resolve();
    await assert.rejects(ranged, DAMAGED);
  });

  for (const hasIdentities of [true, false]) {
    test(`does not stay if the upload replaces it, ${hasIdentities ? "with" : "without"} identities`, async () => {
      const decaying = new DecayingStore(memoryStore(), { replacesCheaply: true });
      decaying.hasIdentities = hasIdentities;
      const judged = Promise.withResolvers<void>();
      const fixity = createFixity({ store: decaying.store, log: () => judged.resolve() });
      const bytes = randomBytes(300 * KIB);
      const { digest } = await fixity.put(bytes);
      await decaying.decay(digest);
      const secondRead = Promise.withResolvers<void>();
      const begun = Promise.withResolvers<void>();
      decaying.opened = (_, { bypassCache }) => {
        if (bypassCache !== true) return undefined;
        begun.resolve();
        return secondRead.promise;
      };
      await assert.rejects(readAll((await fixity.open(digest)) ?? assert.fail()), DAMAGED);
      await begun.promise;
      await fixity.put(bytes);
      decaying.opened = () => {};
      secondRead.resolve();
      await judged.promise;
      assert((await readAll((await fixity.open(digest)) ?? assert.fail())).equals(bytes));
    });
  }
});
